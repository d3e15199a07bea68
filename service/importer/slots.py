"""Gives slots: how many calls are in flight, and that an ill lane takes none from the others."""

import asyncio

from service.domain.events import BatchKey
from service.domain.lanes import Lanes

Task = asyncio.Task[None]


class Slots:
    """The batches in flight.

    Calls of a lane that is closed, on trial, or whose calls break may hang as long as a call may
    last: such lanes have one slot at a time, all together.
    """

    def __init__(self, lanes: Lanes) -> None:
        """Start with nothing in flight."""
        self._lanes = lanes
        self._flying: dict[Task, int] = {}
        self._ill: Task | None = None
        self.limit = 0
        """How many calls may be in flight now."""
        self.started = 0
        """Batches that got a slot since the start."""

    def __len__(self) -> int:
        """Return how many batches are in flight."""
        return len(self._flying)

    @property
    def full(self) -> bool:
        """Whether nothing at all may start."""
        return len(self._flying) >= self.limit

    def admit(self, key: BatchKey) -> bool:
        """Tell whether a batch of a key may start now."""
        ill = self._lanes.is_ill(key.entity_type_id)
        return not self.full and not (ill and self._ill is not None)

    def take(self, task: Task, key: BatchKey) -> None:
        """Note that a batch has started."""
        kind = key.entity_type_id
        if self._lanes.is_ill(kind):
            self._ill = task
        self._flying[task] = kind
        self.started += 1
        self._lanes.left(kind)

    def free(self, task: Task) -> None:
        """Note that a batch has ended."""
        self._lanes.back(self._flying.pop(task))
        if task is self._ill:
            self._ill = None

    def cancel(self) -> None:
        """End what is in flight."""
        for task in self._flying:
            task.cancel()
