"""Decides which of many equal failures are still logged."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

MOST = 10
"""Lines of one kind that are logged within a period."""
SECONDS = 60.0
KINDS = 500
"""Kinds that are counted at once; the oldest is forgotten."""


@dataclass(slots=True)
class _Period:
    since: float
    told: int = 0
    left_out: int = 0


class Collapse:
    """Counts failures by kind; beyond ten a minute they are counted, not logged."""

    def __init__(self) -> None:
        """Start with no failures."""
        self._periods: OrderedDict[Hashable, _Period] = OrderedDict()

    def admits(self, kind: Hashable, now: float) -> tuple[bool, int]:
        """Tell whether to log a failure, and how many of its kind were left out before it."""
        period = self._periods.get(kind)
        if period is not None and now - period.since < SECONDS:
            period.told += 1
            period.left_out += period.told > MOST
            return period.told <= MOST, 0
        left_out = 0 if period is None else period.left_out
        self._periods[kind] = _Period(now, told=1)
        self._periods.move_to_end(kind)
        if len(self._periods) > KINDS:
            self._periods.popitem(last=False)
        return True, left_out
