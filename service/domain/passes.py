"""Decides when each inner queue is read: in passes that end with what lay there at their start."""

from dataclasses import dataclass

from service.domain.parking import LINKS

AT_MOST_EVERY = 5.0
"""Seconds between the starts of two passes over what waits for imports, at least."""


@dataclass(slots=True)
class _Pass:
    """The reading of one queue.

    `due`: when the next pass starts; `began`: when the last one did; `left`: messages that the
    present pass still has to see, None between two; `seen`: those that it has seen.
    """

    due: float
    interval: float
    began: float = float("-inf")
    left: int | None = None
    seen: int = 0


class Passes:
    """The passes over all inner queues.

    What still waits after being looked at goes to the end of its queue: a pass that did not stop
    at what lay there when it began would go round for ever.
    """

    def __init__(self, *, interval: float, longest: float) -> None:
        """Read nothing yet.

        The interval between two passes of a queue doubles up to the longest, while nothing
        hastens it.
        """
        self._interval = interval
        self._longest = longest
        self._passes: dict[str, _Pass] = {}

    def known(self, queue: str, now: float) -> None:
        """Note that a queue exists: it is read at once."""
        self._passes.setdefault(queue, _Pass(now, self._interval))

    def start(self, queue: str, now: float) -> None:
        """Read a lane's queue from now on, at the first interval.

        What waits for items is looked at as well: it would have waited for the lane next.
        """
        found = self._passes.setdefault(queue, _Pass(now, self._interval))
        found.due, found.interval = min(found.due, now), self._interval
        self.hasten(LINKS, now)

    def by(self, queue: str, at: float) -> None:
        """Note that something in a queue can be decided from a time on."""
        found = self._passes.setdefault(queue, _Pass(at, self._interval))
        found.due = min(found.due, max(at, found.began + AT_MOST_EVERY))

    def hasten(self, queue: str, now: float) -> None:
        """Note that something was imported which a queue's events wait for."""
        found = self._passes.get(queue)
        if found is not None:
            found.due = min(found.due, max(now, found.began + AT_MOST_EVERY))
            found.interval = self._interval

    def forget(self) -> None:
        """Forget everything: another process may read now."""
        self._passes.clear()

    def due(self, now: float) -> list[str]:
        """Return the queues to be read now: passes under way, and those whose time has come."""
        return [q for q, each in self._passes.items() if each.left is not None or each.due <= now]

    def under_way(self, queue: str) -> bool:
        """Tell whether a pass has not seen all yet."""
        found = self._passes.get(queue)
        return found is not None and found.left is not None

    def took(self, queue: str, came: int, left: int, now: float) -> None:
        """Note what was taken of a queue, and what lay there afterwards."""
        found = self._passes[queue]
        if found.left is None:
            found.began, found.seen = now, 0
            found.due = now + found.interval
            found.left = left
        else:
            found.left = min(found.left - came, left)
        found.seen += came
        if found.left <= 0 or not came:
            found.left = None
            grown = min(found.interval * 2, self._longest)
            found.interval = grown if found.seen else self._interval
