"""Reads the dead letters for pages, in the background, and keeps what was read for a while.

A reading takes a bounded number of letters, keeps their ids and reasons (no field value), and
returns them. Pages are drawn from what was kept: while it reads, from what came so far.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import monotonic

from service.commands.console.desk import DeadLetters, Follow
from service.commands.dlq.groups import Groups
from service.commands.dlq.selection import Selectable, Selection
from service.commands.runtime import ENDS, in_words
from service.rabbit.letters import Letter

FIRST_LOOK = 20_000
"""So many letters are looked at without being asked for all."""
FIRST_SECONDS = 8.0
"""And at most for this time: other readers do not see the letters meanwhile."""
MAX_ROWS = 2_000
MAX_GROUPS = 500
MAX_LETTERS, MAX_BYTES = 20, 16_000_000
MAX_KEPT_BYTES = 2 * MAX_BYTES
"""Of whole letters in all readings that are kept."""
FRESH_SECONDS = 30.0
MAX_SCANS = 12
PATIENCE_SECONDS = 1.2
"""A page waits so long for a reading, then it shows what there is."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LetterRow:
    """What is kept of a letter: no field value, no words of the portal."""

    event_id: str
    entity_type_id: int | None
    kind: str
    code: str
    failed_at: datetime | None
    redrives: int

    @classmethod
    def of(cls, letter: Letter) -> "LetterRow":
        """Return what is kept of a letter."""
        return cls(
            letter.event_id,
            letter.entity_type_id,
            letter.kind,
            letter.code,
            letter.failed_at,
            letter.redrives,
        )


@dataclass(slots=True, eq=False)
class Scan:
    """One reading.

    `most`: letters to look at; `matching`: letters that are selected; `letters`: those of one id,
    whole, where that was asked for.
    """

    selection: Selection
    most: int
    whole: bool = False
    follow: Follow = field(default_factory=Follow)
    groups: Groups = field(default_factory=Groups)
    rows: list[LetterRow] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    matching: int = 0
    others: int = 0
    problem: str = ""
    began: float = field(default_factory=monotonic)
    ended: float | None = None
    generation: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether it has ended and has seen every letter that lay there."""
        return self.ended is not None and not self.problem and self.follow.passed >= self.depth

    @property
    def depth(self) -> int:
        """How many letters lay there."""
        return self.follow.total

    @property
    def is_at_work(self) -> bool:
        """Whether its page changes by itself."""
        return self.ended is None

    @property
    def age(self) -> float:
        """Seconds since it ended."""
        return monotonic() - self.ended if self.ended is not None else 0.0

    @property
    def has_all_rows(self) -> bool:
        """Whether every letter is kept as a row, so that every selection can be shown."""
        return self.is_complete and len(self.rows) == self.matching

    def add(self, letter: Selectable, row: Callable[[], LetterRow]) -> None:
        """Count a letter in, if it is selected."""
        if not self.selection.holds(letter):
            return
        self.matching += 1
        self.groups.add(letter, most=MAX_GROUPS)
        if len(self.rows) < MAX_ROWS:
            self.rows.append(row())

    def narrowed(self, selection: Selection) -> "Scan":
        """Return what a reading with a narrower selection would have seen."""
        part = Scan(selection, self.most, began=self.began, ended=self.ended)
        part.generation, part.others = self.generation, self.others
        part.follow.passed, part.follow.total = self.follow.passed, self.follow.total
        for row in self.rows:
            part.add(row, partial(_same, row))
        return part

    async def read(self, desk: DeadLetters) -> None:
        """Read to the end, or until there are enough; `problem` says what ended it early."""
        try:
            async with desk.reading(self.follow) as (_, reading):
                self.others = reading.snapshot.others
                async for window in reading.windows("reading"):
                    for letter in window:
                        self._take(letter)
                    await reading.snapshot.keep(window)
                    reading.enough = self._is_enough(reading.looked + len(window))
        except ENDS as error:
            self.problem = in_words(error)
        except Exception:
            log.exception("unexpected error: reading the dead letters for a page")
            self.problem = "an unexpected error, see the console's log"
        finally:
            self.ended = monotonic()

    def _is_enough(self, looked: int) -> bool:
        is_late = self.most == FIRST_LOOK and monotonic() - self.began > FIRST_SECONDS
        return looked >= self.most or is_late

    def _take(self, letter: Letter) -> None:
        self.add(letter, lambda: LetterRow.of(letter))
        if self.whole and self.selection.holds(letter):
            size = sum(len(each.body) for each in self.letters)
            if len(self.letters) < MAX_LETTERS and size + len(letter.body) <= MAX_BYTES:
                self.letters.append(letter)


def _same(row: LetterRow) -> LetterRow:
    return row


class Scans:
    """The readings of this process; each is kept while it is fresh."""

    def __init__(self, desk: DeadLetters) -> None:
        """Begin with none."""
        self._desk = desk
        self._kept: OrderedDict[tuple[Selection, bool], Scan] = OrderedDict()
        self._running: dict[Scan, asyncio.Task[None]] = {}
        self._generation = 0

    def forget(self) -> None:
        """Let every later look read again: letters were sent back or removed."""
        self._generation += 1

    async def look(
        self, selection: Selection, *, whole: bool = False, anew: int | None = None
    ) -> Scan:
        """Return a fresh reading, or one that has just begun.

        `anew`: read again, at most this many letters.

        Waits for its end a short time only.
        """
        scan = None if anew else self._fresh(selection, whole=whole)
        if scan is None:
            most = anew or (10**9 if whole else FIRST_LOOK)
            scan = self._begin(Scan(selection, most, whole, generation=self._generation))
        if scan in self._running:
            await asyncio.wait({self._running[scan]}, timeout=PATIENCE_SECONDS)
        return scan

    async def close(self) -> None:
        """End every reading; what it holds goes back."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _fresh(self, selection: Selection, *, whole: bool) -> Scan | None:
        kept = self._kept.get((selection, whole))
        if kept is not None and self._is_fresh(kept):
            return kept
        every = self._kept.get((Selection(), False))
        if not whole and every is not None and self._is_fresh(every) and every.has_all_rows:
            return every.narrowed(selection)
        return None

    def _bytes(self) -> int:
        """Return what the whole letters take that are kept; none of the newest was read yet."""
        return sum(len(each.body) for scan in self._kept.values() for each in scan.letters)

    def _is_fresh(self, scan: Scan) -> bool:
        if scan.ended is None:
            return not scan.follow.stopped
        is_young = monotonic() - scan.ended < FRESH_SECONDS
        return is_young and not scan.problem and scan.generation == self._generation

    def _begin(self, scan: Scan) -> Scan:
        key = (scan.selection, scan.whole)
        old = self._kept.pop(key, None)
        if old is not None:
            old.follow.stopped = True
        self._kept[key] = scan
        while len(self._kept) > MAX_SCANS or self._bytes() > MAX_KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            oldest.follow.stopped = True
        task = asyncio.create_task(scan.read(self._desk), name="scan")
        self._running[scan] = task
        task.add_done_callback(lambda _: self._running.pop(scan, None))
        return scan
