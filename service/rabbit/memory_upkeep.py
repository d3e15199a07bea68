"""Keeps the memory complete and quick to read: repeats missing notes, and writes pages."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from service.domain.last_words import RECORD_BYTES
from service.rabbit.notes import NoteKind

if TYPE_CHECKING:
    from service.rabbit.memory import Memory

MAX_PAGE_BYTES = 8_000_000
PART_BYTES = 500_000
PAGE_AFTER_NOTES = 2_500
"""The first reading must take 2 s at most. A slow machine reads some 3,000 notes a second, and
needs half a second for the page."""
AGAIN_SECONDS = 15.0


class Upkeep:
    """What is to be done for the memory beside the notes on calls.

    Words that the broker did not confirm are said again by whoever said them: another process
    would take such an event for one that was in no call. A page is added by the active process:
    after many notes, and after a lost connection, because a broker that was killed may have
    forgotten the end of the stream.
    """

    def __init__(self, memory: "Memory") -> None:
        """Do nothing until asked."""
        self._memory = memory
        self._not_before = float("-inf")

    def due(self, *, active: bool) -> bool:
        """Tell whether there is anything to do; `active`: whether the intake comes to us."""
        memory = self._memory
        if memory.reading is None or time.monotonic() < self._not_before:
            return False
        return self._may_be_missing or (active and self._wants_page)

    async def tend(self, *, active: bool) -> None:
        """Do what is due; what goes wrong is tried again later."""
        said = not self._may_be_missing or await self._say_again()
        if not said or (active and self._wants_page and not await self.add_page()):
            self._not_before = time.monotonic() + AGAIN_SECONDS

    @property
    def _may_be_missing(self) -> bool:
        return self._memory.unsure_since is not None or bool(self._memory.untold)

    @property
    def _wants_page(self) -> bool:
        reading = self._memory.reading
        many = reading is not None and reading.since_page >= PAGE_AFTER_NOTES
        return many or self._memory.read_anew

    async def lane_made(self, entity_type_id: int) -> None:
        """Note that a type has its own queue, if no note says so yet."""
        if entity_type_id not in self._memory.heard.lanes:
            await self._memory.tell(NoteKind.LANE_MADE, entity_type_id)

    async def add_page(self) -> bool:
        """Add what is known up to now, so that a first reading may start here."""
        memory = self._memory
        reading = memory.reading
        if reading is None or not await memory.catch_up():
            return False
        upto = reading.offset + 1
        # A reader that starts at the page reads nothing before it.
        for lane in list(memory.heard.lanes):
            await memory.tell(NoteKind.LANE_MADE, lane)
        events = memory.words.newest_events(MAX_PAGE_BYTES // RECORD_BYTES)
        step = PART_BYTES // RECORD_BYTES
        cut = [events[at : at + step] for at in range(0, len(events), step)] or [[]]
        for part, some in enumerate(cut, start=1):
            # A word said meanwhile stands in a note behind the page's start, too.
            note = memory.note(NoteKind.PAGE, [*filter(None, map(memory.words.of, some))])
            page = replace(note, number=upto, part=part, parts=len(cut))
            if await memory.send(page, read_back=True) is None:
                return False
        memory.read_anew = False
        return True

    async def _say_again(self) -> bool:
        """Repeat notes that may be missing, unless a later note exists."""
        memory, since = self._memory, self._memory.unsure_since
        if not await memory.catch_up():
            return False
        untold, memory.untold, memory.unsure_since = memory.untold, {}, None
        for kind, number in untold:
            await memory.tell(kind, number)
        ours = [] if since is None else memory.words.said_by(memory.writer, since)
        step = PART_BYTES // RECORD_BYTES
        for at in range(0, len(ours), step):
            last = [word for word in ours[at : at + step] if memory.words.of(word.event) == word]
            if last and not await memory.add(last):
                return False
        return not memory.untold
