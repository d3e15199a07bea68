"""Plays hours at a portal whose budget is smaller than ours, and counts what is wasted."""

import heapq
from dataclasses import dataclass, field

from service.domain.pacing import OperatingBudget

HOURS = 6 * 3600.0
CALL_SECONDS = 3.2
"""A call of 20 items; two of them at a time."""
SLOTS = 2


@dataclass
class Portal:
    """Counts one method as the portal does: ten buckets of a minute; `ban` clears and shuts."""

    limit: float
    ban: float | None
    buckets: dict[int, float] = field(default_factory=dict)
    banned_until: float = 0.0
    spent_at: float | None = None
    opened_at: float | None = None
    wasted: float = 0.0
    refusals: int = 0
    bans: int = 0
    ever: dict[int, float] = field(default_factory=dict)

    def total(self, now: float) -> float:
        """Return the seconds that count."""
        minute = int(now // 60)
        self.buckets = {at: cost for at, cost in self.buckets.items() if at > minute - 10}
        return sum(self.buckets.values())

    def admits(self, now: float) -> bool:
        """Check a call before it is executed; note for how long an open portal was not asked."""
        if now < self.banned_until or self.total(now) > self.limit:
            if self.ban is not None and now >= self.banned_until:
                self.banned_until = now + self.ban
                self.bans += 1
                self.buckets.clear()
            self.refusals += 1
            self.spent_at = now
            return False
        if self.spent_at is not None:
            self.wasted += now - self.opened(now)
            self.spent_at = None
        return True

    def opened(self, now: float) -> float:
        """Return since when a call would have been admitted."""
        if self.ban is not None:
            return self.banned_until
        start = now // 60 * 60
        while start > (self.spent_at or 0.0) and self.would_fit(start - 1):
            start -= 60
        return max(start, self.spent_at or 0.0)

    def would_fit(self, then: float) -> bool:
        """Tell whether the buckets that counted at a time were within the limit."""
        minute = int(then // 60)
        counted = sum(cost for at, cost in self.ever.items() if minute - 10 < at <= minute)
        return counted <= self.limit

    def executed(self, now: float) -> tuple[float, float]:
        """Count a call that ends now; return the total and when the oldest bucket leaves."""
        minute = int(now // 60)
        for kept in (self.buckets, self.ever):
            kept[minute] = kept.get(minute, 0.0) + CALL_SECONDS
        return self.total(now), (min(self.buckets) + 10) * 60.0


def play(portal: Portal, start: float, ours: OperatingBudget | None = None) -> int:
    """Send batches for hours, as many as the limits allow; return how many were executed."""
    ours = ours or OperatingBudget(limit=420.0)
    now, done = start, 0
    flying: list[float] = []
    while now < start + HOURS:
        if flying and (len(flying) == SLOTS or ours.wait(now) > 0):
            now = max(now, heapq.heappop(flying))
            ours.answered(*portal.executed(now), now)
            ours.release(CALL_SECONDS)
            done += 1
        elif (wait := ours.wait(now)) > 0:
            now += wait
        elif portal.admits(now):
            ours.reserve(CALL_SECONDS)
            heapq.heappush(flying, now + CALL_SECONDS)
        else:
            ours.refused(now)
    return done
