"""Measures how soon what waited flows: parked events, fresh ones after a kill, urgent ones.

Parked events and urgent ones are played under the portal's limits, as in `makespan`.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from tests.benchmarks import events, planner
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.makespan import COSTS, IMPORT, LIMITS, limited_portal, limited_settings
from tests.benchmarks.rig import Consumer, Rig, depth
from tests.chaos.cells import version_of
from tests.support.parked import lane
from tests.support.processes import PortalProcess

PART = "what waited"
SPEED = 5
PATIENCE_SECONDS = 240.0
TICK_SECONDS = 0.05
IN_CALLS = {
    "IMPORTER_BATCH__SLOTS": "10",
    "IMPORTER_BATCH__PREFETCH": "220",
    "IMPORTER_BATCH__WINDOW_SECONDS": "0.2",
}
"""A whole prefetch is in calls."""
HELD = 220
FRESH = 1_000_000
SETTLES = (65.0, 300.0)
STOOD_BY_SECONDS = 12.0
"""A stand-by has stood by for a while: what waits for proof may then leave it at once."""
URGENT_EVERY, URGENT = 12.0, 6
PRIORITIES_FROM = (4, 0)
"""The broker's version from which quorum queues know priorities."""


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Play one after the other; what needs a newer broker is left out, and said so."""
    rows = _parked(rig, 200 if quick else 5000, say)
    rows += _taken_over(rig, SETTLES[:1] if quick else SETTLES, say)
    version = version_of(rig.broker.api("GET", "overview"))
    if tuple(map(int, version.split("."))) >= PRIORITIES_FROM:
        return rows + _urgent(rig, 2 if quick else URGENT, say)
    say(f"priority: not on RabbitMQ {version}; RABBITMQ=4.0 knows it")
    return rows


# ---- parked events ----


def _parked(rig: Rig, count: int, say: Callable[[str], None]) -> list[Figure]:
    took = asyncio.run(_flow(rig, count, say)) * SPEED
    optimum = planner.burst(count, COSTS, LIMITS)
    command = f"{SERVICE.command}; time runs {SPEED} times as fast"
    about = f"{count:,} parked, from the right given to the last result"
    return [
        Figure(PART, f"{about}: optimum", optimum, "s", command),
        Figure(PART, f"{about}: measured", took, "s", command),
        Figure(PART, f"{about}: ÷ optimum", took / optimum, "x", command, at_most(1.10)),
    ]


async def _flow(rig: Rig, count: int, say: Callable[[str], None]) -> float:
    """Have events parked, start anew, give the right; return the seconds until all are in.

    A new process finds the lane shut at its first try, and tries again after the first interval,
    as in the first minutes of any trouble.
    """
    queue = lane(events.ENTITY_TYPE)
    with rig.vhost() as url, PortalProcess(limited_portal(SPEED)) as portal:
        await asyncio.to_thread(portal.settings, {"import_denied": [events.ENTITY_TYPE]})
        webhook = {"IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url}
        settings = {**webhook, **limited_settings(SPEED)}
        await events.fill(url, range(count))
        connection = await aio_pika.connect(url)
        async with connection:
            started = time.monotonic()
            with rig.consumer(SERVICE, url, **settings) as first:
                await asyncio.to_thread(first.wait_ready)
                await _until(lambda: _holds(connection, queue, count))
                await _until(lambda: _holds(connection, events.INTAKE_QUEUE, 0))
                first.terminate()
                await asyncio.to_thread(first.wait)
            say(f"{count} parked after {time.monotonic() - started:.0f} s")
            with rig.consumer(SERVICE, url, **settings) as second:
                await asyncio.to_thread(second.wait_ready)
                await _until(lambda: _is_closed(second))
                await asyncio.to_thread(portal.settings, {"import_denied": []})
                given = time.monotonic()
                await _until(lambda: _holds(connection, events.SUCCEEDED, count))
                took = time.monotonic() - given
            say(f"{count} flowed in {took:.1f} s")
            return took


async def _holds(connection: AbstractConnection, queue: str, count: int) -> bool:
    return await depth(connection, queue) == count


async def _is_closed(consumer: Consumer) -> bool:
    answer = await asyncio.to_thread(consumer.get, "readyz")
    return str(events.ENTITY_TYPE) in (answer.json().get("lanes") or {})


# ---- fresh events after a kill ----


def _taken_over(rig: Rig, settles: tuple[float, ...], say: Callable[[str], None]) -> list[Figure]:
    rows = []
    for settle in settles:
        took = asyncio.run(_fresh(rig, settle))
        say(f"fresh after a kill, SETTLE_SECONDS={settle:.0f}: {took:.2f} s")
        about = f"killed with {HELD} in calls, settle time {settle:.0f} s: a fresh event's result"
        rows.append(Figure(PART, about, took, "s", SERVICE.command, at_most(2)))
    return rows


async def _fresh(rig: Rig, settle: float) -> float:
    """Kill an importer whose whole prefetch is in calls; return how long a fresh event takes."""
    with rig.vhost() as url, PortalProcess({"light": True}) as portal:
        webhook = {"IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url}
        settings = {**webhook, **IN_CALLS, "IMPORTER_BITRIX__SETTLE_SECONDS": str(settle)}
        await events.fill(url, range(1))
        connection = await aio_pika.connect(url)
        async with connection, connection.channel(on_return_raises=True) as channel:
            results = await _Results.of(channel)
            with rig.consumer(SERVICE, url, **settings) as first:
                await _until(lambda: results.have(0))
                with rig.consumer(SERVICE, url, **settings) as second:
                    await asyncio.to_thread(second.wait_ready)
                    await asyncio.sleep(STOOD_BY_SECONDS)
                    slow = {"call_seconds": {IMPORT: 600.0}}
                    await asyncio.to_thread(portal.settings, slow)
                    await events.publish(channel, range(1, 1 + HELD))
                    await _until(lambda: _in_calls(portal, HELD))
                    await asyncio.to_thread(portal.settings, {"call_seconds": {}})
                    first.kill()
                    published = time.monotonic()
                    await events.publish(channel, [FRESH])
                    await _until(lambda: results.have(FRESH))
                    return results.at[FRESH] - published


async def _in_calls(portal: PortalProcess, count: int) -> bool:
    calls = (await asyncio.to_thread(portal.ledger))["calls"]
    held: int = sum(call["size"] for call in calls if call["duration"] is None)
    return held >= count - COSTS.most_items


# ---- urgent events ----


def _urgent(rig: Rig, count: int, say: Callable[[str], None]) -> list[Figure]:
    ages = asyncio.run(_ages(rig, count))
    say(f"priority 9 behind 5,000: {', '.join(f'{age:.1f}' for age in ages)} s")
    command = f"{SERVICE.command}, RabbitMQ 4"
    bar = at_most(2 * COSTS.of(COSTS.most_items))
    about = "priority 9 behind 5,000 of priority 0: publish → result"
    return [Figure(PART, about, statistics.median(ages), "s", command, bar, tuple(ages))]


async def _ages(rig: Rig, count: int) -> list[float]:
    """Publish urgent events behind 5,000 others; return how long each took."""
    published: dict[int, float] = {}
    with rig.vhost() as url, PortalProcess(limited_portal(1)) as portal:
        await events.fill(url, range(5000))
        webhook = {"IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url}
        connection = await aio_pika.connect(url)
        async with connection, connection.channel(on_return_raises=True) as channel:
            results = await _Results.of(channel)
            intake = await channel.get_exchange(events.INTAKE, ensure=False)
            with rig.consumer(SERVICE, url, **webhook, **limited_settings(1)) as consumer:
                await asyncio.to_thread(consumer.wait_ready)
                for number in range(FRESH, FRESH + count):
                    await asyncio.sleep(URGENT_EVERY)
                    urgent = events.message(number)
                    urgent.priority = 9
                    published[number] = time.monotonic()
                    await intake.publish(urgent, events.ROUTING_KEY, mandatory=True)
                await _until(lambda: results.have(*published))
    return [results.at[number] - at for number, at in published.items()]


class _Results:
    """Reads the results of successes, and knows when each came; by the number of its event."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    @classmethod
    async def of(cls, channel: AbstractChannel) -> Self:
        """Begin to read."""
        found = cls()
        queue = await channel.get_queue(events.SUCCEEDED, ensure=False)
        await queue.consume(found._came, no_ack=True)
        return found

    async def have(self, *numbers: int) -> bool:
        """Tell whether all of these have come."""
        return self.at.keys() >= {*numbers}

    async def _came(self, message: AbstractIncomingMessage) -> None:
        name: str = json.loads(message.body)["data"]["eventId"]
        self.at[int(name.rpartition("-")[2])] = time.monotonic()


async def _until(check: Callable[[], Awaitable[bool]], tick: float = TICK_SECONDS) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await check():
        if time.monotonic() > deadline:
            raise RuntimeError("what was waited for did not come")
        await asyncio.sleep(tick)
