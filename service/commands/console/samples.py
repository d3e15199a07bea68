"""Remembers what /status and the broker said over time, in a bounded space, to be drawn."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

EVERY_SECONDS = 5.0
MAX_SAMPLES = 720
"""An hour."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at one time (wall-clock seconds); None: unknown.

    `imported`, `failed`: counted since the start of the process that was seen (`of`).
    """

    at: float
    of: str = ""
    imported: float | None = None
    failed: float | None = None
    oldest_held: float | None = None
    event_age: float | None = None
    budget: float | None = None
    closed_lanes: float | None = None
    waiting: float | None = None
    dead: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a time; None where there is none."""

    at: float
    value: float | None


class Ring:
    """The last samples."""

    def __init__(self) -> None:
        """Begin with none."""
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)

    def add(self, sample: Sample) -> None:
        """Add a sample; the oldest one goes."""
        self._samples.append(sample)

    def values(self, of: Callable[[Sample], float | None]) -> list[Point]:
        """Return a figure over time."""
        return [Point(each.at, of(each)) for each in self._samples]

    def rate(self, of: Callable[[Sample], float | None]) -> list[Point]:
        """Return how fast a count grew, in one minute; None where it started again."""
        points = []
        for before, now in pairwise(self._samples):
            old, new, seconds = of(before), of(now), now.at - before.at
            grew = None
            if old is not None and new is not None and before.of == now.of and seconds > 0:
                grew = (new - old) / seconds * 60 if new >= old else None
            points.append(Point(now.at, grew))
        return points

    def most(self, of: Callable[[Sample], float | None], since: float) -> float:
        """Return the largest value since a time; 0 where there was none."""
        return max((of(each) or 0.0 for each in self._samples if each.at >= since), default=0.0)


def sample(at: float, status: Mapping[str, Any] | None, ready: Mapping[str, int | None]) -> Sample:
    """Return what an importer's status and the depths of `intake` and `dead` say."""
    told = status or {}
    outcomes = _mapping(told.get("outcomes"))
    budget = _mapping(_mapping(told.get("budget")).get("import"))
    limit, used = _number(budget.get("limit_seconds")), _number(budget.get("used_seconds"))
    lanes = told.get("lanes")
    return Sample(
        at=at,
        of=f"{told.get('version')} {told.get('active')}" if status else "",
        imported=_number(outcomes.get("imported")),
        failed=_sum(outcomes, "failed", "malformed"),
        oldest_held=_number(told.get("oldest_held_seconds")),
        event_age=_newest_age(told.get("last")),
        budget=used / limit * 100 if used is not None and limit else None,
        closed_lanes=len(lanes) if isinstance(lanes, list) else None,
        waiting=ready.get("intake"),
        dead=ready.get("dead"),
    )


def _newest_age(last: object) -> float | None:
    """Return the age of the event that ended last."""
    first = last[0] if isinstance(last, list) and last else {}
    return _number(_mapping(first).get("age_seconds"))


def _sum(told: Mapping[str, Any], *names: str) -> float | None:
    found = [value for name in names if (value := _number(told.get(name))) is not None]
    return sum(found) if found else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most this many points for a table, each the mean of those it stands for."""
    if not points:
        return []
    size = -(-len(points) // most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    thin = []
    for group in groups:
        known = [each.value for each in group if each.value is not None]
        thin.append(Point(group[-1].at, sum(known) / len(known) if known else None))
    return thin
