"""Reads the broker's management API: what AMQP cannot tell. It only ever asks."""

import base64
import http.client
import json
import socket
import ssl
import threading
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote, unquote, urlsplit

from service.domain import network
from service.domain.network import Cause, Peer
from service.rabbit.rights import Rights
from service.rabbit.topology import Topology

T = TypeVar("T")

ANSWER_SECONDS = 10.0
"""Longest time between two parts of an answer."""
WHOLE_SECONDS = 20.0
"""Longest time until an answer is whole."""
STATISTICS_SECONDS = 12.0
"""How long we wait for a queue's policies: they come with its statistics, some seconds after the
queue."""
_POLL_SECONDS = 0.5
_OK, _NOT_FOUND = 200, 404
_REFUSED = frozenset({401, 403})
MAX_BYTES = 8_000_000
"""Longest answer that is read; no description is a hundredth as long."""
MAX_VERSION = 40
_STRANGE = "the answer is not from a management API: is the port right?"
_PEER = Peer("the management API", "IMPORTER_RABBIT__MANAGEMENT_URL", "IMPORTER_RABBIT__CA_FILE")


class ManagementFailed(Exception):  # noqa: N818 - reads as what it says
    """The management API cannot be used; the text says why, `remedy` what to look at."""

    def __init__(self, reason: str, remedy: str = f"look at {_PEER.address}") -> None:
        """Take the reason apart from the remedy."""
        super().__init__(reason)
        self.remedy = remedy


class NotAllowed(ManagementFailed):
    """The user of the management API may not ask this."""


@dataclass(frozen=True, slots=True)
class Described:
    """What the management API told.

    None: a queue or exchange that is not there, or something its user may not ask.
    """

    version: str
    exchanges: Mapping[str, Mapping[str, Any] | None]
    queues: Mapping[str, Mapping[str, Any] | None]
    keys: Mapping[str, Sequence[str]]
    """Routing keys of each queue's bindings to its exchange."""
    nodes: Sequence[Mapping[str, Any]] | None
    rights: Mapping[str, str] | None
    """The patterns for what the AMQP user may `configure`, `write` and `read`."""
    vhost: str = "/"


class Management:
    """One connection to the management API; a context manager. It blocks: use a thread."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        """Prepare; `tls` says whom to trust at an https address."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        self._root = parts.path.rstrip("/")
        self._line: http.client.HTTPConnection
        if parts.scheme == "https":
            self._line = http.client.HTTPSConnection(
                host, port, timeout=ANSWER_SECONDS, context=tls
            )
        else:
            self._line = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        pair = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._patience = 0.0
        self._headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def describe(self, topology: Topology, *, vhost: str, user: str) -> Described:
        """Ask for everything a check needs; raises ManagementFailed."""
        self._patience = time.monotonic() + STATISTICS_SECONDS
        place, who = quote(vhost, safe=""), quote(user, safe="")
        overview = self._object("overview") or {}
        return Described(
            version=str(overview.get("rabbitmq_version", ""))[:MAX_VERSION],
            exchanges={
                each.name: self._object(f"exchanges/{place}/{quote(each.name, safe='')}")
                for each in topology.exchanges
            },
            queues={each.name: self._queue(place, each.name) for each in topology.queues},
            keys={
                each.name: self._keys(place, each.exchange, each.name) for each in topology.queues
            },
            nodes=self._if_allowed(lambda: self._list("nodes")),
            rights=self._if_allowed(lambda: self._rights(place, who)),
            vhost=vhost,
        )

    def queue_names(self, vhost: str) -> list[str]:
        """Return the names of all queues of a virtual host; raises ManagementFailed."""
        listed = self._list(f"queues/{quote(vhost, safe='')}?columns=name")
        return [str(each["name"]) for each in listed or [] if "name" in each]

    def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """Return what an address below /api/ answers; None where there is nothing."""
        try:
            self._line.request("GET", f"{self._root}/api/{path}", headers=self._headers)
            with _ended_after(WHOLE_SECONDS, self._line.sock), self._line.getresponse() as answer:
                body = answer.read(MAX_BYTES + 1)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            tls = isinstance(self._line, http.client.HTTPSConnection)
            raise ManagementFailed(*_why(error, tls=tls)) from None
        if len(body) > MAX_BYTES:
            self._line.close()
            raise ManagementFailed(
                f"its answer is larger than {MAX_BYTES // 1_000_000} MB: is it a management API?"
            )
        if answer.status == _NOT_FOUND:
            return None
        if answer.status in _REFUSED:
            raise NotAllowed("user or password refused, or the user has no `management` tag")
        try:
            document = json.loads(body.removeprefix(BOM_UTF8))
        except (ValueError, RecursionError):
            document = None
        if answer.status != _OK or not isinstance(document, dict | list):
            raise ManagementFailed(
                f"HTTP {answer.status}, which is no answer of a management API: is the port right?"
            )
        return document

    def _object(self, path: str) -> dict[str, Any] | None:
        """Return the object that an address answers; raises ManagementFailed for anything else."""
        document = self.get(path)
        if document is None or isinstance(document, dict):
            return document
        raise ManagementFailed(_STRANGE)

    def _list(self, path: str) -> list[dict[str, Any]] | None:
        """Return the objects that an address lists; raises ManagementFailed for anything else."""
        document = self.get(path)
        if document is None:
            return None
        objects = [each for each in document if isinstance(each, dict)]
        if isinstance(document, list) and len(objects) == len(document):
            return objects
        raise ManagementFailed(_STRANGE)

    def _rights(self, place: str, who: str) -> Mapping[str, str] | None:
        """Return a user's patterns; raises ManagementFailed for what is none."""
        found = self._object(f"permissions/{place}/{who}")
        patterns = None if found is None else {name: found.get(name) for name in Rights._fields}
        if patterns is None or all(isinstance(each, str) for each in patterns.values()):
            return cast("Mapping[str, str] | None", patterns)
        raise ManagementFailed(_STRANGE)

    def _if_allowed(self, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except NotAllowed:
            return None

    def _queue(self, place: str, name: str) -> Mapping[str, Any] | None:
        """Return a queue with its policies, which a new queue or a new broker tells late."""
        while True:
            found = self._object(f"queues/{place}/{quote(name, safe='')}")
            if found is None or "effective_policy_definition" in found:
                return found
            if time.monotonic() > self._patience:
                return found
            time.sleep(_POLL_SECONDS)

    def _keys(self, place: str, exchange: str, queue: str) -> list[str]:
        found = self._list(
            f"bindings/{place}/e/{quote(exchange, safe='')}/q/{quote(queue, safe='')}"
        )
        return [str(binding.get("routing_key", "")) for binding in found or []]


@contextmanager
def _ended_after(seconds: float, line: socket.socket | None) -> Iterator[None]:
    """End a connection after this many seconds, even if data keeps coming.

    Raises ManagementFailed.
    """
    over = threading.Event()

    def end() -> None:
        over.set()
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not over.is_set():
            raise
    finally:
        timer.cancel()
    if over.is_set():
        raise ManagementFailed(f"the answer was not complete within {seconds:g} s")


def _why(error: Exception, *, tls: bool) -> Cause:
    told = network.why(error, _PEER, tls=tls, seconds=ANSWER_SECONDS)
    if told is not None:
        return told
    remedy = f"check the port in {_PEER.address}; if it is for TLS, use https://"
    return Cause(f"no readable answer ({type(error).__name__})", remedy)
