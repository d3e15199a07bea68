"""Serves /metrics, /livez, /readyz and /status from a thread outside the loop they judge."""

import asyncio
import errno
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

import h11
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from service.domain.addresses import bracketed

STALE_SECONDS = 30.0
"""Seconds without a heartbeat after which the main loop counts as hung."""
MAX_OPEN = 32
"""Connections at once. One more closes the oldest, so that a flood takes no descriptors from the
work."""
AT_ONCE = 16
"""Connections accepted in a row before the open ones are served."""
WAITING = 1024
"""Length of the system's queue of new connections."""
MAX_SECONDS = 10.0
"""Longest time from the opening of a connection to the end of its answer."""
MAX_REQUEST = 16_384
PORT_ERRORS = (errno.EADDRINUSE, errno.EACCES)
METHODS = (b"GET", b"HEAD")
TOLD = (
    *("broker", "intake", "paused", "why", "next_try_seconds", "draining", "broker_blocked"),
    *("refusing", "lanes", "broken_queues"),
)
"""What /readyz shows of the status as it is."""
PATHS = "try /metrics, /livez, /readyz or /status\n"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Status:
    """What the loop last said about itself; written by the loop, read by the port's thread.

    `why` nothing flows, in a sentence. `lanes` are not open, `broken_queues` are left alone.
    """

    heartbeat: float = field(default_factory=time.monotonic)
    broker: str = "connecting"
    intake: str = "detached"
    paused: str | None = None
    why: str | None = None
    next_try_seconds: float | None = None
    draining: bool = False
    broker_blocked: bool = False
    refusing: Mapping[str, str] = field(default_factory=dict)
    lanes: Mapping[str, str] = field(default_factory=dict)
    broken_queues: Mapping[str, str] = field(default_factory=dict)
    since: float = field(default_factory=time.time)
    overview: Callable[[], Mapping[str, Any]] = dict  # called in the port's thread

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether the loop runs, with the reason."""
        age = time.monotonic() - self.heartbeat
        alive = age < STALE_SECONDS
        return alive, {"alive": alive, "heartbeat_age_seconds": round(age, 1)}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether messages flow or could, with the reason.

        A deliberate pause is ready: a restart would not help.
        """
        connected = self.broker == "connected"
        ready = connected and not self.draining
        ready = ready and (self.intake == "attached" or self.paused is not None)
        return ready, {
            "ready": ready,
            **{name: getattr(self, name) for name in TOLD},
            "since": datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds"),
        }


class Answer(NamedTuple):
    """What one request gets."""

    code: int
    kind: str
    body: bytes


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address or a name, IPv4 or IPv6; `::` is both.

    Raises OSError, or UnicodeError for a name that no host can have.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = found[0]
    is_both = address[0] == "::" or str(address[0]).startswith("::ffff:")
    return socket.create_server(
        address,
        family=family,
        dualstack_ipv6=is_both and socket.has_dualstack_ipv6(),
    )


