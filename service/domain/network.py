"""Says why another machine cannot be reached and what to do: one table for all that we call."""

import errno
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Cause(NamedTuple):
    """Why something failed, and what to do about it; both without any secret."""

    found: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom we call, with the settings that a person must look at.

    `address`: the setting with the address; `authority`: the one with the certificate authority;
    `identity`: the one with our own certificate, if we may have one; `plain`, `secure`: how an
    address without and with TLS begins.
    """

    name: str
    address: str
    authority: str
    identity: str = ""
    plain: str = "http://"
    secure: str = "https://"


CUT = "the connection was cut at once"
EXPIRED, NOT_YET, OTHER_HOST, OTHER_ADDRESS = 10, 9, 62, 64
AUTHORITY = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's codes for a certificate chain that ends at no trusted authority."""
_UNKNOWN_NAME = ("the host name is not known", "check {peer.address} and the DNS")
_NO_WAY = ("there is no route to this address", "check routes and firewalls")
_NOT_LET_OUT = ("this machine blocks the connection", "check firewalls and network policies")
_NUMBERS: Mapping[int, tuple[str, str]] = {
    socket.EAI_NONAME: _UNKNOWN_NAME,
    socket.EAI_NODATA: _UNKNOWN_NAME,
    socket.EAI_FAIL: _UNKNOWN_NAME,
    socket.EAI_AGAIN: ("the host name is not known: the DNS does not answer", "check the DNS"),
    errno.ECONNREFUSED: (
        "nothing listens there",
        "check that {peer.name} is running, and check the port",
    ),
    errno.ENETUNREACH: _NO_WAY,
    errno.EHOSTUNREACH: _NO_WAY,
    errno.EADDRNOTAVAIL: _NO_WAY,
    errno.EACCES: _NOT_LET_OUT,
    errno.EPERM: _NOT_LET_OUT,
}
_NO_TLS = (
    "the port does not use TLS",
    "check that this is the port for TLS; without TLS, the address begins with {peer.plain}",
)
_OLD_TLS = (
    "it offers only old, unsafe versions of TLS",
    "switch on TLS 1.2 or later at {peer.name}",
)
_WANTED = ("{peer.name} requires a client certificate", "set {peer.identity}")
_REFUSED = (
    "{peer.name} does not trust our certificate",
    "check the issuer and the dates of {peer.identity}",
)
_TLS: Mapping[str, tuple[str, str]] = {
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNKNOWN_PROTOCOL": _NO_TLS,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "NO_PROTOCOLS_AVAILABLE": _OLD_TLS,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": _OLD_TLS,
    "TLSV1_ALERT_PROTOCOL_VERSION": _OLD_TLS,
    "UNSUPPORTED_PROTOCOL": _OLD_TLS,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _WANTED,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _WANTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REFUSED,
    "TLSV1_ALERT_UNKNOWN_CA": _REFUSED,
}
"""Causes by the reason that the TLS library gives."""
_EOF = frozenset({"EOF_OCCURRED", "UNEXPECTED_EOF_WHILE_READING"})
_CUTS = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})
_ERRNO = re.compile(r"\[Errno (-?\d+)\]")

Explain = Callable[[BaseException], Cause | None]


def why(
    error: BaseException, peer: Peer, *, tls: bool, seconds: float, own: Explain | None = None
) -> Cause | None:
    """Return why a connection, over `tls` or not, failed; None where nothing tells it.

    Libraries wrap some causes and hide others: the one that says most is used. `own` knows what
    only this peer's protocol says; `seconds` is how long was waited.
    """
    found = list(causes(error))
    cut = _cut(peer, tls=tls)
    looks: list[Explain] = [
        lambda cause: _tls(cause, peer),
        own or _nothing,
        lambda cause: _network(cause, peer, seconds),
        lambda cause: cut if _is_cut(cause) else None,
    ]
    for look in looks:
        for cause in found:
            if (told := look(cause)) is not None:
                return told
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those below it, each once."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop(0)
        if each is None or any(each is known for known in seen):
            continue
        seen.append(each)
        yield each
        inner = [value for value in each.args if isinstance(value, BaseException)]
        group = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        waiting += [each.__cause__, each.__context__, *inner, *group]


