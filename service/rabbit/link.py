"""Keeps one connection with one channel up, for ever, and says when it is not."""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from types import TracebackType
from typing import Any, TypeVar, cast

import aio_pika
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError
from aiormq import Channel
from yarl import URL

from service.domain.retry import RetryPolicy
from service.rabbit.wire import read_everything

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 3.0
BLOCKED_SECONDS = 0.1
LAST_WORDS_SECONDS = 0.2
"""What a closed channel still has to say of its calls, it says at once."""
_BACK_OFF = RetryPolicy(base=0.2, cap=10.0, max_attempts=1)

T = TypeVar("T")

log = logging.getLogger(__name__)


class LinkLost(Exception):  # noqa: N818 - reads as what it says
    """The broker, the connection or the channel went away; nothing is known of what was sent."""


class Returned(Exception):  # noqa: N818 - reads as what it says
    """The broker had no queue for a publish."""


class Nacked(Exception):  # noqa: N818 - reads as what it says
    """The broker refused a publish: a queue is full."""


class broker_errors:  # noqa: N801 - reads as the statement it is used in
    """Turn whatever the client library raises into `LinkLost`, `Returned` or `Nacked`.

    The library ends waits with CancelledError although nobody cancelled the task; only a
    cancellation of our own task is let through.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Watch what follows."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Translate what was raised."""
        match error:
            case None:
                return
            case asyncio.CancelledError():
                task = asyncio.current_task()
                if task is None or not task.cancelling():
                    raise LinkLost("the connection was closed") from None
            case PublishError():
                raise Returned from None
            case DeliveryError():
                raise Nacked from None
            case AMQPError() | OSError() | TimeoutError() | RuntimeError():
                raise LinkLost(f"{type(error).__name__}: {error}") from None
            # What the library ends a wait with when its channel closes without a reason.
            case Exception() if type(error) is Exception:
                raise LinkLost("the channel was closed") from None
            case _:
                return


