"""Says why a node of the broker did not let us in, and what to look at."""

import errno
import socket
import ssl
from collections.abc import Iterator, Mapping

from aiormq.exceptions import (
    AuthenticationError,
    ConnectionClosed,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from yarl import URL

from service.rabbit.link import CONNECT_SECONDS

_PORTS = {"amqp": 5672, "amqps": 5671}
_NO_CERTIFICATE = (
    "the broker demands a certificate of us",
    "set IMPORTER_RABBIT__CERT_FILE and IMPORTER_RABBIT__KEY_FILE",
)
_NOT_TRUSTED = (
    "the broker does not trust our certificate",
    "look at who issued IMPORTER_RABBIT__CERT_FILE, and at its dates",
)
_CUT = ("the connection was cut at once", "is this a port for TLS? then it is amqps://")
_CUT_IN_TLS = (
    "the connection was cut at once",
    "does the broker demand a certificate, and trust ours? IMPORTER_RABBIT__CERT_FILE",
)
"""With TLS 1.3 the broker cuts and says why at once: sometimes only the cut arrives."""
_TLS: Mapping[str, tuple[str, str]] = {
    "WRONG_VERSION_NUMBER": (
        "no TLS is spoken there",
        "is this the port for TLS (5671)? if there is none, the address begins with amqp://",
    ),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _NO_CERTIFICATE,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NO_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": _NOT_TRUSTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _NOT_TRUSTED,
}


def node(url: URL) -> str:
    """Return what of an address may be shown."""
    return f"{url.scheme}://{url.host}:{url.port or _PORTS.get(url.scheme, 0)}"


def why(error: BaseException, *, tls: bool) -> tuple[str, str]:
    """Return the reason of a failed connection, over `tls` or not, and the remedy.

    The client library wraps some causes and hides others; the one that says most is used.
    """
    causes = list(_causes(error))
    for explain in (_tls, _refusal, _network, _cut):
        for cause in causes:
            if (found := explain(cause)) is not None:
                return _CUT_IN_TLS if tls and found is _CUT else found
    return f"failed ({type(error).__name__})", "see the broker's log"


def _causes(error: BaseException) -> Iterator[BaseException]:
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
        waiting += [each.__cause__, each.__context__, *inner]


def _tls(cause: BaseException) -> tuple[str, str] | None:
    if not isinstance(cause, ssl.SSLError):
        return None
    reason = cause.reason or "no reason given"
    if isinstance(cause, ssl.SSLCertVerificationError):
        remedy = "look at IMPORTER_RABBIT__CA_FILE, at the names in the certificate, at its dates"
        return f"the broker's certificate is not trusted ({cause.verify_message})", remedy
    told = reason.lower().replace("_", " ")
    remedy = "look at IMPORTER_RABBIT__CA_FILE, IMPORTER_RABBIT__CERT_FILE and its key"
    return _TLS.get(reason, (f"TLS failed ({told})", remedy))


def _refusal(cause: BaseException) -> tuple[str, str] | None:
    match cause:
        case AuthenticationError() | ProbableAuthenticationError():
            return "user or password refused", "look at IMPORTER_RABBIT__URL"
        case ConnectionClosed() | InvalidFrameError():
            return (
                "the virtual host was refused",
                "does it exist, and may the user enter it (rabbitmqctl list_permissions)?",
            )
        case _:
            return None


def _network(cause: BaseException) -> tuple[str, str] | None:
    match cause:
        case TimeoutError():
            remedy = "is the port right, is a firewall between, is the broker frozen?"
            return f"no answer within {CONNECT_SECONDS:g} s", remedy
        case (
            OSError(errno=socket.EAI_NONAME | socket.EAI_AGAIN | socket.EAI_NODATA)
            | UnicodeError()
        ):
            return "the host name is not known", "look at IMPORTER_RABBIT__URL, and at the DNS"
        case OSError(errno=errno.ECONNREFUSED):
            return "nobody listens there", "is the broker running, is the port right?"
        case OSError(errno=errno.ECONNRESET):
            return _CUT
        case OSError(errno=int(), strerror=str(text)):
            return f"cannot be reached ({text})", "is the broker running?"
        case _:
            return None


def _cut(cause: BaseException) -> tuple[str, str] | None:
    return _CUT if isinstance(cause, ConnectionError) else None
