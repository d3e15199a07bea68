"""Says why the portal, its authorisation server or the proxy refuses, and who must do what.

The one place for it: the log, the pause, `check` and the failed event say the same. Nothing here
repeats words of the other side, which may hold field values or secrets.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

import httpx

from service.domain import network
from service.domain.codes import LANE_CODES
from service.domain.network import Cause, Peer
from service.domain.outcomes import PauseReason

AUTHORITY = "IMPORTER_BITRIX__CA_FILE"
WEBHOOK = Peer("the portal", "IMPORTER_BITRIX__WEBHOOK_URL", AUTHORITY)
ENDPOINT = Peer("the portal", "IMPORTER_BITRIX__CLIENT_ENDPOINT", AUTHORITY)
AUTH_SERVER = Peer("the authorisation server", "IMPORTER_BITRIX__OAUTH_URL", AUTHORITY)
PROXY = Peer("the proxy", "IMPORTER_BITRIX__PROXY_URL", AUTHORITY)

PAUSES: Mapping[PauseReason, str] = MappingProxyType(
    {
        PauseReason.CREDENTIALS: "the portal's administrator: look at the webhook or application "
        "in the portal (was it removed, is its owner dismissed, was its key renewed?) and give "
        "its credentials anew",
        PauseReason.SCOPE: "the portal's administrator: give the webhook or application the "
        "permission `crm`, and its user the right to import",
        PauseReason.PLAN: "the portal's administrator: see that the portal's plan and Market "
        "subscription include REST",
        PauseReason.BLOCKED: "the portal's administrator: ask Bitrix24's support to lift the "
        "block",
        PauseReason.PORTAL_DELETED: "the portal's administrator: see whether the portal still "
        "exists, and its address",
        PauseReason.AUTH_SERVER: "wait: the authorisation server cannot be reached, by the portal "
        "or from here; check IMPORTER_BITRIX__OAUTH_URL and the way out",
        PauseReason.OPERATING_LIMIT: "nobody: the portal's budget comes back by itself",
    }
)
"""Who must do what about a pause, by its reason."""

_KIND = "the portal's owner: see that the plan includes items of this kind, and so many of them"

REFRESHES: Mapping[str, str] = MappingProxyType(
    {
        "invalid_client": "the importer's operator: look at IMPORTER_BITRIX__CLIENT_ID and "
        "IMPORTER_BITRIX__CLIENT_SECRET",
        "invalid_grant": "the importer's operator: the refresh token is no longer accepted (was "
        "it used elsewhere, or not for half a year?): put a new pair into "
        "IMPORTER_BITRIX__TOKEN_FILE",
    }
)
"""What to do about a refused renewal of tokens, by its code."""

STATUSES: Mapping[int, str] = MappingProxyType(
    {
        200: "see what answers there: a login page, or an error page of the portal?",
        400: "see that the address is right, and https:// if the port is for TLS",
        401: "a gateway before the portal wants a password: ask whoever runs it",
        403: "a gateway before the portal refuses us: ask whoever runs it to let us in",
        404: "there is no REST at this address: look at it",
        407: f"the proxy wants a user and a password: give them in {PROXY.address}",
        413: "the call is larger than the portal's server takes: have its limits raised "
        "(client_max_body_size, post_max_size)",
        429: "wait: the portal is busy",
    }
)
"""What to do about an answer that does not come from the portal itself, by its status."""
_REDIRECT = "give the portal's new address in the settings"
_SERVER = "wait; if it lasts, ask whoever runs the portal: its server or gateway is ill"
_ADDRESS = "see that the address is right and that the portal can be reached from here"
_WAY = "look at the way to it: gateway, firewall, proxy"
_PROXY_STATUS = re.compile(r"([1-5][0-9]{2})\b")


def spoken(code: str, http_status: int, pause: PauseReason | None) -> Cause:
    """Return what an error of the portal's own says, by its code alone."""
    remedy = PAUSES.get(pause, _ADDRESS) if pause else _of_status(http_status)
    if code.lower() in LANE_CODES:
        remedy = _KIND
    return Cause(f"the portal answered HTTP {http_status}, {code}", remedy)


def refresh_refused(code: str, http_status: int, pause: PauseReason | None) -> Cause:
    """Return what an error of the authorisation server's own says, by its code alone."""
    remedy = REFRESHES.get(code.lower()) or PAUSES.get(pause or PauseReason.AUTH_SERVER, _WAY)
    return Cause(f"the authorisation server answered HTTP {http_status}, {code}", remedy)


def no_pair(http_status: int, flaw: str = "") -> Cause:
    """Return what an answer of the authorisation server without tokens says."""
    found = f"the authorisation server answered HTTP {http_status} without a pair of tokens"
    return Cause(found + (f": its answer {flaw}" if flaw else ""), PAUSES[PauseReason.AUTH_SERVER])


def status(http_status: int, flaw: str = "") -> Cause:
    """Return what an answer without a readable result says; `flaw` is why it cannot be read."""
    found = f"the portal answered HTTP {http_status} without a readable result"
    if flaw:
        found = f"the portal's answer, HTTP {http_status}, {flaw}"
    return Cause(found, _of_status(http_status))


def unreached(error: Exception, peer: Peer, *, tls: bool, seconds: float) -> Cause:
    """Return why no byte of a call has left; `peer` is whom we tried to connect to."""
    if isinstance(error, httpx.ProxyError):
        return _proxy_refusal(error)
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return Cause(f"the address of {peer.name} cannot be used", f"look at {peer.address}")
    told = network.why(error, peer, tls=tls, seconds=seconds)
    if told is None and isinstance(error, httpx.RemoteProtocolError | httpx.NetworkError):
        told = Cause(network.CUT, f"is {peer.name} well, and is the port right? {peer.address}")
    if told is None:
        found = "no connection is free" if isinstance(error, httpx.PoolTimeout) else "it failed"
        told = Cause(found, _ADDRESS)
    return Cause(f"{peer.name} cannot be reached: {told.found}", told.remedy)


def unanswered(error: Exception, peer: Peer, *, tls: bool, seconds: float) -> Cause:
    """Return why no whole answer came after the call had begun to leave."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        found = f"{peer.name} did not answer within {seconds:g} s"
        return Cause(found, f"see whether {peer.name} is slow; {_WAY}")
    other = "" if tls else f"; is it a port for TLS? Then the address begins with {peer.secure}"
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
        found = f"what {peer.name} sent is not HTTP"
        return Cause(found, f"is the port in {peer.address} right?{other}")
    return Cause(
        f"the connection to {peer.name} was cut before the answer was whole", _WAY + other
    )


def _of_status(http_status: int) -> str:
    if 300 <= http_status < 400:  # noqa: PLR2004 - the redirects
        return _REDIRECT
    return STATUSES.get(http_status, _SERVER if http_status >= 500 else _ADDRESS)  # noqa: PLR2004


def _proxy_refusal(error: httpx.ProxyError) -> Cause:
    """Say what the proxy answered instead of opening a way to the portal."""
    match = _PROXY_STATUS.match(str(error))
    number = int(match[1]) if match else 0
    remedy = "ask whoever runs the proxy to let us through to the portal"
    if number == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        remedy = STATUSES[number]
    elif number >= httpx.codes.INTERNAL_SERVER_ERROR:
        remedy = (
            "the proxy cannot reach the portal: look at the portal's address, ask its operator"
        )
    answered = f" (HTTP {number})" if number else ""
    return Cause(f"the proxy refuses the way to the portal{answered}", remedy)