async def unless_lost(channel: Channel, call: Coroutine[Any, Any, T]) -> T:
    """Await a call of the client library; raise LinkLost when its channel ends first.

    A call that waits for room in the library's write queue would wait for ever once the
    connection is gone: nobody empties that queue any more.
    """
    work = asyncio.ensure_future(call)
    # Each `closing` is an observer that stays with the channel until it is cancelled.
    closing = channel.closing
    try:
        await asyncio.wait({work, closing}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await asyncio.wait({work}, timeout=LAST_WORDS_SECONDS)
        if work.done():
            return work.result()
    finally:
        work.cancel()
        closing.cancel()
    raise LinkLost("the channel was closed")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is and how to get in; several nodes are tried in turn."""

    urls: Sequence[str]
    heartbeat: float
    tls: ssl.SSLContext | None = None

    def with_heartbeat(self) -> list[URL]:
        """Return the addresses with the heartbeat the client library reads from them."""
        return [
            URL(url).update_query(heartbeat=str(max(1, round(self.heartbeat))))
            for url in self.urls
        ]


@dataclass(slots=True, eq=False)
class _Life:
    """One connection from its opening to its end."""

    connection: aio_pika.abc.AbstractConnection
    channel: Channel
    ended: "asyncio.Future[str]"


class Link:
    """One supervised connection.

    `setup` is awaited with each new channel before the link counts as up. `on_change` is told
    of every way up and down, with the reason. `run` ends only by cancellation.
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
        self._urls = cycle(address.with_heartbeat())
        self._tls = address.tls
        self._confirms = confirms
        self._setup = setup
        self._on_change = on_change
        self._life: _Life | None = None
        self._up = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Whether the channel is open and set up."""
        return self._up.is_set()

    async def channel(self) -> Channel:
        """Return the open channel; wait for one while there is none."""
        while self._life is None:
            await self._up.wait()
        return self._life.channel

    @asynccontextmanager
    async def side_channel(self) -> AsyncIterator[Channel]:
        """Open a channel for questions that may end it, and close it afterwards."""
        if self._life is None:
            raise LinkLost("no connection")
        connection = self._life.connection
        with broker_errors():
            channel = await open_channel(connection, confirms=False)
        try:
            yield channel
        finally:
            await close_quietly(channel.close())

    async def blocked(self) -> bool:
        """Tell whether the broker has stopped reading from us (memory or disk alarm)."""
        return self._life is not None and await is_blocked(self._life.connection)

    def fail(self, reason: str) -> None:
        """End the present connection; a new one is made."""
        if self._life is not None and not self._life.ended.done():
            self._life.ended.set_result(reason)

    async def run(self) -> None:
        """Keep a connection up until cancelled."""
        attempt = 0
        while True:
            started = asyncio.get_running_loop().time()
            reason = await self._live()
            if asyncio.get_running_loop().time() - started > CONNECT_SECONDS:
                attempt = 0
            self._on_change(reason)
            wait = _BACK_OFF.delay(attempt, 0.5 + random.random() / 2)  # noqa: S311 - jitter
            log.warning(
                "broker link down",
                extra={"link": self.name, "reason": reason, "retry_in": round(wait, 2)},
            )
            attempt += 1
            await asyncio.sleep(wait)

    async def _live(self) -> str:
        """Open a connection, serve it until it ends, and return why it ended."""
        try:
            with broker_errors():
                connection = await dial(next(self._urls), self._tls, self.name)
        # A host that cannot be one; `broker_errors` leaves it, as publishes have such errors, too.
        except (LinkLost, UnicodeError) as lost:
            return str(lost)
        try:
            return await self._serve(connection)
        except LinkLost as lost:
            return str(lost)
        finally:
            self._up.clear()
            self._life = None
            await close_quietly(connection.close())

    async def _serve(self, connection: aio_pika.abc.AbstractConnection) -> str:
        with broker_errors():
            async with asyncio.timeout(CONNECT_SECONDS):
                channel = await open_channel(connection, confirms=self._confirms)
        life = _Life(connection, channel, asyncio.get_running_loop().create_future())
        channel.closing.add_done_callback(lambda closed: _end(life, closed))
        transport = connection.transport
        if transport is not None:
            transport.connection.closing.add_done_callback(lambda closed: _end(life, closed))
        self._life = life
        await self._setup(channel)
        if not life.ended.done():
            self._up.set()
            self._on_change(None)
        return await life.ended


async def dial(url: URL, tls: ssl.SSLContext | None, name: str) -> aio_pika.abc.AbstractConnection:
    """Connect to a node under a name that its operator sees; raises what the library raises."""
    read_everything()
    return await aio_pika.connect(
        url,
        timeout=CONNECT_SECONDS,
        ssl_context=tls,
        client_properties={"connection_name": f"crm-importer {name}"},
    )


async def is_blocked(connection: aio_pika.abc.AbstractConnection) -> bool:
    """Tell whether the broker has stopped reading a connection; raises LinkLost."""
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


async def open_channel(connection: aio_pika.abc.AbstractConnection, *, confirms: bool) -> Channel:
    """Open a channel of the protocol library; unroutable publishes raise."""
    transport = connection.transport
    if transport is None:
        raise LinkLost("no connection")
    opened = await transport.connection.channel(publisher_confirms=confirms, on_return_raises=True)
    return cast("Channel", opened)


def _end(life: _Life, closed: "asyncio.Future[Any]") -> None:
    if life.ended.done():
        return
    error = None if closed.cancelled() else closed.exception()
    life.ended.set_result(f"{type(error).__name__}: {error}" if error else "closed")


async def close_quietly(closing: Awaitable[Any]) -> None:
    """Await the closing of something that may be dead already, for a short time."""
    try:
        with broker_errors():
            async with asyncio.timeout(CLOSE_SECONDS):
                await closing
    except LinkLost:
        pass
