"""Measures what the memory of calls costs: everything side by side with the memory off.

The start is measured before a stream that is full of notes of one event each, with a page after
every 2,500 of them, as the active process adds it.
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from service.domain.addresses import host
from service.domain.events import Identity, event_digest
from service.domain.last_words import LastWord, Word
from service.rabbit.connection import Address
from service.rabbit.memory import Memory
from service.rabbit.memory_state import MemoryState
from service.rabbit.notes import Owner
from tests.benchmarks import events
from tests.benchmarks.contestants import SERVICE, WIDE
from tests.benchmarks.figures import Figure, at_most, median, percentile
from tests.benchmarks.gauges import peak_mib, rss_mib
from tests.benchmarks.latency import timed
from tests.benchmarks.rig import Rig
from tests.benchmarks.starts import first_import

PART = "the memory of calls"
QUEUE = "crm.items.memory"
OFF = {"IMPORTER_RABBIT__MEMORY_QUEUE": ""}
WITHOUT = replace(SERVICE, name="without the memory", settings={**WIDE, **OFF})
SHORT = {"IMPORTER_BATCH__WINDOW_SECONDS": "0.05"}
AT_ONCE = 200
AFTER_THE_PAGE = 2_400
"""Notes that stand behind the last page when the start is measured: nearly as many as ever do."""
SETTLED_SECONDS = 3.0
MILLIS = 1e3


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure."""

    events: int
    warm: int
    rounds: int
    latency: int
    notes: int
    starts: int


FULL = Scale(events=5000, warm=1000, rounds=7, latency=100, notes=52_400, starts=5)
QUICK = Scale(events=600, warm=300, rounds=1, latency=15, notes=4_900, starts=1)


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Compare the ways of an event, then the starts and what they take of memory."""
    scale = QUICK if quick else FULL
    return [*_path(rig, scale, say), *_latency(rig, scale, say), *_starts(rig, scale, say)]


def _path(rig: Rig, scale: Scale, say: Callable[[str], None]) -> list[Figure]:
    rates: dict[str, list[float]] = {}
    micros: dict[str, list[float]] = {}
    for number in range(scale.rounds):
        turn = (SERVICE, WITHOUT) if number % 2 else (WITHOUT, SERVICE)
        for who in turn:
            run = rig.run(who, scale.events, scale.warm)
            rates.setdefault(who.name, []).append(run.rate)
            micros.setdefault(who.name, []).append(run.micros)
            say(f"round {number + 1}, {who.name}: {run.rate:.0f}/s, {run.micros:.0f} µs")
    on, off = SERVICE.name, WITHOUT.name
    slower = [a / b for a, b in zip(rates[on], rates[off], strict=True)]
    dearer = [a / b for a, b in zip(micros[on], micros[off], strict=True)]
    return [
        _row("with it, events per second", rates[on], "1/s"),
        _row("without it, events per second", rates[off], "1/s"),
        _row("with ÷ without, per second", slower, "x"),
        _row("with it, CPU per event", micros[on], "µs"),
        _row("without it, CPU per event", micros[off], "µs"),
        _row("with ÷ without, CPU per event", dearer, "x"),
    ]


def _latency(rig: Rig, scale: Scale, say: Callable[[str], None]) -> list[Figure]:
    rows = []
    for name, more in (("with", {}), ("without", OFF)):
        found = timed(rig, scale.latency, **more)
        say(f"{scale.latency} rounds {name} it")
        for what, values in (
            ("window closed → request at the portal", found.to_wire),
            ("answer sent → all results in their queue", found.to_confirmed),
        ):
            for share, short in ((0.5, "p50"), (0.99, "p99")):
                value = percentile(values, share) * MILLIS
                row = f"{name} it: {what}, {short}"
                rows.append(Figure(PART, row, value, "ms", SERVICE.command))
    return rows


def _starts(rig: Rig, scale: Scale, say: Callable[[str], None]) -> list[Figure]:
    """Start before a full stream, before none, and with the memory off."""
    seconds: dict[str, list[float]] = {}
    resident: dict[str, list[float]] = {}
    peaks: list[float] = []
    for name, more, notes in (
        ("a full stream", {}, scale.notes),
        ("no stream yet", {}, 0),
        ("the memory off", OFF, 0),
    ):
        with rig.vhost() as url:
            if notes:
                asyncio.run(_fill(url, host(rig.portal.webhook_url), notes))
            for number in range(scale.starts):
                asyncio.run(events.fill(url, range(number * 20, number * 20 + 20)))
                before = rig.portal.seen().imports
                with rig.consumer(SERVICE, url, **SHORT, **more) as consumer:
                    seconds.setdefault(name, []).append(
                        first_import(rig, before) - consumer.started
                    )
                    time.sleep(SETTLED_SECONDS)
                    resident.setdefault(name, []).append(rss_mib(consumer.pid))
                    if notes:
                        peaks.append(peak_mib(consumer.pid))
        say(f"{name}: first batch after {statistics.median(seconds[name]):.2f} s")
    bars = {"a full stream": at_most(2.0)}
    return [
        *(
            median(
                PART, f"{name}: start → first batch", runs, "s", SERVICE.command, bars.get(name)
            )
            for name, runs in seconds.items()
        ),
        *(_row(f"{name}: resident when idle", runs, "MiB") for name, runs in resident.items()),
        _row("a full stream: most that was resident", peaks, "MiB"),
    ]


async def _fill(url: str, portal: str, count: int) -> None:
    """Write so many notes of one event each, and a page after every 2,500."""
    memory = Memory(
        address=Address([url], heartbeat=15),
        queue=QUEUE,
        owner=Owner(portal, "crm-importer"),
        remember=50_000,
    )
    task = asyncio.create_task(memory.run())
    try:
        while memory.state is not MemoryState.FOLLOWING:  # noqa: ASYNC110 - polls another's state
            await asyncio.sleep(0.02)
        for first in range(0, count, AT_ONCE):
            if first == count - AFTER_THE_PAGE:
                await memory.upkeep.add_page()
            some = range(first, min(first + AT_ONCE, count))
            await asyncio.gather(*(memory.add([_word(memory, number)]) for number in some))
            if first < count - AFTER_THE_PAGE and memory.upkeep.due(active=True):
                await memory.upkeep.tend(active=True)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _word(memory: Memory, number: int) -> LastWord:
    event = event_digest(Identity(2, f"noted-{number}"))
    return LastWord(event, Word.IMPORTED, 2, time.time(), memory.writer, item_id=number + 1)


def _row(name: str, runs: list[float], unit: str) -> Figure:
    return median(PART, name, runs, unit, SERVICE.command)
