"""Holds messages of a queue for a while, in windows, and returns what is not taken.

Who returns a window to a queue with a delivery limit gets the same messages again: they go to the
front. So to come deeper everything that was passed stays ours until the end, in the broker; here
only its number is kept. Nobody else sees meanwhile what we hold, so whoever reads a queue that
the importer lives on names a bound (`adr/0018`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from service.rabbit.closing import close_quietly, leave
from service.rabbit.connection import broker_errors, unless_lost
from service.rabbit.session import Missing, Session

FIRST_WINDOW = 10
MAX_WINDOW = 500
WINDOW_BYTES = 8_000_000
QUIET_SECONDS = 1.0
STALLED_SECONDS = 10.0
RETURNED_SECONDS = 10.0
LOOK_SECONDS = 0.05
RPC_SECONDS = 10.0


class Stalled(Exception):  # noqa: N818 - reads as what it says
    """There are messages, but the broker gives us none; the text says what to look at."""


@dataclass(slots=True, eq=False)
class Holding:
    """The messages that lay in a queue when it was opened; no later one is looked at.

    What `windows` yields stays ours until the holding ends: then everything goes back that was
    not taken. `depth` is how many there are, `others` how many consumers were at the queue
    already, which may hold more, `held` how many we hold.
    """

    queue: str
    depth: int
    others: int
    channel: Channel
    held: int = 0

    async def windows(self, most: int | None = None) -> AsyncIterator[list[DeliveredMessage]]:
        """Yield the messages, at most this many, as many at a time as fit into memory."""
        left, size = self.depth if most is None else min(self.depth, most), FIRST_WINDOW
        while left > 0:
            messages = await self._window(min(left, size))
            if not messages:
                return
            left -= len(messages)
            self.held += len(messages)
            size = _fitting(messages)
            yield messages

    async def take(self, tags: Iterable[int]) -> None:
        """Remove messages from the queue for good; raises ConnectionLost."""
        with broker_errors():
            for tag in tags:
                await self.channel.basic_ack(tag)
                self.held -= 1

    async def _window(self, size: int) -> list[DeliveredMessage]:
        """Receive this many messages, or fewer when the queue has no more."""
        inbox = _Inbox(size)
        with broker_errors():
            await self.channel.basic_qos(prefetch_count=size, timeout=RPC_SECONDS)
            consumer = await self.channel.basic_consume(self.queue, inbox.put, timeout=RPC_SECONDS)
        await self._fill(inbox)
        with broker_errors():
            await self.channel.basic_cancel(str(consumer.consumer_tag), timeout=RPC_SECONDS)
        return inbox.messages

    async def _fill(self, inbox: "_Inbox") -> None:
        """Wait until the inbox is full, or the queue has no more messages."""
        silent_since, known = _now(), 0
        while not inbox.full.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_SECONDS):
                    await unless_lost(self.channel, inbox.filled())
            if len(inbox.messages) > known:
                silent_since, known = _now(), len(inbox.messages)
                continue
            ready, _ = await depth(self.channel, self.queue)
            if ready == 0:
                return
            if _now() - silent_since > STALLED_SECONDS:
                raise Stalled(
                    f"queue {self.queue} has messages but delivers none: another program may "
                    f"consume it alone (x-single-active-consumer)"
                )


@dataclass(slots=True, eq=False)
class _Inbox:
    """Messages as they come, until there are enough."""

    size: int
    messages: list[DeliveredMessage] = field(default_factory=list)
    full: "asyncio.Future[None]" = field(default_factory=asyncio.Future)

    async def filled(self) -> None:
        await asyncio.shield(self.full)

    async def put(self, message: DeliveredMessage) -> None:
        self.messages.append(message)
        if len(self.messages) >= self.size and not self.full.done():
            self.full.set_result(None)


@asynccontextmanager
async def hold(session: Session, queue: str) -> AsyncIterator[Holding]:
    """Look at a queue; raises Missing, Stalled or ConnectionLost.

    It ends without an error only when every message is known to be gone or back.
    """
    channel = await session.channel()
    ready, consumers = await depth(channel, queue)
    holding = Holding(queue, ready, consumers, channel)
    try:
        yield holding
        there, _ = await depth(channel, queue)
        await _give_back(channel)
        if holding.held:
            await _see_back(channel, queue, there + holding.held)
        else:
            await _see_taken(channel, queue)
    except BaseException:
        await close_quietly(_give_back(channel))
        raise
    finally:
        await leave(channel)


async def depth(channel: Channel, queue: str) -> tuple[int, int]:
    """Return how many messages are ready, and how many consumers there are; raises Missing."""
    with broker_errors():
        try:
            answer = await channel.queue_declare(queue, passive=True, timeout=RPC_SECONDS)
        except ChannelNotFoundEntity:
            raise Missing(f"queue {queue}") from None
    return answer.message_count or 0, answer.consumer_count or 0


async def _give_back(channel: Channel) -> None:
    """Return what we hold; closing alone is a failure to RabbitMQ 4.3, which counts those."""
    with broker_errors():
        await channel.basic_nack(0, multiple=True, requeue=True)


async def _see_back(channel: Channel, queue: str, whole: int) -> None:
    """Wait until returned messages are visible in the queue, or another consumer takes them.

    `whole`: what we held, and what lay there before that went back: copies of ours among it.
    Neither an acknowledgement nor a return has an answer; a question has one, and comes after
    all of them. Many returns take a queue seconds, and whoever looks next should see them.
    """
    most, since = -1, _now()
    while True:
        ready, _ = await depth(channel, queue)
        # Fewer than a moment ago: somebody takes them.
        if ready >= whole or ready < most or _now() - since > RETURNED_SECONDS:
            return
        if ready > most:
            most, since = ready, _now()
        await asyncio.sleep(LOOK_SECONDS)


async def _see_taken(channel: Channel, queue: str) -> None:
    """Wait until the queue has read every acknowledgement.

    A quorum queue's client keeps acknowledgements back while many are under way, and a channel
    that closes meanwhile takes them along: letters that are gone would lie there again. Fetching
    is answered by the queue itself, in order: the first time all that was under way is done, and
    what was kept back leaves; the second time that is done as well.
    """
    for _ in range(2):
        with broker_errors():
            found = await channel.basic_get(queue, timeout=RPC_SECONDS)
            if found.delivery_tag:
                await channel.basic_nack(found.delivery_tag, requeue=True)


def _fitting(messages: Sequence[DeliveredMessage]) -> int:
    """Return how many messages of this size one window may hold."""
    mean = sum(len(message.body) for message in messages) // len(messages) + 1
    return max(1, min(MAX_WINDOW, WINDOW_BYTES // mean))


def _now() -> float:
    return asyncio.get_running_loop().time()