def cannot_listen(host: str, port: int, error: Exception) -> str:
    """Return why `listening` failed, and which setting mends it."""
    why = error.strerror if isinstance(error, OSError) else "not the name of a host"
    if isinstance(error, OSError) and (error.errno or 0) > 0:
        # The library adds the address, which is in this message already.
        why = os.strerror(error.errno or 0)
    remedy = "IMPORTER_HTTP__HOST to an address of this machine: 0.0.0.0, :: or 127.0.0.1"
    if isinstance(error, OSError) and error.errno in PORT_ERRORS:
        remedy = "IMPORTER_HTTP__PORT to a free port"
    return f"cannot listen on {bracketed(host)}:{port} ({why}): set {remedy}"


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """Return how metrics are written; an `Accept` that the library cannot read counts as none."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError, LookupError):
        return choose_encoder("")


class HealthPort:
    """The HTTP port, for the time of a `with`; answers also while the loop hangs or drains.

    One thread with a loop of its own. Each connection gets one answer, in a bounded time.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        registry: CollectorRegistry,
        status: Status,
        refresh: Callable[[], None],
    ) -> None:
        """Listen at once; `refresh` is called before metrics are read. Raises as `listening`."""
        self._registry = registry
        self._status = status
        self._refresh = refresh
        self._socket = listening(host, port)
        self._stop = asyncio.Event()
        self._end: Callable[[], None] = self._socket.close

    @property
    def port(self) -> int:
        """The port that was opened."""
        return int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._run, args=(loop,), name="health port", daemon=True)
        thread.start()

        def end() -> None:
            loop.call_soon_threadsafe(self._stop.set)
            thread.join()

        self._end = end
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def answer(self, method: bytes, target: str, accept: str) -> Answer:
        """Return the answer to one request; never raises."""
        if method not in METHODS:
            return Answer(405, "text/plain", b"only GET and HEAD\n")
        try:
            return self._page(target.partition("?")[0], accept)
        except Exception:
            log.exception("unexpected error: a request to the health port was not answered")
            return Answer(500, "text/plain", b"unexpected error, see the log\n")

    def _page(self, path: str, accept: str) -> Answer:
        match path:
            case "/metrics":
                self._refresh()
                encode, kind = _encoder(accept)
                return Answer(200, kind, encode(self._registry))
            case "/livez":
                good, told = self._status.alive()
            case "/readyz":
                good, told = self._status.ready()
            case "/status":
                good, told = True, dict(self._status.overview())
            case _:
                return Answer(404, "text/plain", PATHS.encode())
        return Answer(200 if good else 503, "application/json", json.dumps(told).encode())

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_exception_handler(_handled)
        loop.run_until_complete(self._serve())
        loop.close()

    async def _serve(self) -> None:
        """Answer until told to stop."""
        connections: dict[_Connection, None] = {}
        server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(connections, self.answer), sock=self._socket, backlog=AT_ONCE
        )
        self._socket.listen(WAITING)
        await self._stop.wait()
        server.close()
        for connection in list(connections):
            connection.end()
        await asyncio.sleep(0)


def _handled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log a bug; what goes wrong with a connection, such as no descriptor left, is none."""
    error = context.get("exception")
    if not isinstance(error, OSError):
        log.error("unexpected error in the health port: %s", context["message"], exc_info=error)


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, and a last moment for the client to read it."""

    def __init__(
        self, others: "dict[_Connection, None]", answer: Callable[[bytes, str, str], Answer]
    ) -> None:
        self._others = others
        self._answer = answer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._others) >= MAX_OPEN:
            next(iter(self._others)).end()
        self._others[self] = None
        self._transport = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(MAX_SECONDS, self.end)

    def data_received(self, data: bytes) -> None:
        if self._answered:
            return  # what follows a request, such as its body, interests nobody
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            self._send(Answer(error.error_status_hint, "text/plain", b"not understood\n"))
            return
        if isinstance(event, h11.Request):
            headers = dict(iter(event.headers))
            accept = headers.get(b"accept", b"").decode("latin-1")
            target = event.target.decode("latin-1")
            self._send(self._answer(event.method, target, accept), bare=event.method == b"HEAD")

    def connection_lost(self, _: Exception | None) -> None:
        self._others.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()

    def end(self) -> None:
        """End it at once, whatever was not said yet."""
        self._others.pop(self, None)
        if self._transport is not None:
            self._transport.abort()

    def _send(self, answer: Answer, *, bare: bool = False) -> None:
        """Send an answer, `bare` without its body, and say that nothing follows.

        The client closes, else the timer does: closing here could take the answer from it.
        """
        self._answered = True
        headers = [
            ("Content-Type", answer.kind),
            ("Content-Length", str(len(answer.body))),
            ("Allow", "GET, HEAD"),
            ("Connection", "close"),
        ]
        reason = HTTPStatus(answer.code).phrase
        response = h11.Response(status_code=answer.code, headers=headers, reason=reason)
        head = self._http.send(response) or b""
        if self._transport is not None:
            self._transport.write(head if bare else head + answer.body)
            self._transport.write_eof()
