"""Computes how soon the work could be done by a planner who knows everything beforehand.

He knows every item and its cost, the portal's bucket, its budget and its clock; he needs no
look-up, no network, and no time to decide. Calls are alike, so the earliest possible start of
each is best: it ends no later, its cost leaves the window no later, and the bucket only drains.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

MINUTE = 60.0
MINUTES = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """What the portal and the settings allow; seconds of the portal's time.

    `slots` calls at once; a bucket of `burst` requests that loses `rate` a second; `budget`
    seconds of execution in ten buckets of a minute: a call starts while their sum is not above
    it, and counts, as a whole, in the minute in which it ends.
    """

    slots: int
    rate: float
    burst: float
    budget: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What a call costs the portal: so much, and so much for each item."""

    call: float
    item: float
    most_items: int = 20

    def of(self, items: int) -> float:
        """Return the seconds of a call."""
        return self.call + self.item * items

    def calls(self, items: int) -> list[float]:
        """Return the cheapest calls that carry so many items: full ones, then the rest."""
        full, rest = divmod(items, self.most_items)
        return [self.of(self.most_items)] * full + ([self.of(rest)] if rest else [])


def burst(items: int, costs: Costs, limits: Limits) -> float:
    """Return when the last of so many items is in, all of them there at the start."""
    return makespan(costs.calls(items), limits)


def linked(orders: int, customers: int, costs: Costs, limits: Limits) -> float:
    """Return a time that nobody can beat for orders that refer to customers, all there at once.

    Customers go first. That costs nothing: whoever imports them side by side has, from the first
    call's end on, orders of those that are in already.
    """
    return makespan([*costs.calls(customers), *costs.calls(orders)], limits)


def stream(items: int, per_second: float, costs: Costs, limits: Limits) -> float:
    """Return a time that nobody can beat for items that come one after another.

    The last item needs a call of its own kind after it has come; and all of them need no less
    time than if they had been there from the start.
    """
    last = (items - 1) / per_second
    return max(last + costs.of(1), burst(items, costs, limits))


def makespan(calls: Sequence[float], limits: Limits) -> float:
    """Return when the last of some calls ends, each begun as soon as anything allows."""
    free = [0.0] * limits.slots
    ended: list[tuple[float, float]] = []
    level = at = 0.0
    for cost in calls:
        start = max(at, heapq.heappop(free))
        start += max(0.0, (level + 1 - limits.burst) / limits.rate - (start - at))
        start = _within_budget(start, ended, limits.budget)
        level, at = max(0.0, level - (start - at) * limits.rate) + 1, start
        ended.append((start + cost, cost))
        heapq.heappush(free, start + cost)
    return max(free)


def _within_budget(start: float, ended: Sequence[tuple[float, float]], budget: float) -> float:
    """Return the first time from `start` on at which the budget lets a call in."""
    while budget and _spent(start, ended) > budget:
        start = min(_leaves(end) for end, _ in ended if _leaves(end) > start)
    return start


def _spent(now: float, ended: Sequence[tuple[float, float]]) -> float:
    return sum(cost for end, cost in ended if end <= now < _leaves(end))


def _leaves(end: float) -> float:
    """Return when a call stops counting: its minute leaves as a whole."""
    return end // MINUTE * MINUTE + MINUTE * MINUTES
