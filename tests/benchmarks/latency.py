"""Measures, from outside, how much time the unloaded importer adds at its two busy moments.

A tap bound beside the intake queue, read by a bare consumer, tells when the broker delivers an
event; the portal's log tells when its request arrives and its answer leaves; a bare consumer of
the result queue tells when the last result is in. Between rounds, bare confirmed publishes of as
many messages give the broker's own round trip at that moment.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage

from tests.benchmarks import events
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_most, percentile
from tests.benchmarks.rig import Consumer, Rig

PART = "latency, unloaded"
WINDOW_SECONDS = 0.2
MOST = 5
WARM_EVENTS = 240
"""Above the prefetch: the look-ups of the first deliveries are over."""
PATIENCE_SECONDS = 20.0
MILLIS = 1e3


@dataclass(slots=True)
class _Marks:
    """Collects when the events of a round came by."""

    delivered: list[float] = field(default_factory=list)
    results: list[float] = field(default_factory=list)


@dataclass(slots=True)
class _Found:
    """Collects the seconds of every round."""

    to_wire: list[float] = field(default_factory=list)
    to_confirmed: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Publish one to five events at a time, and wait for their results."""
    rounds = 15 if quick else 150
    with rig.vhost() as url:
        asyncio.run(events.fill(url, range(WARM_EVENTS)))
        window = {"IMPORTER_BATCH__WINDOW_SECONDS": str(WINDOW_SECONDS)}
        before = rig.portal.seen().imports
        with rig.consumer(SERVICE, url, **window) as consumer:
            found = asyncio.run(_rounds(rig, consumer, url, before, rounds))
    say(f"{rounds} rounds")
    return _figures(found)


async def _rounds(rig: Rig, consumer: Consumer, url: str, before: int, rounds: int) -> _Found:
    found, marks = _Found(), _Marks()
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        await _until(lambda: _warm(channel), consumer)
        await _listen(channel, marks)
        intake = await channel.get_exchange(events.INTAKE, ensure=False)
        bare = await channel.declare_exchange("bench.bare", "fanout", durable=True)
        queue = await channel.declare_queue(
            "bench.bare", durable=True, arguments={"x-queue-type": "quorum"}
        )
        await queue.bind(bare)
        done = rig.portal.seen().imports
        for number in range(rounds):
            count = 1 + number % MOST
            found.bare.append(await _publish(bare, 0, count))
            marks.delivered.clear()
            marks.results.clear()
            await _publish(intake, WARM_EVENTS + number * MOST, count)
            await _until(lambda: _all_in(marks, count), consumer)  # noqa: B023 - awaited here
            found.to_wire.append(-marks.delivered[0] - WINDOW_SECONDS)
            found.to_confirmed.append(marks.results[-1])
    calls = rig.portal.log()[done:]
    if len(calls) != rounds:
        raise RuntimeError(f"{len(calls)} calls for {rounds} rounds: a window closed too early")
    for position, (arrived, answered, _) in enumerate(calls):
        found.to_wire[position] += arrived
        found.to_confirmed[position] -= answered
    return found


async def _warm(channel: AbstractChannel) -> bool:
    queue = await channel.declare_queue(events.SUCCEEDED, passive=True)
    return queue.declaration_result.message_count == WARM_EVENTS


async def _all_in(marks: _Marks, count: int) -> bool:
    return len(marks.results) >= count


async def _until(done: Callable[[], Awaitable[bool]], consumer: Consumer) -> None:
    """Wait, looking rarely: whoever looks takes the processor from who is measured."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await done():
        if time.monotonic() > deadline or not consumer.alive:
            raise RuntimeError(f"no results:\n{consumer.process.tail()}")
        await asyncio.sleep(0.02)


async def _listen(channel: AbstractChannel, marks: _Marks) -> None:
    """Consume the tap and the results, noting only the time."""
    await (await channel.get_queue(events.SUCCEEDED, ensure=False)).purge()
    tap = await channel.declare_queue(
        "bench.tap", durable=True, arguments={"x-queue-type": "quorum"}
    )
    await tap.bind(events.INTAKE, "#")

    async def delivered(_: AbstractIncomingMessage) -> None:
        marks.delivered.append(time.monotonic())

    async def result(_: AbstractIncomingMessage) -> None:
        marks.results.append(time.monotonic())

    await tap.consume(delivered, no_ack=True)
    succeeded = await channel.get_queue(events.SUCCEEDED, ensure=False)
    await succeeded.consume(result, no_ack=True)


async def _publish(exchange: AbstractExchange, first: int, count: int) -> float:
    """Publish together; return the seconds until all are confirmed."""
    started = time.monotonic()
    await asyncio.gather(
        *(
            exchange.publish(events.message(number), events.ROUTING_KEY)
            for number in range(first, first + count)
        )
    )
    return time.monotonic() - started


def _figures(found: _Found) -> list[Figure]:
    bare_median = percentile(found.bare, 0.5)
    rows = []
    for name, values in (
        ("bare broker round trip", found.bare),
        ("window closed → request at the portal", found.to_wire),
        ("answer sent → all results in their queue", found.to_confirmed),
    ):
        rows += [
            _row(f"{name}, p50", percentile(values, 0.5)),
            _row(f"{name}, p99", percentile(values, 0.99), 5 if "window" in name else None),
        ]
    above = percentile(found.to_confirmed, 0.99) - percentile(found.bare, 0.99)
    above_median = percentile(found.to_confirmed, 0.5) - bare_median
    return [
        *rows,
        _row("answer → results, above the bare round trip, p50", above_median),
        _row("answer → results, above the bare round trip, p99", above, 15),
    ]


def _row(name: str, seconds: float, most: float | None = None) -> Figure:
    bar = None if most is None else at_most(most)
    return Figure(PART, name, seconds * MILLIS, "ms", SERVICE.command, bar)
