"""Remembers who did what and why; the log line of each is the record."""

import logging
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime

MAX_RECORDS = 1_000
MAX_REASON = 500
MAX_TEXT = 1_000
"""Characters of each text of a record."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that an operator did; `which`: the letters; `ids`: those of single events."""

    at: datetime
    who: str
    what: str
    which: str
    reason: str
    outcome: str
    task: int
    ids: frozenset[str] = frozenset()


class ActionHistory:
    """The last records of this process."""

    def __init__(self) -> None:
        """Begin with none."""
        self._records: deque[Record] = deque(maxlen=MAX_RECORDS)

    @property
    def newest_first(self) -> list[Record]:
        """Every record that is kept."""
        return list(reversed(self._records))

    def add(self, record: Record) -> None:
        """Keep a record, and write it to the log; a text that is too long is cut."""
        record = _bounded(record)
        self._records.append(record)
        shown = {
            "who": record.who,
            "what": record.what,
            "which": record.which,
            "reason": record.reason,
            "outcome": record.outcome,
            "task": record.task,
        }
        log.info("operator acted", extra=shown)

    def of(self, event_id: str) -> list[Record]:
        """Return what was done with one event by its id, newest first."""
        return [each for each in self.newest_first if event_id in each.ids]


def tidy(text: str, most: int) -> str:
    """Return what somebody wrote as one line of at most this many characters."""
    return " ".join(text[: 10 * most].split())[:most]


def _bounded(record: Record) -> Record:
    return replace(
        record,
        who=_cut(record.who),
        what=_cut(record.what),
        which=_cut(record.which),
        reason=_cut(record.reason),
        outcome=_cut(record.outcome),
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def now() -> datetime:
    """Return the time that records have."""
    return datetime.now(UTC)
