"""Makes every wait longer on a slow or busy machine: what is late there is not wrong."""

import os
import time
from functools import cache

MOST = 6.0
"""A wait is never more than so many times longer: what hangs has to fail some time."""
LOOPS = 300_000
LOOPS_SECONDS = 0.015
"""How long the loops take on the machine that the waits were written on, idle."""


def patient(seconds: float) -> float:
    """Return how long to wait now for what takes so long on an idle machine."""
    return seconds * factor()


def factor() -> float:
    """Return how much slower than an idle machine this one may be now, from 1 to MOST.

    The load counts what wants a core, for each core. TEST_PATIENCE sets the least factor.
    """
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    wanted = float(os.environ.get("TEST_PATIENCE") or 1)
    return min(MOST, max(1.0, wanted, load, _slowness()))


class Deadline:
    """The end of a wait. It moves away when the machine gets busy meanwhile."""

    def __init__(self, seconds: float) -> None:
        """Begin to wait, for so long on an idle machine."""
        self._seconds = seconds
        self._began = time.monotonic()

    @property
    def passed(self) -> bool:
        """Tell whether it was waited for long enough."""
        return time.monotonic() > self._began + patient(self._seconds)

    @property
    def left(self) -> float:
        """Return what is left of the seconds on an idle machine."""
        return self._seconds - (time.monotonic() - self._began) / factor()

    def __str__(self) -> str:
        """Say how long was waited, for messages of failure."""
        waited = time.monotonic() - self._began
        return f"{waited:.1f} s ({self._seconds:g} s on an idle machine)"


@cache
def _slowness() -> float:
    """Measure once how long fixed work takes here, against where the waits were written."""
    started = time.perf_counter()
    sum(number & 7 for number in range(LOOPS))
    return (time.perf_counter() - started) / LOOPS_SECONDS