def _nothing(_: BaseException) -> None:
    return None


def _tls(cause: BaseException, peer: Peer) -> Cause | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _certificate(cause, peer)
    unfinished = isinstance(cause, ssl.SSLWantReadError | ssl.SSLWantWriteError)
    if not isinstance(cause, ssl.SSLError) or unfinished or cause.reason in _EOF:
        return None
    reason = cause.reason or "no reason given"
    known = _TLS.get(reason)
    if known is None or (known in {_WANTED, _REFUSED} and not peer.identity):
        settings = " and ".join(each for each in (peer.authority, peer.identity) if each)
        told = reason.lower().replace("_", " ")
        return Cause(f"TLS failed ({told})", f"look at {settings}")
    return _about(peer, known)


def _about(peer: Peer, told: tuple[str, str]) -> Cause:
    return Cause(*(text.format(peer=peer) for text in told))


def _certificate(cause: ssl.SSLCertVerificationError, peer: Peer) -> Cause:
    code, told = cause.verify_code, cause.verify_message
    if code in AUTHORITY:
        return Cause(
            f"its certificate comes from an authority that is not trusted here ({told})",
            f"put the certificate of that authority into {peer.authority}; {peer.name} must "
            f"send its whole chain",
        )
    if code in {OTHER_HOST, OTHER_ADDRESS}:
        return Cause(
            f"its certificate is for another name ({told.rstrip('.')})",
            f"use in {peer.address} a name that the certificate has, or make a certificate "
            f"for this name",
        )
    if code == EXPIRED:
        return Cause(
            "its certificate has expired",
            f"renew it at {peer.name}; if it is valid, check the clock of this machine",
        )
    if code == NOT_YET:
        return Cause(
            "its certificate is not valid yet",
            f"check the clock of this machine and the certificate of {peer.name}",
        )
    return Cause(
        f"its certificate is not accepted ({told})",
        f"check the certificate of {peer.name} and {peer.authority}",
    )


def _network(cause: BaseException, peer: Peer, seconds: float) -> Cause | None:
    if isinstance(cause, TimeoutError):
        remedy = f"check the port, a firewall on the way, and whether {peer.name} hangs"
        return Cause(f"no answer within {seconds:g} s", remedy)
    if isinstance(cause, UnicodeError):
        return _about(peer, _UNKNOWN_NAME)
    if not isinstance(cause, OSError) or isinstance(cause, ssl.SSLError):
        return None
    number = _errno(cause)
    known = _NUMBERS.get(number or 0)
    if known is not None:
        found, remedy = _about(peer, known)
        shown = f" ({cause.strerror})" if known is _NO_WAY and cause.strerror else ""
        return Cause(found + shown, remedy)
    if number is None or number in _CUTS or not cause.strerror:
        return None
    return Cause(f"cannot be reached ({cause.strerror})", f"is {peer.name} running?")


def _errno(error: OSError) -> int | None:
    """Return the number of an error; of several in one text the last, if it is no other's."""
    if error.errno is not None:
        return error.errno
    numbers = [int(each) for each in _ERRNO.findall(str(error))]
    return numbers[-1] if numbers else None


def _is_cut(cause: BaseException) -> bool:
    if isinstance(cause, ssl.SSLError):
        return cause.reason in _EOF
    return isinstance(cause, ConnectionError | EOFError)


def _cut(peer: Peer, *, tls: bool) -> Cause:
    if not tls:
        return Cause(CUT, f"if this is a port for TLS, use {peer.secure}")
    if peer.identity:
        # With TLS 1.3 a peer says why and cuts at once: sometimes only the cut arrives.
        return Cause(
            CUT,
            f"check whether {peer.name} requires a client certificate and trusts ours: "
            f"{peer.identity}",
        )
    return Cause(
        CUT,
        "check that the port is right and uses TLS, and check for a firewall or "
        "proxy that cuts the connection",
    )
