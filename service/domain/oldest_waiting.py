"""Knows the oldest known event of each inner queue."""

from dataclasses import dataclass
from typing import NamedTuple

NEVER = float("inf")


class _Event(NamedTuple):
    """An event that waits since a time; the oldest of several is the least."""

    received_at: float = NEVER
    event_id: str = ""


_NOBODY = _Event()


@dataclass(slots=True)
class _Queue:
    """What is known of one queue; times in seconds of the loop.

    `earlier`: the oldest event put there before the present pass over the queue began; `since`:
    the oldest one put there afterwards; `put_at`: when the last one was put there; `filled_at`:
    since when something lies there.
    """

    earlier: _Event = _NOBODY
    since: _Event = _NOBODY
    put_at: float = -NEVER
    filled_at: float | None = None

    @property
    def oldest(self) -> _Event:
        """The event that waits longest."""
        return min(self.earlier, self.since)


class OldestWaiting:
    """Follows what is put into inner queues.

    An event that still waits after it was looked at is put there again. So a pass over a queue
    meets all that lay there, and what was put there before the last pass has ended or was put
    there again. A closed lane is not passed over: nothing of it ends.
    """

    def __init__(self) -> None:
        """Know of nothing that waits."""
        self._queues: dict[str, _Queue] = {}

    def put(self, queue: str, event_id: str, received_at: float, now: float) -> None:
        """Note an event that waits in a queue since it was received."""
        found = self._queues.setdefault(queue, _Queue())
        found.since, found.put_at = min(found.since, _Event(received_at, event_id)), now

    def pass_began(self, queue: str) -> None:
        """Note that all that lies in a queue is looked at from now on."""
        found = self._queues.setdefault(queue, _Queue())
        found.earlier, found.since = found.since, _NOBODY

    def measured(self, queue: str, depth: int, asked_at: float) -> None:
        """Note how much lay in a queue at a time."""
        found = self._queues.setdefault(queue, _Queue())
        if depth and found.filled_at is None:
            found.filled_at = asked_at
        elif not depth and found.put_at < asked_at:
            self._queues[queue] = _Queue()

    def seconds(self, queue: str, now: float) -> float:
        """Return how long the oldest waits; what others put there, since we know of it."""
        found = self._queues.get(queue, _Queue())
        oldest = found.oldest.received_at
        if oldest == NEVER:
            oldest = now if found.filled_at is None else found.filled_at
        return max(0.0, now - oldest)

    def event_id(self, queue: str) -> str | None:
        """Return the id of the oldest; None where nothing waits, or others put it there."""
        return self._queues.get(queue, _Queue()).oldest.event_id or None
