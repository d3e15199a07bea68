"""Measures how long a start takes, and how long a stand-by needs after its active was killed."""

import asyncio
import time
from collections.abc import Callable

from tests.benchmarks import events
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_most, median
from tests.benchmarks.rig import Rig

PART = "start and take-over"
FIRST = "start to the first import"
TAKEN = "active killed → first import by the stand-by"
WINDOW = {"IMPORTER_BATCH__WINDOW_SECONDS": "0.05"}
TICK_SECONDS = 0.002
PATIENCE_SECONDS = 30.0


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Start services, then kill the active one of two."""
    times = 1 if quick else 5
    ready, working, taken = [], [], []
    for number in range(times):
        with rig.vhost() as url:
            asyncio.run(events.fill(url, range(20)))
            with rig.consumer(SERVICE, url) as first:
                before = rig.portal.seen().imports
                ready.append(first.wait_ready())
                working.append(first_import(rig, before) - first.started)
                with rig.consumer(SERVICE, url, **WINDOW) as second:
                    second.wait_ready()
                    taken.append(_take_over(rig, first.kill, url))
        say(f"{number + 1}: ready {ready[-1]:.2f} s, take-over {taken[-1]:.2f} s")
    return [
        median(PART, "start to ready", ready, "s", SERVICE.command),
        median(PART, FIRST, working, "s", SERVICE.command, at_most(2.0)),
        median(PART, TAKEN, taken, "s", SERVICE.command, at_most(1.0)),
    ]


def _take_over(rig: Rig, kill: Callable[[], None], url: str) -> float:
    """Kill the active one, publish a fresh event, and wait for its import."""
    before = rig.portal.seen().imports
    killed = time.monotonic()
    kill()
    asyncio.run(events.fill(url, range(1_000_000, 1_000_001)))
    return first_import(rig, before) - killed


def first_import(rig: Rig, before: int) -> float:
    """Return when the next import reached the portal; monotonic seconds, by its own log."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while rig.portal.seen().imports <= before:
        if time.monotonic() > deadline:
            raise RuntimeError("nobody imports")
        time.sleep(TICK_SECONDS)
    return rig.portal.log()[before][0]
