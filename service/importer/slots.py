"""Gives slots: limits calls in flight, and lets no failing lane take slots from others."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from service.domain.events import BatchKey
from service.domain.lanes import Lanes

Task = asyncio.Task[None]

NEWEST = 3
"""Calls that are averaged for the duration of a call; a single hanging one tells nothing."""
UNKNOWN_SECONDS = 2.0
"""What a call is taken to last before one has ended."""
ARRIVAL_SECONDS = 0.05
"""Until what an ended batch made room for is here: it may go first."""


class _Flight(NamedTuple):
    """A batch in flight: its type, since when, and the next start of before it and by it."""

    kind: int
    since: float
    before: float
    after: float


class Slots:
    """The batches in flight.

    Calls of a lane that is closed, on trial, or whose calls break may hang as long as a call may
    last: such lanes have one slot at a time, all together.
    """

    def __init__(self, lanes: Lanes, *, ranked: Callable[[], bool] = lambda: False) -> None:
        """Start with nothing in flight; `ranked` tells whether urgent events may come."""
        self._lanes = lanes
        self._ranked = ranked
        self._flying: dict[Task, _Flight] = {}
        self._uncalled: set[Task] = set()
        self._lasted: deque[float] = deque(maxlen=NEWEST)
        self._ill: Task | None = None
        self.limit = 0
        """How many calls may be in flight now."""
        self.started = 0
        """Batches that got a slot since the start."""
        self._room_until = 0.0

    def __len__(self) -> int:
        """Return how many batches are in flight."""
        return len(self._flying)

    @property
    def full(self) -> bool:
        """Whether nothing at all may start."""
        return len(self._flying) >= self.limit

    @property
    def next_start(self) -> float:
        """The loop time before which no batch may start; none where no urgent event may come."""
        return self._room_until if self._ranked() else 0.0

    def free_at(self, now: float) -> bool:
        """Tell whether anything may start at this time."""
        return now >= self.next_start and not self.full

    def admit(self, key: BatchKey) -> bool:
        """Tell whether a batch of a key may start now."""
        ill = self._lanes.is_ill(key.entity_type_id)
        return not self.full and not (ill and self._ill is not None)

    def take(self, task: Task, key: BatchKey) -> None:
        """Note that a batch has started."""
        kind = key.entity_type_id
        before, is_ill = self._room_until, self._lanes.is_ill(kind)
        self.started += 1
        self._lanes.left(kind)
        if is_ill:
            # It has one slot whatever it does: the others keep their pace.
            self._ill = task
        else:
            self._leave_room(self._apart(), task)
        self._flying[task] = _Flight(kind, task.get_loop().time(), before, self._room_until)

    def free(self, task: Task) -> None:
        """Note that a batch has ended."""
        flight = self._flying.pop(task)
        self._lanes.back(flight.kind)
        if task is self._ill:
            self._ill = None
            self._uncalled.discard(task)
            return
        if self._room_until == flight.after:
            # It has ended already: nothing can end at the same moment any more.
            self._room_until = flight.before
        if task in self._uncalled:
            # A batch with the same events is sent at once.
            self._uncalled.discard(task)
            return
        self._lasted.append(task.get_loop().time() - flight.since)
        # Of quick calls no more than a part is waited away.
        self._leave_room(min(ARRIVAL_SECONDS, self._apart()), task)

    def made_no_call(self, task: Task | None) -> None:
        """Note that a batch in flight has made no call, and ends now."""
        if task in self._flying:
            self._uncalled.add(task)

    def _leave_room(self, seconds: float, task: Task) -> None:
        """Let no batch start for so long, where an urgent event may come to go with it."""
        if self._ranked():
            self._room_until = max(self._room_until, task.get_loop().time() + seconds)

    def _apart(self) -> float:
        """Return how many seconds apart batches should leave, so that they end apart as well.

        Only what has ended makes room for an urgent event: were all to end at the same moment,
        it could wait for a whole call, and then for its own.
        """
        return min(self._lasted, default=UNKNOWN_SECONDS) / (2 * max(self.limit, 1))

    def cancel(self) -> None:
        """End what is in flight."""
        for task in self._flying:
            task.cancel()
