"""Measures what 100,000 parked events cost: memory and calls while they lie there, and flow.

Played on request only: it takes minutes. The portal's limits are open wide, its answers real.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aio_pika
from aio_pika.abc import AbstractConnection

from tests.benchmarks import events
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.gauges import rss_mib
from tests.benchmarks.rig import Consumer, Rig, depth
from tests.support.parked import lane
from tests.support.processes import PortalProcess

PART = "100,000 parked"
INTERVAL, INTERVALS = 5.0, 6
EVEN = {
    "IMPORTER_PAUSE__PROBE_SECONDS": str(INTERVAL),
    "IMPORTER_PAUSE__PROBE_CAP_SECONDS": str(INTERVAL),
}
STALL_SECONDS = 120.0
TICK_SECONDS = 0.5
QUEUE = lane(events.ENTITY_TYPE)


@dataclass(slots=True)
class _Peak:
    """The most memory that the process took, in MiB."""

    pid: int
    most: float = field(default=0.0)

    def look(self) -> None:
        """Look once."""
        self.most = max(self.most, rss_mib(self.pid))


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Park, wait, and let flow."""
    return asyncio.run(_play(rig, 2_000 if quick else 100_000, say))


async def _play(rig: Rig, count: int, say: Callable[[str], None]) -> list[Figure]:
    rows: list[Figure] = []

    def row(name: str, value: float, unit: str, most: float | None = None) -> None:
        bar = None if most is None else at_most(most)
        rows.append(Figure(PART, f"{count:,}: {name}", value, unit, SERVICE.command, bar))
        say(f"{name}: {value:.1f} {unit}")

    denied = {"import_denied": [events.ENTITY_TYPE], "light": True}
    with rig.vhost() as url, PortalProcess(denied) as portal:
        await events.fill(url, ())
        webhook = {"IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url}
        connection = await aio_pika.connect(url)
        with rig.consumer(SERVICE, url, **webhook, **EVEN) as consumer:
            async with connection, connection.channel(on_return_raises=True) as channel:
                await asyncio.to_thread(consumer.wait_ready)
                await asyncio.sleep(TICK_SECONDS)
                idle = rss_mib(consumer.pid)
                row("resident when idle", idle, "MiB")
                peak, started = _Peak(consumer.pid), time.monotonic()
                filling = asyncio.create_task(events.publish(channel, range(count)))
                await _grown(consumer, peak, connection, QUEUE, count)
                await filling
                row("parked within", time.monotonic() - started, "s")
                row("more memory while parking", peak.most - idle, "MiB", 25)
                before = await asyncio.to_thread(_calls, portal)
                await asyncio.sleep(INTERVAL * INTERVALS)
                calls = await asyncio.to_thread(_calls, portal) - before
                row("calls in an interval of the closed lane", calls / INTERVALS, "calls", 1.2)
                await asyncio.to_thread(portal.settings, {"import_denied": []})
                peak, started = _Peak(consumer.pid), time.monotonic()
                await _grown(consumer, peak, connection, events.SUCCEEDED, count)
                row("flowed within", time.monotonic() - started, "s")
                row("more memory while they flow", peak.most - idle, "MiB", 35)
                row("left in the lane's queue", await depth(connection, QUEUE), "events", 0)
                done = (await asyncio.to_thread(portal.summary))["items"]
                row("items in the portal beyond", done - count, "items", 0)
    return rows


async def _grown(
    consumer: Consumer,
    peak: _Peak,
    connection: AbstractConnection,
    queue: str,
    count: int,
) -> None:
    """Wait until a queue holds so many; fail when it does not grow for long."""
    last, moved = 0, time.monotonic()
    while last < count:
        found = await depth(connection, queue)
        peak.look()
        if found > last:
            last, moved = found, time.monotonic()
        if not consumer.alive or time.monotonic() - moved > STALL_SECONDS:
            raise RuntimeError(f"{queue} stands at {last}:\n{consumer.process.tail()}")
        await asyncio.sleep(TICK_SECONDS)


def _calls(portal: PortalProcess) -> int:
    return len(portal.ledger()["calls"])
