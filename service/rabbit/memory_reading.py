"""Reads the stream of the memory over one channel: from the last page on, then as it grows."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from aiormq import Channel
from aiormq.abc import DeliveredMessage, FieldValue
from aiormq.exceptions import AMQPChannelError, ChannelNotFoundEntity

from service.domain.last_words import LastWord, LastWords, unpacked
from service.domain.rereading import Rereading
from service.rabbit import notes
from service.rabbit.connection import ConnectionLost, broker_errors
from service.rabbit.notes import Note, NoteKind, Owner
from service.rabbit.topology import SideChannel
from service.telemetry import steady

QUIET_SECONDS = 0.4
"""The newest chunk of a stream comes at once; so long without a message is its end."""
REST_SECONDS = 0.1
"""The rest of that chunk follows at once; a note before the newest names a page as good."""
RPC_SECONDS = 5.0
PREFETCH = 500
ACK_EVERY = 100
MAX_PAGES = 2
"""Pages of which not all parts have come."""
SKEW_SECONDS = 5.0
"""A note that is older or younger than this when it comes tells that two clocks differ."""

MAX_STREAM_BYTES = 32_000_000
SEGMENT_BYTES = 4_000_000
STREAM_ARGUMENTS: dict[str, FieldValue] = {
    "x-queue-type": "stream",
    "x-max-length-bytes": MAX_STREAM_BYTES,
    "x-stream-max-segment-size-bytes": SEGMENT_BYTES,
}

Before = list[LastWord | None]
Receive = Callable[[DeliveredMessage], Coroutine[Any, Any, None]]


class UnusableError(Exception):
    """The stream cannot be used; the text says why."""


@dataclass(slots=True, eq=False)
class Reading:
    """What one channel has read of the stream, and who waits for which note.

    `offset`: of the newest note; `page`: the offset that the next notes name; `met_page`: a whole
    page of ours was read; `since_page`: how many notes came after it; `follows`: all that was
    there before has been read.
    """

    channel: Channel
    queue: str
    owner: Owner
    words: LastWords | Rereading
    on_note: Callable[[Note], None]
    page: int | None = None
    offset: int = -1
    since_page: int = 0
    met_page: bool = False
    follows: bool = False
    _tag: str | None = None
    _unacked: int = 0
    _parts: dict[tuple[int, int], dict[int, bytes]] = field(default_factory=dict)
    _waiting: "dict[str, asyncio.Future[Before]]" = field(default_factory=dict)

    async def start(self, at: int | Literal["first"]) -> None:
        """Consume from an offset on; raises ConnectionLost."""
        self._tag = await _consume(self.channel, self.queue, self._receive, at)

    async def stop(self) -> None:
        """Read no further; raises ConnectionLost."""
        if self._tag is not None:
            with broker_errors():
                await self.channel.basic_cancel(self._tag, timeout=RPC_SECONDS)

    def follow(self, known: LastWords) -> LastWords:
        """Note that all that was there before has been read; return all that is known now.

        A killed broker forgets the end of a stream: what was `known` before still counts.
        """
        if isinstance(self.words, Rereading):
            self.words.end()
            self.words = known
        else:
            self.words.absorb(known)
        self.follows = True
        return self.words

    def lost(self, reason: str) -> None:
        """Tell everybody who waits for a note that it will not come."""
        for came in self._waiting.values():
            if not came.done():
                came.set_exception(ConnectionLost(reason))

    @contextmanager
    def awaited(self, message_id: str) -> "Iterator[asyncio.Future[Before]]":
        """Lend what is set when the note with this message id was read.

        Its result is, for each word of the note, the word that stood before.
        """
        came: asyncio.Future[Before] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = came
        try:
            yield came
        finally:
            self._waiting.pop(message_id, None)
            if came.done() and not came.cancelled():
                came.exception()  # seen, so that nobody complains of it
            came.cancel()

    async def _receive(self, message: DeliveredMessage) -> None:
        """Take one message of the stream; acknowledge many at once, which asks for more."""
        read = notes.read(message, self.owner)
        self.offset = max(self.offset, read.offset)
        self.since_page += 1
        if read.page is not None:
            self.page = max(read.page, self.page or 0)
        before = [] if read.note is None else self._take(read.note)
        came = self._waiting.get(read.message_id or "")
        if came is not None and not came.done():
            came.set_result(before)
        self._unacked += 1
        if self._unacked >= ACK_EVERY:
            self._unacked = 0
            with suppress(ConnectionLost), broker_errors():
                tag = message.delivery_tag or 0
                await self.channel.basic_ack(tag, multiple=True, wait=False)

    def _take(self, note: Note) -> Before:
        """Take what a note says; return the words that stood before."""
        note = self._by_our_clock(note)
        if self.words.read_from is None:
            self.words.read_from = note.at
        match note.kind:
            case NoteKind.WORDS:
                return [self.words.say(word) for word in note.words]
            case NoteKind.PAGE:
                self._take_page(note)
            case NoteKind.SET_BACK:
                self.words.set_back(note.at)
                self.on_note(note)
            case NoteKind.MARK:
                pass
            case _:
                self.on_note(note)
        return []

    def _by_our_clock(self, note: Note) -> Note:
        """Return a note with its times by our clock; its writer's may be an hour off.

        None was said later than it came, and one that comes while we follow was said just now.
        """
        off = time.time() - note.at
        is_true = off >= -SKEW_SECONDS and (off <= SKEW_SECONDS or not self.follows)
        return note.moved(steady.ahead() + (0.0 if is_true else off), steady.time())

    def _take_page(self, note: Note) -> None:
        """Take a part of a page; when all are there, it counts as said before everything else."""
        key = (note.writer, note.number)
        if key not in self._parts and len(self._parts) >= MAX_PAGES:
            # If the writer of a page is gone, the rest of the page never comes.
            del self._parts[next(iter(self._parts))]
        parts = self._parts.setdefault(key, {})
        # Who follows since an earlier page knows all of it: its many words are not held again.
        parts[note.part] = b"" if self.follows and self.met_page else notes.body(note)
        if len(parts) < note.parts:
            return
        del self._parts[key]
        self.words.recall(word for part in sorted(parts) for word in unpacked(parts[part]))
        self.met_page, self.since_page = True, 0
        self.page = max(note.number, self.page or 0)


async def ensure(side_channel: SideChannel, queue: str, *, make: bool) -> bool:
    """See that the stream is there, or make it if that is wanted; tell whether it was made.

    Raises UnusableError when it may not be used or made, ConnectionLost.
    """
    try:
        await _declare(side_channel, queue, passive=True)
    except ChannelNotFoundEntity:
        pass
    except AMQPChannelError as refused:
        raise UnusableError(f"queue {queue} cannot be used: {refused}") from None
    else:
        return False
    if not make:
        raise UnusableError(
            f"queue {queue} is missing, and RABBIT__TOPOLOGY=check must not make it"
        )
    try:
        await _declare(side_channel, queue, passive=False)
    except AMQPChannelError as refused:
        raise UnusableError(f"queue {queue} cannot be made: {refused}") from None
    return True


async def _declare(side_channel: SideChannel, queue: str, *, passive: bool) -> None:
    async with side_channel() as channel:
        arguments = None if passive else STREAM_ARGUMENTS
        with broker_errors():
            try:
                await channel.queue_declare(
                    queue, durable=True, passive=passive, arguments=arguments, timeout=RPC_SECONDS
                )
            except AMQPChannelError as refused:
                refusal = refused
            else:
                return
    raise refusal


async def last_page(channel: Channel, queue: str, owner: Owner) -> int | None:
    """Return the offset that the newest note names; None where none is named.

    Raises ConnectionLost.
    """
    found = await newest(channel, queue, owner)
    return None if found is None else found.page


async def read_whole(
    page: int | None, read_from: Callable[[int | None], Awaitable[Reading]]
) -> Reading:
    """Read from a page on, or from the first note where that page is not ours.

    The last note was another portal's then, or of a newer format. Raises ConnectionLost.
    """
    reading = await read_from(page)
    if page is not None and not reading.met_page:
        await reading.stop()
        reading = await read_from(None)
        reading.page = max(page, reading.page or 0)
    return reading


async def newest(channel: Channel, queue: str, owner: Owner) -> notes.Read | None:
    """Return the newest message of the stream; None where it is empty. Raises ConnectionLost."""
    found: notes.Read | None = None
    came = asyncio.Event()

    async def receive(message: DeliveredMessage) -> None:
        nonlocal found
        found = notes.read(message, owner)
        came.set()

    tag = await _consume(channel, queue, receive, "last")
    wait = QUIET_SECONDS
    while await within(wait, came):
        came.clear()
        wait = REST_SECONDS
    with broker_errors():
        await channel.basic_cancel(tag, timeout=RPC_SECONDS)
    return found


async def _consume(
    channel: Channel, queue: str, receive: Receive, start: int | Literal["first", "last"]
) -> str:
    with broker_errors():
        await channel.basic_qos(prefetch_count=PREFETCH, timeout=RPC_SECONDS)
        answer = await channel.basic_consume(
            queue, receive, arguments={"x-stream-offset": start}, timeout=RPC_SECONDS
        )
    return answer.consumer_tag or ""


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event; tell whether it came in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
