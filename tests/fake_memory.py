"""Stands in for the memory of calls: a made-up stream that all processes of a history share."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.last_words import LastWord, LastWords
from service.domain.rereading import Rereading
from service.telemetry import steady
from tests.fakes import FakeConnection
from tests.virtual_time import now

LIMIT = 10_000
SILENT_SECONDS = 5.0
"""Nothing waits for the memory longer."""
LOST_SECONDS = 0.1
"""A killed broker forgets this much of the end of a stream (RabbitMQ 3.10)."""


@dataclass(frozen=True, slots=True)
class Note:
    """One note. `page`: everything that its writer knew, the newest first."""

    at: float
    words: Sequence[LastWord] = ()
    page: Sequence[LastWord] = ()
    set_back_at: float | None = None


@dataclass(slots=True)
class Stream:
    """The notes of all processes in their order; `share` of the requests go wrong until a time."""

    rng: random.Random
    share: float = 0.0
    until: float = 0.0
    notes: list[Note] = field(default_factory=list)
    begun_by: "FakeMemory | None" = None
    begun_at: float = 0.0
    began: float = 0.0
    """When the first note was written, by the wall clock."""
    cut: int = 0

    def lose_end(self) -> None:
        """Forget the last moment, as a broker does that is killed."""
        while self.notes and self.notes[-1].at > now() - LOST_SECONDS:
            self.notes.pop()
        self.cut += 1


class FakeMemory:
    """What one process knows of the stream; it learns of others' notes only when it asks."""

    def __init__(self, stream: Stream, connection: FakeConnection, *, hold: float) -> None:
        """Know nothing yet; whoever is first has begun the stream."""
        self.writer = stream.rng.getrandbits(63)
        self.words = LastWords(LIMIT)
        self._stream = stream
        self._connection = connection
        self._hold = hold
        self._read = 0
        self._session: object = None
        self._answers = True
        if stream.begun_by is None:
            stream.begun_by, stream.begun_at, stream.began = self, now(), steady.time()

    @property
    def reliable(self) -> bool:
        """Whether an event without a word was in no call."""
        young = self._stream.begun_by is self and now() - self._stream.begun_at < self._hold
        return self._follows() and self._answers and not young

    @property
    def tells_queues(self) -> bool:
        """Whether it knows which lanes have queues; here all are known anyway."""
        return True

    async def catch_up(self) -> bool:
        """Learn everything that was noted before."""
        if not await self._asked():
            return False
        self._learn(self.words)
        return True

    async def before_call(self, words: Sequence[LastWord]) -> list[LastWord | None] | None:
        """Note a call; return the words that stood before, once the note has been read back."""
        place = await self._noted(Note(now(), tuple(words)))
        if place is None:
            for word in words:
                self.words.say(word)
            return None
        self._learn(self.words, place)
        before = [self.words.of(word.event) for word in words]
        self._learn(self.words)
        return before

    async def add(self, words: Sequence[LastWord]) -> bool:
        """Note words; they count here at once."""
        for word in words:
            self.words.say(word)
        return await self._noted(Note(now(), tuple(words))) is not None

    async def set_back(self) -> None:
        """Note that the portal came back with older data."""
        at = steady.time()
        self.words.set_back(at)
        await self._noted(Note(now(), set_back_at=at))

    async def _noted(self, note: Note) -> int | None:
        """Add a note; return its place, or None when its confirm does not come."""
        stream = self._stream
        if not self._follows():
            return None
        await asyncio.sleep(stream.rng.uniform(0.0, 0.02))
        session, place = self._connection.session, len(stream.notes)
        if self._session is not session:
            return None
        stream.notes.append(Note(now(), note.words, note.page, note.set_back_at))
        cut = stream.cut
        fine = await self._asked()
        return place if fine and self._session is session and stream.cut == cut else None

    async def _asked(self) -> bool:
        """Wait for an answer; tell whether it came."""
        stream = self._stream
        if not self._follows():
            return False
        if self._answers and now() < stream.until and stream.rng.random() < stream.share:
            self._answers = False
            await asyncio.sleep(SILENT_SECONDS)
            return False
        session = self._connection.session
        await asyncio.sleep(stream.rng.uniform(0.0, 0.05))
        self._answers = self._connection.fit() and self._connection.session is session
        return self._answers

    def _follows(self) -> bool:
        """Read the stream anew after each lost connection, and add a page of what is known."""
        if not self._connection.fit():
            return False
        if self._session is not self._connection.session:
            self._session = self._connection.session
            self._read = 0
            again = Rereading(self.words) if len(self.words) else self.words
            self._learn(again)
            if isinstance(again, Rereading):
                again.end()
            self.words.read_from = self._stream.began
            page = Note(now(), page=tuple(self.words.newest_first()))
            self._stream.notes.append(page)
        return True

    def _learn(self, words: LastWords | Rereading, upto: int | None = None) -> None:
        """Read on, up to a place or to the end."""
        notes = self._stream.notes
        self._read = min(self._read, len(notes))
        end = len(notes) if upto is None else upto
        while self._read < end:
            note = notes[self._read]
            self._read += 1
            for word in note.words:
                words.say(word)
            words.recall(note.page)
            if note.set_back_at is not None:
                words.set_back(note.set_back_at)
