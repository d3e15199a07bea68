"""Reads the memory once, or adds notes to it, for a command."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from aiormq import Channel
from aiormq.exceptions import AMQPChannelError, ChannelNotFoundEntity

from service.domain.last_words import LastWord, LastWords
from service.rabbit import notes
from service.rabbit.closing import leave
from service.rabbit.confirms import PublishResult, published
from service.rabbit.connection import ConnectionLost, broker_errors, unless_lost
from service.rabbit.encoding import Outgoing
from service.rabbit.memory_reading import RPC_SECONDS, Reading, newest
from service.rabbit.notes import Note, NoteKind, Owner
from service.rabbit.reasons import why_ended
from service.rabbit.session import Session

READ_SECONDS = 15.0
"""Longest time of a reading: a page and 2,500 notes take less than two seconds."""
WRITE_SECONDS = 5.0
LOOK_SECONDS = 0.02
REMEMBER = 200_000
"""As many events as any importer may remember."""


class NoMemoryError(Exception):
    """There is no memory that could be used; the text says why."""


@dataclass(slots=True, eq=False)
class Visit:
    """What the notes say up to now; `lanes`: entity types for which a queue was made.

    Whatever is added names the page that the newest note names, so that every reader still meets
    it; who knows none reads on from the first note.
    """

    channel: Channel
    queue: str
    owner: Owner
    end: notes.Read | None
    words: LastWords = field(default_factory=lambda: LastWords(REMEMBER))
    lanes: set[int] = field(default_factory=set)
    writer: int = field(default_factory=lambda: secrets.randbits(63))
    _added: int = 0

    async def read(self) -> None:
        """Read everything that was noted before the visit; raises NoMemoryError."""
        if self.end is None:
            return
        try:
            async with asyncio.timeout(READ_SECONDS):
                page = self.end.page
                if not await self._read_from(page) and page is not None:
                    # The newest note was another portal's: its page is not ours.
                    await self._read_from(None)
        except TimeoutError:
            raise NoMemoryError(f"it was not read within {READ_SECONDS:g} s") from None

    @property
    def types(self) -> set[int]:
        """Entity types on whose events there is a word."""
        return {word.entity_type_id for word in self.words.newest_first()}

    async def tell(self, kind: NoteKind, number: int = 0) -> bool:
        """Add a note that says no word on an event; tell whether it was confirmed."""
        return await self._add(replace(self._note(kind), number=number))

    async def say(self, words: Sequence[LastWord]) -> bool:
        """Add words on events; tell whether they were confirmed."""
        return await self._add(replace(self._note(NoteKind.WORDS), words=tuple(words)))

    async def _read_from(self, page: int | None) -> bool:
        """Read from a page on to the end; tell whether a page of ours was met."""
        words = LastWords(REMEMBER)
        reading = Reading(self.channel, self.queue, self.owner, words, self._noted, page)
        await reading.start("first" if page is None else page)
        last = 0 if self.end is None else self.end.offset
        while reading.offset < last:
            if self.channel.is_closed:
                raise NoMemoryError("the broker ended the reading")
            await asyncio.sleep(LOOK_SECONDS)
        await reading.stop()
        self.words = words
        return reading.met_page

    def _noted(self, note: Note) -> None:
        if note.kind is NoteKind.LANE_MADE:
            self.lanes.add(note.number)

    def _note(self, kind: NoteKind) -> Note:
        return Note(kind, time.time(), self.writer)

    async def _add(self, note: Note) -> bool:
        self._added += 1
        page = None if self.end is None else self.end.page
        properties = notes.properties(
            note, self.owner, page=page, message_id=f"{self.writer:x}-{self._added}"
        )
        message = Outgoing("memory", "", self.queue, notes.body(note), properties)
        with suppress(TimeoutError, ConnectionLost):
            async with asyncio.timeout(WRITE_SECONDS):
                result = await unless_lost(self.channel, published(self.channel, message))
            return result is PublishResult.CONFIRMED
        return False


@asynccontextmanager
async def visit(session: Session, queue: str, owner: Owner) -> AsyncIterator[Visit]:
    """Come to the memory; raises NoMemoryError where it is off, missing or refused.

    It is never made here: what an importer begins would seem to know everything since then.
    """
    if not queue:
        raise NoMemoryError("it is off (RABBIT__MEMORY_QUEUE is empty)")
    channel = await session.channel(confirms=True)
    try:
        end = await _end(channel, queue, owner)
    except ConnectionLost as lost:
        raise NoMemoryError(f"queue {queue} cannot be read: {_told(lost)}") from None
    try:
        yield Visit(channel, queue, owner, end)
    finally:
        await leave(channel)


async def _end(channel: Channel, queue: str, owner: Owner) -> notes.Read | None:
    with broker_errors():
        try:
            await channel.queue_declare(queue, passive=True, timeout=RPC_SECONDS)
        except ChannelNotFoundEntity:
            raise NoMemoryError(f"there is no queue {queue}") from None
        except AMQPChannelError as refused:
            raise NoMemoryError(f"queue {queue} may not be used: {_told(refused)}") from None
    return await newest(channel, queue, owner)


def _told(error: Exception) -> str:
    return ": ".join(why_ended(str(error)))
