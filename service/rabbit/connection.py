"""Keeps one connection with one channel up, for ever, and says when it is not."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import aio_pika
from aio_pika.exceptions import AMQPError
from aiormq import Channel
from yarl import URL

from service.domain.patience import Patience
from service.domain.retry import broker_delay
from service.rabbit.address import CONNECT_SECONDS, Address
from service.rabbit.broken import (
    ConnectionLost,
    Late,
    Nacked,
    Returned,
    broker_errors,
    lost,
    unless_lost,
)
from service.rabbit.closing import close_quietly
from service.rabbit.frames import read_everything
from service.rabbit.reasons import node, why
from service.rabbit.side_channel import Side, open_channel
from service.telemetry.chance import chance

ANSWER_SECONDS = 10.0
BLOCKED_SECONDS = 0.1

__all__ = [
    "CONNECT_SECONDS",
    "Address",
    "Connection",
    "ConnectionLost",
    "Late",
    "Nacked",
    "Returned",
    "broker_errors",
    "dial",
    "is_blocked",
    "open_channel",
    "unless_lost",
]

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Life:
    """One connection from its opening to its end."""

    connection: aio_pika.abc.AbstractConnection
    channel: Channel
    ended: "asyncio.Future[ConnectionLost]"
    side: Side


class Connection:
    """One supervised connection.

    `setup` is awaited with each new channel before the connection counts as up. `on_change` is
    told of every way up and down, with the reason. `run` ends only by cancellation.
    """

    def __init__(
        self,
        name: str,
        address: Address,
        *,
        confirms: bool,
        setup: Callable[[Channel], Awaitable[None]],
        on_change: Callable[[str | None], None],
    ) -> None:
        """Prepare; nothing is opened before `run`."""
        self.name = name
        self._address = address
        self._dials = count()
        self._confirms = confirms
        self._setup = setup
        self._on_change = on_change
        self._life: _Life | None = None
        self._up = asyncio.Event()
        self._up_since: float | None = None
        self._patience = Patience()
        self.trouble: str | None = None
        """Why it is down, as of the last try; None while it is up or was never tried."""

    @property
    def is_up(self) -> bool:
        """Whether the channel is open and set up."""
        return self._up.is_set()

    @property
    def patience(self) -> int:
        """By what to multiply each time-out of an answer: more where answers came too late."""
        return self._patience.factor

    async def channel(self) -> Channel:
        """Return the open channel; wait for one while there is none."""
        while self._life is None:
            await self._up.wait()
        return self._life.channel

    @asynccontextmanager
    async def side_channel(self) -> AsyncIterator[Channel]:
        """Lend a channel for a question that may end it; raises Late when no answer comes."""
        if self._life is None:
            raise ConnectionLost("no connection")
        async with self._life.side.lent(ANSWER_SECONDS * self.patience) as channel:
            yield channel

    async def blocked(self) -> bool:
        """Tell whether the broker has stopped reading from us (memory or disk alarm)."""
        return self._life is not None and await is_blocked(self._life.connection)

    def fail(self, reason: ConnectionLost) -> None:
        """End the present connection; a new one is made."""
        if self._life is not None and not self._life.ended.done():
            self._life.ended.set_result(reason)

    async def run(self) -> None:
        """Keep a connection up until cancelled."""
        while True:
            try:
                lost = await self._live()
            except Exception:
                self._up_since = None
                self.trouble = "unexpected error"
                self._on_change(self.trouble)
                raise
            up = 0.0 if self._up_since is None else _now() - self._up_since
            self._up_since = None
            attempt = self._patience.ended(up, late=isinstance(lost, Late))
            self.trouble = str(lost)
            self._on_change(self.trouble)
            wait = broker_delay(attempt, chance())
            log.warning(
                "broker connection lost",
                extra={
                    "connection": self.name,
                    "reason": self.trouble,
                    "retry_in": round(wait, 2),
                },
            )
            await asyncio.sleep(wait)

    async def _live(self) -> ConnectionLost:
        """Open a connection, serve it until it ends, and return why it ended."""
        started = _now()
        try:
            with broker_errors():
                connection = await self._dial()
        except ConnectionLost as lost:
            took = _now() - started
            # RabbitMQ hangs up itself when its answers are so late that we are not in by then.
            slow = took > CONNECT_SECONDS / 2
            return Late(f"{lost} (after {took:.0f} s of opening)") if slow else lost
        try:
            return await self._serve(connection)
        except ConnectionLost as lost:
            return lost
        finally:
            self._up.clear()
            self._life = None
            await close_quietly(connection.close())

    async def _dial(self) -> aio_pika.abc.AbstractConnection:
        """Connect to the next node; raises ConnectionLost, which says why not and what to do."""
        url = self._address.turn(next(self._dials))
        try:
            return await dial(url, self._address.tls, self.name, CONNECT_SECONDS * self.patience)
        except (AMQPError, OSError, UnicodeError) as error:
            told = why(error, tls=url.scheme == "amqps")
            kind = Late if isinstance(error, TimeoutError) else ConnectionLost
            raise kind(f"{node(url)}: {told.found}: {told.remedy}") from None

    async def _serve(self, connection: aio_pika.abc.AbstractConnection) -> ConnectionLost:
        with broker_errors():
            async with asyncio.timeout(CONNECT_SECONDS * self.patience):
                channel = await open_channel(connection, confirms=self._confirms)
        ended: asyncio.Future[ConnectionLost] = asyncio.get_running_loop().create_future()
        life = _Life(connection, channel, ended, Side(connection))
        channel.closing.add_done_callback(lambda closed: _end(life, closed))
        transport = connection.transport
        if transport is not None:
            transport.connection.closing.add_done_callback(lambda closed: _end(life, closed))
        self._life = life
        await self._setup(channel)
        if not life.ended.done():
            self._up_since = _now()
            self.trouble = None
            self._up.set()
            self._on_change(None)
        return await life.ended


async def dial(
    url: URL, tls: ssl.SSLContext | None, name: str, seconds: float = CONNECT_SECONDS
) -> aio_pika.abc.AbstractConnection:
    """Connect to a node under a name that its operator sees; raises what the library raises."""
    read_everything()
    connection = aio_pika.Connection(
        url, ssl_context=tls, client_properties={"connection_name": f"crm-importer {name}"}
    )
    try:
        await connection.connect(timeout=seconds)
    except BaseException:
        # Else the library closes it when it is collected: perhaps after the loop has ended,
        # which Python complains of on standard error.
        await close_quietly(connection.close())
        raise
    return connection


async def is_blocked(connection: aio_pika.abc.AbstractConnection) -> bool:
    """Tell whether the broker has stopped reading a connection; raises ConnectionLost."""
    transport = connection.transport
    if transport is None:
        return False
    with broker_errors():
        try:
            async with asyncio.timeout(BLOCKED_SECONDS):
                await transport.connection.ready()
        except TimeoutError:
            return True
    return False


def _end(life: _Life, closed: "asyncio.Future[Any]") -> None:
    if life.ended.done():
        return
    error = None if closed.cancelled() else closed.exception()
    life.ended.set_result(lost(error) if error else ConnectionLost("closed"))


def _now() -> float:
    return asyncio.get_running_loop().time()
