"""Says why a node of the broker did not let us in, and what to look at."""

import re

from aiormq.exceptions import (
    AuthenticationError,
    ConnectionClosed,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from yarl import URL

from service.domain import network
from service.domain.addresses import bracketed
from service.domain.network import Cause, Peer
from service.rabbit.address import CONNECT_SECONDS, PORTS, CertificatesUnusable
from service.rabbit.rights import Rights, granting

_REFUSED = re.compile(r"ACCESS_REFUSED - (?P<words>(?:(?P<right>\w+) )?access to [^\"\n]*)")
"""From RabbitMQ 4.0 on, the broker names the missing right: configure, write or read."""
_WHO = re.compile(r" in vhost '(?P<vhost>.*)' refused for user '(?P<user>.*)'")
RUN_AGAIN = "nothing is lost: run the command again"
_TOLD = re.compile(r"[A-Z][A-Z_]{3,} - [^\"\n]*")
"""A reply of the broker, such as `CONNECTION_FORCED - broker forced connection closure`."""
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
    return f"{url.scheme}://{bracketed(url.host or '')}:{url.port or PORTS.get(url.scheme, 0)}"


def why(error: BaseException, *, tls: bool) -> Cause:
    """Return the reason of a failed connection, over `tls` or not, and the remedy."""
    told = network.why(error, BROKER, tls=tls, seconds=CONNECT_SECONDS, own=_refusal)
    return told or Cause(f"failed ({type(error).__name__})", "read the broker's log")


def why_ended(words: str, needed: Rights | None = None) -> Cause:
    """Return why the broker ended a command's work, from its own words, and the remedy.

    Where a right is missing, with the command that gives the user what is `needed`, if that is
    known.
    """
    refused = _REFUSED.search(words)
    if refused is None:
        told = _TOLD.search(words)
        found = told[0] if told else "the connection was cut"
        return Cause(found, RUN_AGAIN)
    pattern = f"{refused['right']} pattern" if refused["right"] else "patterns"
    remedy = f"extend the user's {pattern}"
    who = _WHO.search(refused["words"])
    if who and needed:
        command = granting(who["user"], who["vhost"], needed)
        remedy += (
            "; only for a user of this command alone (not of the importer or a reader), because "
            f"it removes all other rights: {command}"
        )
    return Cause(refused["words"], remedy)


def _refusal(cause: BaseException) -> Cause | None:
    match cause:
        case CertificatesUnusable():
            return Cause(str(cause), f"look at {BROKER.authority} and {BROKER.identity}")
        case AuthenticationError() | ProbableAuthenticationError():
            return Cause("user or password refused", f"look at {BROKER.address}")
        case ConnectionClosed() | InvalidFrameError():
            return Cause(
                "the virtual host was refused",
                "check that it exists and that the user may use it (rabbitmqctl list_permissions)",
            )
        case _:
            return None
