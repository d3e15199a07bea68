"""Adds notes to the memory and follows those of everybody: a stream that is never changed."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count

from aiormq import Channel

from service.domain.last_words import LastWord, LastWords
from service.domain.rereading import Rereading
from service.rabbit import notes
from service.rabbit.broken import end_if_cancelled
from service.rabbit.confirms import PublishResult, published
from service.rabbit.connection import Address, Connection, ConnectionLost, unless_lost
from service.rabbit.encoding import Outgoing
from service.rabbit.memory_reading import (
    Before,
    Reading,
    UnusableError,
    ensure,
    last_page,
    read_whole,
    within,
)
from service.rabbit.memory_state import COMING, TROUBLE, MemoryState
from service.rabbit.memory_upkeep import Upkeep
from service.rabbit.notes import TOLD_AGAIN, Heard, Note, NoteKind, Owner
from service.telemetry import steady
from service.telemetry.supervision import no_stray

WAIT_SECONDS = 5.0
"""Nothing waits for the memory longer; after one such wait nothing waits until it has answered."""
READ_SECONDS = 60.0
RETRY_SECONDS = 15.0
FORGOTTEN_SECONDS = 5.0
"""A killed broker has forgotten no more than the last of these (measured: a tenth of a second)."""
log = logging.getLogger(__name__)


class Memory:
    """The notes of all processes of one portal: adds ours, and knows the last word of all.

    Knows nothing of batches. Every method returns within `WAIT_SECONDS`, whatever the broker
    does; who gets None or False works as without a memory. `on_note` is told of every note that
    says no word on an event: queues made, lanes to try, who is active, a portal set back.
    """

    def __init__(
        self,
        *,
        address: Address,
        queue: str,
        owner: Owner,
        remember: int,
        hold: float = 600.0,
        on_note: Callable[[Note], None] = lambda _: None,
    ) -> None:
        """Prepare; nothing is opened before `run`. `makes` may be set until then: see `ensure`."""
        self.writer = secrets.randbits(63)
        self.words = LastWords(remember)
        self.state, self.reason = MemoryState.UNAVAILABLE, "not connected yet"
        self.upkeep = Upkeep(self)
        self.begun_at: float | None = None
        self.last_written: float | None = None
        self.unsure_since: float | None = None
        """From when on words of ours may be missing in the stream; None: none is."""
        self.untold: dict[tuple[NoteKind, int], None] = {}
        self.read_anew = False
        """Whether it was read again after a lost connection, and no page was added since."""
        self._queue, self._owner = queue, owner
        self._remember, self._hold, self.makes = remember, hold, True
        self._ready = asyncio.Event()
        """Set while it is followed, and where it cannot be used."""
        self._ids, self._waited_in_vain = count(1), False
        self.heard = Heard(on_note)
        self.reading: Reading | None = None
        self._mark: asyncio.Task[Before | None] | None = None
        self._connection = Connection(
            "memory", address, confirms=True, setup=self._connected, on_change=self._gone
        )

    @property
    def reliable(self) -> bool:
        """Whether an event without a word was in no call.

        Not while nothing is known yet, nor soon after this very process has begun the memory:
        what was held before then may have been in a call that nobody noted.
        """
        young = self.begun_at is not None and steady.time() - self.begun_at < self._hold
        return self.state is MemoryState.FOLLOWING and not young

    @property
    def tells_queues(self) -> bool:
        """Whether it knows which lanes have queues: every page repeats that."""
        page = self.reading is not None and self.reading.met_page
        return self.state is MemoryState.FOLLOWING and page

    async def set_back(self) -> None:
        """Note that the portal came back with older data."""
        self.words.set_back(steady.time())
        await self.tell(NoteKind.SET_BACK)

    async def run(self) -> None:
        """Read and follow until cancelled; failures are tried again."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for name, work in (("connection", self._connection.run), ("reader", self._follow)):
                    tasks.create_task(no_stray(work()), name=f"{name} of the memory")
        except Exception:
            self._gone("an unexpected error")
            raise

    async def add(self, words: Sequence[LastWord]) -> bool:
        """Add words; tell whether the broker has confirmed them. They count here at once."""
        for word in words:
            self.words.say(word)
        if await self.send(self.note(NoteKind.WORDS, words)) is not None:
            return True
        self._unsure(word.at for word in words)
        return False

    async def before_call(self, words: Sequence[LastWord]) -> Before | None:
        """Add the words of a call that is about to leave, and read them back.

        Returns for each event the word that stood before; None when the memory cannot tell.
        """
        before = await self.send(self.note(NoteKind.WORDS, words), read_back=True)
        if before is None:
            for word in words:
                self.words.say(word)
            self._unsure(word.at for word in words)
        return before

    async def tell(self, kind: NoteKind, number: int = 0) -> bool:
        """Add a note that says no word on an event; tell whether it was confirmed."""
        told = await self.send(replace(self.note(kind), number=number)) is not None
        if kind in TOLD_AGAIN and not told:
            self.untold[kind, number] = None
        return told

    async def catch_up(self) -> bool:
        """Learn everything that was confirmed before this call; False when that cannot be told.

        Several that ask at once share one mark; who comes while it is under way gets the next.
        """
        if self.state in COMING and not self._waited_in_vain:
            self._waited_in_vain = not await within(WAIT_SECONDS, self._ready)
        under_way = self._mark
        if under_way is not None and not under_way.done():
            await asyncio.wait({under_way})
        if self._mark is under_way or self._mark is None:
            self._mark = asyncio.ensure_future(self.send(self.note(NoteKind.MARK), read_back=True))
        return await asyncio.shield(self._mark) is not None

    def note(self, kind: NoteKind, words: Sequence[LastWord] = ()) -> Note:
        """Return a note of ours, said now."""
        return Note(kind, steady.time(), self.writer, tuple(words))

    async def send(self, note: Note, *, read_back: bool = False) -> Before | None:
        """Publish a note, and read it back if asked for; None when that is not known in time."""
        reading = self.reading
        if reading is None or self.state is not MemoryState.FOLLOWING:
            return None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await self._add(reading, note, read_back=read_back)
        except TimeoutError:
            self._move(MemoryState.SILENT, f"no answer within {WAIT_SECONDS:g} s")
        except ConnectionLost:
            pass
        return None

    async def _add(self, reading: Reading, note: Note, *, read_back: bool) -> Before | None:
        note, message_id = note.moved(-steady.ahead()), f"{self.writer:x}-{next(self._ids)}"
        properties = notes.properties(note, self._owner, page=reading.page, message_id=message_id)
        message = Outgoing("memory", "", self._queue, notes.body(note), properties)
        with reading.awaited(message_id) as came:
            result = await unless_lost(reading.channel, published(reading.channel, message))
            if result is PublishResult.RETURNED:
                await self._deleted()
            if result is not PublishResult.CONFIRMED:
                return None
            self.last_written = note.at
            return await came if read_back else []

    async def _connected(self, channel: Channel) -> None:
        """Take a new channel; reading is no part of connecting."""
        channel.on_consumer_cancel_callbacks.add(self._deleted)

    async def _deleted(self, _: object = None) -> None:
        """Start again: nothing else shows that the queue is gone."""
        self._connection.fail(ConnectionLost(f"queue {self._queue} is gone"))

    def _gone(self, reason: str | None) -> None:
        if reason is not None:
            reading, self.reading = self.reading, None
            if reading is not None:
                reading.lost(reason)
                # A broker that is killed forgets what it has confirmed last.
                self._unsure([steady.time() - FORGOTTEN_SECONDS])
            self._move(MemoryState.UNAVAILABLE, reason)

    def _unsure(self, times: Iterable[float]) -> None:
        """Note that words of ours, said at these times or later, may be missing in the stream."""
        self.unsure_since = min([*times, self.unsure_since or float("inf")])

    async def _follow(self) -> None:
        """Read each new channel from the last page on, and follow it until it ends."""
        while True:
            end_if_cancelled()
            channel = await self._connection.channel()
            closing = channel.closing
            try:
                if await ensure(self._connection.side_channel, self._queue, make=self.makes):
                    self.begun_at = steady.time()
                async with asyncio.timeout(READ_SECONDS):
                    await self._read_all(channel)
                await self._watch(closing)
            except ConnectionLost as lost:
                # A channel that was too slow still has our consumer: another one reads again.
                self._gone(str(lost))
                self._connection.fail(lost)
                await asyncio.sleep(RETRY_SECONDS / 5)
            except UnusableError as reason:
                self._gone(str(reason))
                self._ready.set()
                await asyncio.sleep(RETRY_SECONDS)
            except TimeoutError:
                self._gone(f"not read within {READ_SECONDS:g} s")
                await asyncio.sleep(RETRY_SECONDS)
                self._connection.fail(ConnectionLost("the memory is tried again"))
            finally:
                closing.cancel()

    async def _read_all(self, channel: Channel) -> None:
        """Read from the last page up to a mark of our own; then everything is known."""
        self._move(MemoryState.READING, "reading the notes")
        page = await last_page(channel, self._queue, self._owner)
        reading = await read_whole(page, partial(self._read_from, channel))
        self.read_anew = self.read_anew or len(self.words) > 0
        self.words = reading.follow(self.words)
        self.reading = reading
        self._move(MemoryState.FOLLOWING, "every note is known")

    async def _read_from(self, channel: Channel, page: int | None) -> Reading:
        words = Rereading(self.words) if len(self.words) else LastWords(self._remember)
        reading = Reading(channel, self._queue, self._owner, words, self.heard, page)
        await reading.start("first" if page is None else page)
        if await self._add(reading, self.note(NoteKind.MARK), read_back=True) is None:
            raise UnusableError(f"queue {self._queue} takes no notes")
        return reading

    async def _watch(self, closing: "asyncio.Future[object]") -> None:
        """Ask a silent memory again and again, until the channel ends."""
        while not closing.done():
            await asyncio.wait({closing}, timeout=WAIT_SECONDS)
            reading = self.reading
            if self.state is not MemoryState.SILENT or reading is None:
                continue
            with suppress(TimeoutError, ConnectionLost):
                async with asyncio.timeout(WAIT_SECONDS):
                    mark = self.note(NoteKind.MARK)
                    if await self._add(reading, mark, read_back=True) is not None:
                        self._move(MemoryState.FOLLOWING, "it answers again")

    def _move(self, state: MemoryState, reason: str) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        level = logging.WARNING if state in TROUBLE else logging.INFO
        log.log(level, "memory %s", state, extra={"reason": reason, "events": len(self.words)})
        self.state, self.reason = state, reason
        if state is MemoryState.FOLLOWING:
            self._ready.set()
            self._waited_in_vain = False
        elif state in COMING:
            self._ready.clear()
