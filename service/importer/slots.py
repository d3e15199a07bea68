"""Gives slots: how many calls are in flight, and that an ill lane takes none from the others."""

import asyncio

from service.domain.events import BatchKey
from service.domain.lanes import Lanes

Task = asyncio.Task[None]


class Slots:
    """The batches in flight.

    Calls of a lane that is closed, on trial, or whose calls break may hang as long as a call may
    last: they have one slot of their own, beside those that the settings name.
    """

    def __init__(self, lanes: Lanes) -> None:
        """Start with nothing in flight."""
        self._lanes = lanes
        self._flying: dict[Task, int] = {}
        self._aside: Task | None = None
        self.limit = 0
        """How many calls of the others may be in flight now."""
        self.aside = False
        """Whether an ill lane may have its slot now."""
        self.started = 0
        """Batches that got a slot since the start."""

    def __len__(self) -> int:
        """Return how many batches are in flight."""
        return len(self._flying)

    @property
    def full(self) -> bool:
        """Whether nothing at all may start."""
        return not self._room() and not self._room_aside()

    def admit(self, key: BatchKey) -> bool:
        """Tell whether a batch of a key may start now."""
        kind = key.entity_type_id
        if self.aside and self._lanes.is_ill(kind):
            return self._room_aside()
        return self._room()

    def take(self, task: Task, key: BatchKey) -> None:
        """Note that a batch has started."""
        kind = key.entity_type_id
        if self.aside and self._lanes.is_ill(kind):
            self._aside = task
        self._flying[task] = kind
        self.started += 1
        self._lanes.left(kind)

    def free(self, task: Task) -> None:
        """Note that a batch has ended."""
        self._lanes.back(self._flying.pop(task))
        if task is self._aside:
            self._aside = None

    def cancel(self) -> None:
        """End what is in flight."""
        for task in self._flying:
            task.cancel()

    def _room(self) -> bool:
        taken = len(self._flying) - (self._aside is not None)
        return taken < self.limit

    def _room_aside(self) -> bool:
        return self.aside and self._aside is None
