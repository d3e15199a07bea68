"""Says why a node of the broker did not let us in, and what to look at."""

from aiormq.exceptions import (
    AuthenticationError,
    ConnectionClosed,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from yarl import URL

from service.domain import network
from service.domain.network import Cause, Peer
from service.rabbit.link import CONNECT_SECONDS

_PORTS = {"amqp": 5672, "amqps": 5671}
BROKER = Peer(
    "the broker",
    address="IMPORTER_RABBIT__URL",
    authority="IMPORTER_RABBIT__CA_FILE",
    identity="IMPORTER_RABBIT__CERT_FILE and IMPORTER_RABBIT__KEY_FILE",
    plain="amqp:// (port 5672)",
    secure="amqps:// (port 5671)",
)


def node(url: URL) -> str:
    """Return what of an address may be shown."""
    return f"{url.scheme}://{url.host}:{url.port or _PORTS.get(url.scheme, 0)}"


def why(error: BaseException, *, tls: bool) -> Cause:
    """Return the reason of a failed connection, over `tls` or not, and the remedy."""
    told = network.why(error, BROKER, tls=tls, seconds=CONNECT_SECONDS, own=_refusal)
    return told or Cause(f"failed ({type(error).__name__})", "see the broker's log")


def _refusal(cause: BaseException) -> Cause | None:
    match cause:
        case AuthenticationError() | ProbableAuthenticationError():
            return Cause("user or password refused", f"look at {BROKER.address}")
        case ConnectionClosed() | InvalidFrameError():
            return Cause(
                "the virtual host was refused",
                "does it exist, and may the user enter it (rabbitmqctl list_permissions)?",
            )
        case _:
            return None
