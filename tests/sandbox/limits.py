"""Decides when the portal refuses a call; pure, every instant is passed in."""

from collections import deque
from dataclasses import dataclass, field

BUCKET_SECONDS = 60.0
BUCKETS = 10
NEGLIGIBLE_SECONDS = 0.1


@dataclass(slots=True)
class LeakyBucket:
    """Holds at most `burst` requests and loses `rate` of them every second."""

    rate: float
    burst: float
    level: float = 0.0
    at: float = 0.0

    def admits(self, now: float) -> bool:
        """Take one request in, or refuse it without counting it."""
        self.level = max(0.0, self.level - (now - self.at) * self.rate)
        self.at = now
        if self.level + 1 > self.burst:
            return False
        self.level += 1
        return True


@dataclass(slots=True)
class OperatingGauge:
    """Sums one method's execution seconds over ten buckets of a minute."""

    _buckets: deque[tuple[float, float]] = field(default_factory=deque)
    _banned_until: float | None = None

    def add(self, now: float, seconds: float) -> None:
        """Count a finished call, unless it was too short to matter."""
        if seconds <= NEGLIGIBLE_SECONDS:
            return
        start = now // BUCKET_SECONDS * BUCKET_SECONDS
        spent = seconds
        if self._buckets and self._buckets[-1][0] == start:
            spent += self._buckets.pop()[1]
        self._buckets.append((start, spent))

    def total(self, now: float) -> float:
        """Return the seconds of the buckets that have not left the window."""
        while self._buckets and self._buckets[0][0] + BUCKET_SECONDS * BUCKETS <= now:
            self._buckets.popleft()
        return sum(seconds for _, seconds in self._buckets)

    def reset_at(self, now: float) -> float:
        """Return the instant at which the oldest bucket leaves the window."""
        self.total(now)
        oldest = self._buckets[0][0] if self._buckets else now // BUCKET_SECONDS * BUCKET_SECONDS
        return oldest + BUCKET_SECONDS * BUCKETS

    def refuses(self, now: float, limit: float, ban_seconds: float | None = None) -> bool:
        """Tell whether the budget is spent; with a ban, clear the buckets and refuse for long."""
        if self._banned_until is not None:
            if now < self._banned_until:
                return True
            self._banned_until = None
        if self.total(now) <= limit:
            return False
        if ban_seconds is not None:
            self._buckets.clear()
            self._banned_until = now + ban_seconds
        return True
