"""Remembers when something was shut, so that waiting can be counted without that time."""

from collections import deque

MAX_TIMES = 200
"""Shut times remembered; of a longer history the oldest count as open."""


class ShutTime:
    """The times, in loop time, in which the portal or one entity type took no imports."""

    def __init__(self) -> None:
        """Start open."""
        self._times: deque[tuple[float, float]] = deque(maxlen=MAX_TIMES)
        self._since: float | None = None

    def begin(self, now: float) -> None:
        """Note that it is shut from now on."""
        self._since = now if self._since is None else self._since

    def end(self, now: float) -> None:
        """Note that it is open from now on."""
        if self._since is not None:
            self._times.append((self._since, now))
        self._since = None

    def within(self, since: float, now: float) -> float:
        """Return for how many seconds it was shut between a time and now."""
        times = list(self._times) if self._since is None else [*self._times, (self._since, now)]
        return sum(max(0.0, min(end, now) - max(begin, since)) for begin, end in times)
