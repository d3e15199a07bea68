"""Makes every wait longer on a slow or busy machine: what is late there is not wrong."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

MOST = 6.0
"""A wait is never more than so many times longer: what hangs has to fail some time."""
MOVE_SECONDS = 0.5
LOOPS = 300_000
LOOPS_SECONDS = 0.015
"""How long the loops take on the machine that the waits were written on, idle."""


def patient(seconds: float) -> float:
    """Return how long to wait now for what takes so long on an idle machine."""
    return seconds * factor()


def factor() -> float:
    """Return how much slower than an idle machine this one may be now, from 1 to MOST.

    The load counts what wants a core, for each core: in the last minute, or at this moment, since
    a machine may have got busy just now. TEST_PATIENCE sets the least factor.
    """
    load = max(os.getloadavg()[0], _others()) / (os.cpu_count() or 1)
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


@asynccontextmanager
async def at_most(seconds: float) -> AsyncIterator[None]:
    """Bound what is awaited inside; raises TimeoutError. The end moves away as a Deadline's."""
    now = asyncio.get_running_loop().time
    began = now()
    async with asyncio.timeout(patient(seconds)) as limit:

        async def move() -> None:
            while True:
                await asyncio.sleep(MOVE_SECONDS)
                when = limit.when()
                if when is not None and not limit.expired():
                    limit.reschedule(max(when, began + patient(seconds)))

        moving = asyncio.create_task(move(), name="patience")
        try:
            yield
        finally:
            moving.cancel()


def _others() -> int:
    """Count what wants a core at this moment, beside us."""
    running, _, _ = Path("/proc/loadavg").read_text().split()[3].partition("/")
    return int(running) - 1


@cache
def _slowness() -> float:
    """Measure once how long fixed work takes here, against where the waits were written."""
    started = time.perf_counter()
    sum(number & 7 for number in range(LOOPS))
    return (time.perf_counter() - started) / LOOPS_SECONDS
