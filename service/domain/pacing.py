"""Decides when the next call may leave for the portal."""

from dataclasses import dataclass


@dataclass(slots=True)
class LeakyBucket:
    """The portal's request bucket, seen from here: `rate` drains per second, `burst` holds.

    The portal refuses the request that finds the bucket full; we never send that one.
    Source: `bitrix24.md` §4.1.
    """

    rate: float
    burst: float
    level: float = 0.0
    at: float = 0.0

    def wait(self, now: float) -> float:
        """Return the seconds until one more request fits."""
        self._drain(now)
        return max(0.0, (self.level + 1.0 - self.burst) / self.rate)

    def take(self, now: float) -> None:
        """Count one request that leaves now."""
        self._drain(now)
        self.level += 1.0

    def refused(self, now: float) -> None:
        """Note that the portal found the bucket full: somebody else shares it."""
        self._drain(now)
        self.level = max(self.level, self.burst)

    def _drain(self, now: float) -> None:
        self.level = max(0.0, self.level - max(0.0, now - self.at) * self.rate)
        self.at = max(self.at, now)
