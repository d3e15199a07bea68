"""Serves the console until it is told to stop."""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from service import factories
from service.commands.console import is_loopback
from service.commands.console.application import application
from service.commands.console.guard import Door, Seals
from service.commands.console.safety import Rules
from service.domain.addresses import bracketed
from service.health import PORT_ERRORS, listening
from service.settings.tree import PREFIX, Settings
from service.telemetry.logs import configure_logs

MAX_CONNECTIONS = 100
MAX_HEADERS = 65_536
"""Bytes of a request's head: an event id of a thousand signs takes twelve for each."""
DRAIN_SECONDS = 15

log = logging.getLogger(__name__)


class OldestGoes(H11Protocol):
    """A connection. Where there are too many, the oldest that asks nothing is closed for it.

    The library would refuse whoever comes last, and never end what is silent.
    """

    opened = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection."""
        self.opened = self.loop.time()
        silent = [
            each for each in self.connections if isinstance(each, OldestGoes) and each.is_silent
        ]
        if len(self.connections) >= MAX_CONNECTIONS - 1 and silent:
            min(silent, key=lambda each: each.opened).transport.close()
        super().connection_made(transport)

    @property
    def is_silent(self) -> bool:
        """Whether no request waits for an answer on it."""
        is_open = not self.transport.is_closing()
        # Before its first request it has no answer under way at all.
        return is_open and getattr(self.cycle, "response_complete", True)


class _Server(uvicorn.Server):
    """A server that leaves the signals to us: the library would end us by them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; return 0. Raises CannotStart."""
    console = settings.console
    configure_logs(
        level=settings.log.level, style=settings.log.format, secrets=factories.secrets(settings)
    )
    try:
        door = listening(console.host, console.port)
    except (OSError, UnicodeError) as error:
        raise factories.CannotStart(_why_not(console.host, console.port, error)) from None
    asyncio.run(_serve(settings, door))
    log.info("stopped")
    return 0


async def _serve(settings: Settings, door: socket.socket) -> None:
    console = settings.console
    password = console.password.get_secret_value() if console.password else None
    rules = Rules(Seals(), Door(password), console.host, _names())
    config = uvicorn.Config(
        application(settings, rules),
        http=OldestGoes,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        h11_max_incomplete_event_size=MAX_HEADERS,
    )
    server, loop = _Server(config), asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    host, port = door.getsockname()[:2]
    log.info(
        "console listens",
        extra={
            "address": f"http://{bracketed(host)}:{port}/",
            "password": "needed" if password else "none",
            "only_this_machine": is_loopback(console.host),
        },
    )
    await server.serve(sockets=[door])


def _names() -> tuple[str, ...]:
    """Return the names of this machine."""
    return (socket.gethostname(), socket.getfqdn())


def _why_not(host: str, port: int, error: Exception) -> str:
    why = error.strerror if isinstance(error, OSError) else "not the name of a host"
    remedy = f"{PREFIX}CONSOLE__HOST to an address of this machine"
    if isinstance(error, OSError) and error.errno in PORT_ERRORS:
        remedy = f"{PREFIX}CONSOLE__PORT to a free port"
    return f"the console cannot listen on {bracketed(host)}:{port} ({why}): set {remedy}"
