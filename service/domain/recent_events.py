"""Remembers how the last events ended, and how often each outcome and code came."""

from collections import Counter, deque
from dataclasses import dataclass

LAST = 100
MAX_CODES = 50
OTHER = "other"
"""Counts all further codes when there are too many: a portal may invent codes."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one event ended; no field value, no words of the portal.

    `outcome`: imported, duplicate, failed or malformed; `code`: of a failure; `age_seconds`: from
    the event's own time to the confirmed result; `at`: seconds since 1970.
    """

    event_id: str
    entity_type_id: int | None
    outcome: str
    code: str | None
    age_seconds: float
    at: float


class RecentEvents:
    """What ended since the start, in a bounded space."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.last: deque[Ended] = deque(maxlen=LAST)
        self.outcomes: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()

    def shared(self) -> None:
        """Count a copy that shared the outcome of another one: its event has ended there."""
        self.outcomes["duplicate"] += 1

    def add(self, ended: Ended) -> None:
        """Note the end of an event."""
        self.last.append(ended)
        self.outcomes[ended.outcome] += 1
        if ended.code is not None:
            known = ended.code in self.codes or len(self.codes) < MAX_CODES
            self.codes[ended.code if known else OTHER] += 1
