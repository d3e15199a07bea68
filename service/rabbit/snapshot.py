"""Reads the dead letters that lie in a queue now, in windows, and returns what is not taken.

Every return counts against the delivery limit of the queue. RabbitMQ 4 has one of 20 where
nobody set another, and this queue has nowhere to send what exceeds it: the letter would be gone.
So a letter that was returned a few times already is put into the queue anew, confirmed, and only
then the old one is removed; the new one starts from nought.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from service.rabbit.confirms import Confirmer, PublishResult
from service.rabbit.connection import broker_errors, close_quietly, leave, unless_lost
from service.rabbit.decoding import Decoder
from service.rabbit.letters import Letter, read, renewed
from service.rabbit.session import Missing, Session

MAX_RETURNS = 5
"""Most times a letter is returned; far below RabbitMQ's own limit, to leave room for crashes."""
FIRST_WINDOW = 10
MAX_WINDOW = 1000
WINDOW_BYTES = 8_000_000
QUIET_SECONDS = 1.0
STALLED_SECONDS = 10.0
RETURNED_SECONDS = 10.0
LOOK_SECONDS = 0.05
RPC_SECONDS = 10.0


class Stalled(Exception):  # noqa: N818 - reads as what it says
    """There are letters, but the broker gives us none; the text says what to look at."""


@dataclass(slots=True, eq=False)
class Snapshot:
    """The letters that lay in the queue when it was opened; no later one is looked at.

    What `windows` yields stays ours until the snapshot closes: then everything goes back that
    was not taken. While we hold letters, nobody else sees them. `depth` is how many there are,
    `others` how many consumers were at the queue already, which may hold more, `held` how many we
    hold.
    """

    queue: str
    depth: int
    others: int
    channel: Channel
    confirmer: Confirmer
    decoder: Decoder
    unkept: int = 0
    held: int = 0
    _seen: dict[tuple[str, str], list[tuple[str, int]]] = field(default_factory=dict)

    async def windows(self) -> AsyncIterator[list[Letter]]:
        """Yield the letters, as many at a time as fit into memory."""
        left, size = self.depth, FIRST_WINDOW
        while left > 0:
            messages = await self._window(min(left, size))
            if not messages:
                return
            left -= len(messages)
            self.held += len(messages)
            size = _fitting(messages)
            letters = [read(message, self.decoder) for message in messages]
            yield [letter for letter in letters if await self._is_new(letter)]

    async def settle(self, window: Iterable[Letter], gone: Iterable[Letter]) -> None:
        """Remove what is gone from a window for good, and keep the rest of it."""
        gone = list(gone)
        tags = {letter.tag for letter in gone}
        await self.take(gone)
        await self.keep(letter for letter in window if letter.tag not in tags)

    async def take(self, letters: Iterable[Letter]) -> None:
        """Remove letters from the queue for good."""
        with broker_errors():
            for letter in letters:
                await self.channel.basic_ack(letter.tag)
                self.held -= 1

    async def keep(self, letters: Iterable[Letter]) -> None:
        """See that letters outlive their return; counts in `unkept` those that may not."""
        old = [letter for letter in letters if letter.returns >= MAX_RETURNS]
        results = await asyncio.gather(
            *(self.confirmer.send(renewed(letter, self.queue)) for letter in old)
        )
        fates = list(zip(old, results, strict=True))
        await self.take(letter for letter, result in fates if result is PublishResult.CONFIRMED)
        self.unkept += sum(result is not PublishResult.CONFIRMED for result in results)

    async def _is_new(self, letter: Letter) -> bool:
        """Tell a letter from the copy that an interrupted renewal left; the copy is removed."""
        if letter.unique is None:
            return True
        trace = letter.renewal, letter.returns
        seen = self._seen.setdefault(letter.unique, [])
        if any(renews(trace, other) for other in seen):
            await self.take([letter])
            return False
        seen.append(trace)
        return True

    async def _window(self, size: int) -> list[DeliveredMessage]:
        """Receive so many messages, or fewer when the queue has no more."""
        inbox = _Inbox(size)
        with broker_errors():
            await self.channel.basic_qos(prefetch_count=size, timeout=RPC_SECONDS)
            consumer = await self.channel.basic_consume(self.queue, inbox.put, timeout=RPC_SECONDS)
        await self._fill(inbox)
        with broker_errors():
            await self.channel.basic_cancel(str(consumer.consumer_tag), timeout=RPC_SECONDS)
        return inbox.messages

    async def _fill(self, inbox: "_Inbox") -> None:
        """Wait until the inbox is full, or the queue has no more, whoever took it."""
        silent_since, known = _now(), 0
        while not inbox.full.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_SECONDS):
                    await unless_lost(self.channel, inbox.filled())
            if len(inbox.messages) > known:
                silent_since, known = _now(), len(inbox.messages)
                continue
            ready, _ = await _depth(self.channel, self.queue)
            if ready == 0:
                return
            if _now() - silent_since > STALLED_SECONDS:
                raise Stalled(
                    f"queue {self.queue} has letters and gives us none: does another program "
                    "consume it alone (x-single-active-consumer)?"
                )


def renews(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Tell whether one of two letters alike, each its mark and its returns, renews the other.

    Two that upstream, or whoever moves letters, put there are two: nothing is removed in doubt.
    """
    (first, returns), (second, _) = sorted([one, other])
    return bool(second) and (first == second or (not first and returns >= MAX_RETURNS))


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
async def open_snapshot(session: Session, queue: str, decoder: Decoder) -> AsyncIterator[Snapshot]:
    """Look at a queue; raises Missing, Stalled or ConnectionLost.

    It ends without an error only when every letter is known to be gone or back.
    """
    channel = await session.channel()
    reopen = partial(session.channel, confirms=True)
    confirmer = Confirmer(await reopen(), reopen)
    ready, consumers = await _depth(channel, queue)
    try:
        snapshot = Snapshot(queue, ready, consumers, channel, confirmer, decoder)
        yield snapshot
        await _give_back(channel)
        if snapshot.held:
            await _see_back(channel, queue, snapshot.held)
        else:
            await _see_taken(channel, queue)
    except BaseException:
        await close_quietly(_give_back(channel))
        raise
    finally:
        await leave(channel)


async def _give_back(channel: Channel) -> None:
    """Return what we hold; closing alone is a failure to RabbitMQ 4.3, which counts those."""
    with broker_errors():
        await channel.basic_nack(0, multiple=True, requeue=True)


async def _see_back(channel: Channel, queue: str, held: int) -> None:
    """Wait until what we held is seen in the queue, or somebody else takes it from there.

    Neither an acknowledgement nor a return has an answer; a question has one, and comes after
    all of them. Many returns take a queue seconds, and whoever looks next should see them.
    """
    most, since = -1, _now()
    while True:
        ready, _ = await _depth(channel, queue)
        if ready >= held or _now() - since > RETURNED_SECONDS:
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


async def _depth(channel: Channel, queue: str) -> tuple[int, int]:
    """Return how many messages are ready, and how many consumers there are."""
    with broker_errors():
        try:
            answer = await channel.queue_declare(queue, passive=True, timeout=RPC_SECONDS)
        except ChannelNotFoundEntity:
            raise Missing(f"queue {queue}") from None
    return answer.message_count or 0, answer.consumer_count or 0


def _fitting(messages: Sequence[DeliveredMessage]) -> int:
    """Return how many messages of this size one window may hold."""
    mean = sum(len(message.body) for message in messages) // len(messages) + 1
    return max(1, min(MAX_WINDOW, WINDOW_BYTES // mean))


def _now() -> float:
    return asyncio.get_running_loop().time()
