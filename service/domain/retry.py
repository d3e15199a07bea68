"""Decides how long to wait before the next try."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackOff:
    """Capped exponential back-off with full jitter; seconds."""

    base: float
    cap: float

    def delay(self, attempt: int, chance: float, hint: float | None = None) -> float:
        """Return the wait before try `attempt` + 1 (counted from 0).

        `chance` is a random number from 0 to 1; a server's `hint` is never undercut.
        """
        ceiling = min(self.cap, self.base * 2.0 ** min(attempt, 32))
        return max(ceiling * chance, hint or 0.0)


@dataclass(frozen=True, slots=True)
class RetryPolicy(BackOff):
    """The back-off at the portal; `max_attempts` bounds the tries of an item that fails alone."""

    max_attempts: int


BROKER = BackOff(base=0.2, cap=10.0)
"""How long to wait before a request or publish to the broker is tried again."""


def broker_delay(attempt: int, chance: float) -> float:
    """Return the wait before try `attempt` + 1 at the broker: at least half of the ceiling."""
    return BROKER.delay(attempt, 0.5 + chance / 2)
