"""Measures memory and CPU over the length of a run: both must stay flat."""

import asyncio
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tests.benchmarks import events
from tests.benchmarks.calibration import Calibration, slowness
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_most, median
from tests.benchmarks.gauges import cpu_seconds, rss_mib
from tests.benchmarks.rig import Consumer, Rig

PART = "memory and CPU over length"
WARM = 240
SETTLED_SECONDS = 2.0
TICK_SECONDS = 0.02
STALL_SECONDS = 60.0
MAX_GROWTH_MIB = 2.0
"""The interpreter takes memory by the MiB: medians may lie two of these apart without growth."""
ROTATION = 12_500
"""A quarter of `CLAIMS__REMEMBER`: ended events are forgotten so many at a time."""
PATIENT = {"IMPORTER_BITRIX__TIMEOUT_SECONDS": "300", "IMPORTER_SHUTDOWN__DEADLINE_SECONDS": "300"}
"""Filling the queue takes longer than the usual timeout of a call, and answers are held back."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure; `lengths` are the runs whose CPU per event is compared.

    `before`: so many lie in the queue when the long run begins; the others come along.
    """

    waiting: int
    before: int
    total: int
    lengths: tuple[int, ...]
    rounds: int


FULL = Scale(waiting=100_000, before=200_000, total=200_000, lengths=(1_000, 10_000), rounds=4)
QUICK = Scale(waiting=1_500, before=2_000, total=3_000, lengths=(1_000,), rounds=1)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process had used when so many items were through."""

    items: int
    cpu: float
    rss: float
    beat: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU per event, in µs, and how slow the machine was meanwhile."""

    micros: float
    slowness: float


def measure(
    rig: Rig, *, quick: bool, say: Callable[[str], None], total: int | None = None
) -> list[Figure]:
    """Let one process meet a long queue, of `total` events if given, and others short ones."""
    scale = QUICK if quick else FULL
    scale = replace(scale, total=max(total or scale.total, scale.before))
    per_event: dict[int, list[Cost]] = {}
    with Calibration() as calibration:
        for length in scale.lengths * scale.rounds:
            cost = _short_run(rig, length, calibration)
            per_event.setdefault(length, []).append(cost)
            beat = cost.slowness / 1000
            say(f"{length} events: {cost.micros:.0f} µs each, a beat {beat:.0f} µs")
        idle, waiting, samples = _long_run(rig, scale, say, calibration)
    per_event[scale.waiting] = [_cost(samples, scale.waiting)]
    return _memory(idle, waiting, samples, scale) + _cpu(per_event)


def _short_run(rig: Rig, length: int, calibration: Calibration) -> Cost:
    """Return the cost of an event in the midst of a queue that is a little longer."""
    with rig.vhost() as url:
        asyncio.run(events.fill(url, range(length + 3 * WARM)))
        before = rig.portal.seen().items
        with rig.consumer(SERVICE, url) as consumer:
            samples = _follow(rig, consumer, before + WARM + length, calibration)
    return _cost(samples, WARM + length)


def _long_run(
    rig: Rig, scale: Scale, say: Callable[[str], None], calibration: Calibration
) -> tuple[float, float, list[Sample]]:
    """Return the memory when idle and before a full queue, and samples along the way."""
    with rig.vhost() as url, rig.consumer(SERVICE, url, **PATIENT) as consumer:
        consumer.wait_ready()
        time.sleep(SETTLED_SECONDS)
        idle = rss_mib(consumer.pid)
        before = rig.portal.seen().items
        rig.portal.hold()
        try:
            asyncio.run(events.fill(url, range(scale.waiting)))
            waiting = rss_mib(consumer.pid)
            say(f"idle {idle:.1f} MiB, with {scale.waiting} waiting {waiting:.1f} MiB")
            asyncio.run(events.fill(url, range(scale.waiting, scale.before)))
        finally:
            rig.portal.release()
        with ThreadPoolExecutor(1) as upstream:
            rest = upstream.submit(asyncio.run, events.fill(url, range(scale.before, scale.total)))
            samples = _follow(rig, consumer, before + scale.total, calibration)
            rest.result()
        say(f"after {scale.total}: {samples[-1].rss:.1f} MiB")
        return idle, waiting, samples


def _follow(rig: Rig, consumer: Consumer, end: int, calibration: Calibration) -> list[Sample]:
    """Sample the process until the portal has seen `end` items; counted from now."""
    samples: list[Sample] = []
    before = rig.portal.seen().items
    moved = time.monotonic()
    while not samples or before + samples[-1].items < end:
        if not consumer.alive or time.monotonic() - moved > STALL_SECONDS:
            raise RuntimeError(f"the long run stands still:\n{consumer.process.tail()}")
        items = rig.portal.seen().items - before
        if not samples or items > samples[-1].items:
            used = cpu_seconds(consumer.pid), rss_mib(consumer.pid)
            samples.append(Sample(items, *used, calibration.read()))
            moved = time.monotonic()
        time.sleep(TICK_SECONDS)
    return samples


def _cost(samples: list[Sample], end: int) -> Cost:
    """Return the CPU per event from the warm-up on; as many are on their way at both ends."""
    first = next(sample for sample in samples if sample.items >= WARM)
    last = next(sample for sample in samples if sample.items >= end)
    micros = (last.cpu - first.cpu) / (last.items - first.items) * 1e6
    return Cost(micros, slowness(samples[0].beat, last.beat))


def _memory(idle: float, waiting: float, samples: list[Sample], scale: Scale) -> list[Figure]:
    def after(items: int) -> float:
        """Return the median memory over the last rotation before so many items."""
        start = items - min(ROTATION, scale.total // 4)
        return statistics.median(s.rss for s in samples if start <= s.items <= items)

    half, whole = after(scale.total // 2), after(scale.total)
    rows = (
        ("resident when idle", idle, at_most(55)),
        (f"more with {scale.waiting:,} messages waiting", waiting - idle, at_most(25)),
        (f"resident after {scale.total // 2:,} events", half, None),
        (f"resident after {scale.total:,} events", whole, None),
        ("growth over the second half", whole - half, at_most(MAX_GROWTH_MIB)),
    )
    return [Figure(PART, name, value, "MiB", SERVICE.command, trip) for name, value, trip in rows]


def _cpu(per_event: dict[int, list[Cost]]) -> list[Figure]:
    """Return CPU per event by length, as used, and as it were at one speed of the machine."""
    usual = statistics.median(cost.slowness for costs in per_event.values() for cost in costs)
    rows, even = [], []
    for length, costs in sorted(per_event.items()):
        used = [cost.micros for cost in costs]
        rows.append(median(PART, f"CPU per event, {length:,} events", used, "µs", SERVICE.command))
        steady = [cost.micros * usual / cost.slowness for cost in costs]
        name = f"CPU per event, {length:,} events, at the usual speed"
        even.append(median(PART, name, steady, "µs", SERVICE.command))
    values = [row.value for row in even]
    spread = (max(values) / min(values) - 1) * 100
    name = "largest above smallest, at the usual speed"
    return [*rows, *even, Figure(PART, name, spread, "%", SERVICE.command, at_most(10))]
