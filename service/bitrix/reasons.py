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
        PauseReason.CREDENTIALS: "the portal's administrator: look at the webhook or "
        "application in the portal (removed? owner dismissed? key renewed?) and give new "
        "credentials to the importer",
        PauseReason.SCOPE: "the portal's administrator: give the webhook or application the "
        "permission `crm`, and its user the right to import",
        PauseReason.PLAN: "the portal's administrator: check that the portal's plan and "
        "Market subscription include REST",
        PauseReason.BLOCKED: "the portal's administrator: ask Bitrix24's support to remove "
        "the block",
        PauseReason.PORTAL_DELETED: "the portal's administrator: check whether the portal "
        "still exists, and its address",
        PauseReason.AUTH_SERVER: "wait: the portal or the importer cannot reach the "
        "authorisation server; check IMPORTER_BITRIX__OAUTH_URL and the network",
        PauseReason.OPERATING_LIMIT: "nobody: the portal's budget recovers by itself",
    }
)
"""Who must do what about a pause, by its reason."""

_KIND = "the portal's owner: check that the plan includes items of this kind, and this many"

REFRESHES: Mapping[str, str] = MappingProxyType(
    {
        "invalid_client": "the importer's operator: look at IMPORTER_BITRIX__CLIENT_ID and "
        "IMPORTER_BITRIX__CLIENT_SECRET",
        "invalid_grant": "the importer's operator: the refresh token is no longer valid (used "
        "elsewhere, or not used for half a year): put a new pair into "
        "IMPORTER_BITRIX__TOKEN_FILE",
    }
)
"""What to do about a refused renewal of tokens, by its code."""

STATUSES: Mapping[int, str] = MappingProxyType(
    {
        200: "check what answers there: it may be a login page, or an error page of the portal",
        400: "check the address; use https:// if the port is for TLS",
        401: "a gateway in front of the portal wants a password: ask its operator",
        403: "a gateway in front of the portal refuses us: ask its operator to let us in",
        404: "there is no REST interface at this address: check it",
        407: f"the proxy wants a user and a password: set them in {PROXY.address}",
        413: "the call is too large for the portal's server: ask its operator to raise the "
        "limits (client_max_body_size, post_max_size)",
        429: "wait: the portal is busy",
    }
)
"""What to do about an answer that does not come from the portal itself, by its status."""
_REDIRECT = "put the portal's new address into the settings"
_SERVER = "wait; if it lasts, ask the operator of the portal: its server or gateway has a fault"
_ADDRESS = "check the address, and check that the portal can be reached from here"
_WAY = "check the network on the way: gateway, firewall, proxy"
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
        told = Cause(
            network.CUT, f"check that {peer.name} works, and check the port in {peer.address}"
        )
    if told is None:
        found = "no connection is free" if isinstance(error, httpx.PoolTimeout) else "it failed"
        told = Cause(found, _ADDRESS)
    return Cause(f"{peer.name} cannot be reached: {told.found}", told.remedy)


def unanswered(error: Exception, peer: Peer, *, tls: bool, seconds: float) -> Cause:
    """Return why no whole answer came after the call had begun to leave."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        found = f"{peer.name} did not answer within {seconds:g} s"
        return Cause(found, f"check whether {peer.name} is slow; {_WAY}")
    other = "" if tls else f"; if it is a port for TLS, the address must begin with {peer.secure}"
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
        found = f"what {peer.name} sent is not HTTP"
        return Cause(found, f"check the port in {peer.address}{other}")
    return Cause(
        f"the connection to {peer.name} was cut before the answer was complete", _WAY + other
    )


def _of_status(http_status: int) -> str:
    if 300 <= http_status < 400:  # noqa: PLR2004 - the redirects
        return _REDIRECT
    return STATUSES.get(http_status, _SERVER if http_status >= 500 else _ADDRESS)  # noqa: PLR2004


def _proxy_refusal(error: httpx.ProxyError) -> Cause:
    """Say what the proxy answered instead of opening a way to the portal."""
    match = _PROXY_STATUS.match(str(error))
    number = int(match[1]) if match else 0
    remedy = "ask the proxy's operator to let us through to the portal"
    if number == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        remedy = STATUSES[number]
    elif number >= httpx.codes.INTERNAL_SERVER_ERROR:
        remedy = (
            "the proxy cannot reach the portal: check the portal's address, ask the proxy's "
            "operator"
        )
    answered = f" (HTTP {number})" if number else ""
    return Cause(f"the proxy refuses the connection to the portal{answered}", remedy)
