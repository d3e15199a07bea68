"""Foretells how long an import takes under the portal's limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from service.domain.events import BatchKey
from service.domain.pacing import ItemCost

ASSUMED = (0.1, 1.2)
"""Seconds that an item costs the portal, from and to, where nobody has measured it. The portal's
documentation shows 2.4 s for a call of two items; a field report has 0.4 s."""
LEARNT = (0.8, 1.5)
"""What a measured cost is multiplied by for the span: costs change with the hour."""
OVERHEAD = 0.3
"""Seconds of a call beside its items: the way there and back."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds an import up.

    `slots` calls at once of at most `items` events; a bucket of `burst` requests that loses `rate`
    a second; `budget` seconds of execution a `window` (0: none), of which `used` are spent.
    """

    slots: int
    items: int
    rate: float
    burst: float
    budget: float
    window: float
    used: float = 0.0


class Forecast(NamedTuple):
    """Calls and seconds, from and to; `assumed`: the types whose cost nobody has measured."""

    calls: int
    low: float
    high: float
    assumed: tuple[int, ...]


def forecast(
    events: Mapping[BatchKey, int],
    limits: Limits,
    costs: Mapping[int, float],
    *,
    look_ups: int = 0,
) -> Forecast:
    """Return how long this many events of each key take.

    `costs`: learnt seconds of an item by type; `look_ups`: requests beside the imports.
    """
    assumed = sorted({key.entity_type_id for key in events} - costs.keys())
    spans: list[tuple[int, float]] = []
    for at in (0, 1):
        calls, work = 0, 0.0
        for key, count in events.items():
            known = costs.get(key.entity_type_id)
            cost = ASSUMED[at] if known is None else known * LEARNT[at]
            calls += ceil(count / ItemCost(cost).batch(limits.items))
            work += count * cost
        spans.append((calls, seconds(calls, work, limits, look_ups=look_ups)))
    return Forecast(spans[1][0], spans[0][1], spans[1][1], tuple(assumed))


def seconds(calls: int, work: float, limits: Limits, *, look_ups: int = 0) -> float:
    """Return how long this many calls take that cost the portal `work` seconds in total."""
    by_slots = (work + calls * OVERHEAD) / limits.slots
    by_bucket = max(0.0, calls + look_ups - limits.burst) / limits.rate
    return max(by_slots, by_bucket, _by_budget(work, limits))


def _by_budget(work: float, limits: Limits) -> float:
    """Return how long the budget makes it last: the whole of it at once, then once a window."""
    if not limits.budget or not work:
        return 0.0
    windows = max(0, ceil((limits.used + work) / limits.budget) - 1)
    rest = limits.used + work - windows * limits.budget
    return windows * limits.window + min(rest, work) / limits.slots
