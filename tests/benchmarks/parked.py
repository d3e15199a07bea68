"""Measures what 100,000 parked events cost: memory and calls while they lie there, and flow.

Played on request only: it takes minutes. The portal's limits are open wide, its answers real. An
earlier process is taken to have parked them: they are put into the lane's queue as it would.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

import aio_pika
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from tests.benchmarks import events
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.gauges import rss_mib
from tests.benchmarks.rig import Consumer, Rig, depth
from tests.support.parked import ARGUMENTS, lane, parked
from tests.support.processes import PortalProcess

PART = "100,000 parked"
INTERVAL, INTERVALS = 5.0, 6
EVEN = {
    "IMPORTER_PAUSE__PROBE_SECONDS": str(INTERVAL),
    "IMPORTER_PAUSE__PROBE_CAP_SECONDS": str(INTERVAL),
}
STALL_SECONDS = 120.0
BEGUN_SECONDS = 2.0
TICK_SECONDS = 0.5
FULL = 2 / 3
"""By then it remembers as many imported ids as it ever will (50,000), and has summed them up."""
QUEUE = lane(events.ENTITY_TYPE)


@dataclass(slots=True)
class _Peak:
    """The most memory that a process took, in MiB."""

    consumer: Consumer
    most: float = field(default=0.0)
    now: list[float] = field(default_factory=list)

    async def watch(self, seconds: float) -> None:
        """Look often for so long; raises RuntimeError if the process ends."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not self.consumer.alive:
                raise RuntimeError(f"it has ended:\n{self.consumer.process.tail()}")
            self.now.append(rss_mib(self.consumer.pid))
            self.most = max(self.most, self.now[-1])
            await asyncio.sleep(TICK_SECONDS)


class _Results:
    """Reads the results of successes: which events they are of, and how many came in all.

    `levels`: the memory at times, with the share of the events that were in by then.
    """

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.came = 0
        self.levels: list[tuple[float, float]] = []

    @classmethod
    async def of(cls, channel: AbstractChannel) -> Self:
        """Begin to read."""
        found = cls()
        queue = await channel.get_queue(events.SUCCEEDED, ensure=False)
        await queue.consume(found._note, no_ack=True)
        return found

    async def complete(
        self, count: int, consumer: Consumer, peak: _Peak, say: Callable[[str], None]
    ) -> None:
        """Wait until every event has one; raises RuntimeError when none comes for long."""
        last = 0
        while len(self.ids) < count:
            last = len(self.ids)
            peak.now.clear()
            await peak.watch(STALL_SECONDS / 4)
            level = statistics.median(peak.now)
            self.levels.append((len(self.ids) / count, level))
            say(f"{len(self.ids):,} of {count:,}; {level:.0f} MiB, {peak.most:.0f} at most")
            if len(self.ids) == last:
                raise RuntimeError(f"no result comes:\n{consumer.process.tail()}")

    def growth(self) -> float:
        """Return how much more memory the last third took than what was there before, in MiB."""
        late = [level for share, level in self.levels if share > FULL]
        return late[-1] - late[0] if late else 0.0

    async def _note(self, message: AbstractIncomingMessage) -> None:
        self.ids.add(json.loads(message.body)["data"]["eventId"])
        self.came += 1


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
        webhook = {"IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url}
        connection = await aio_pika.connect(url)
        async with connection, connection.channel(on_return_raises=True) as channel:
            await events.declare(channel)
            with rig.consumer(SERVICE, url, **webhook, **EVEN) as first:
                # It begins the memory, which then knows what every process did since.
                await asyncio.to_thread(first.wait_ready)
                await asyncio.sleep(BEGUN_SECONDS)
                first.terminate()
                await asyncio.to_thread(first.wait)
            started = time.monotonic()
            await _park(channel, count, urlsplit(portal.webhook_url).netloc)
            row("put into the lane's queue within", time.monotonic() - started, "s")
            results = await _Results.of(channel)
            with rig.consumer(SERVICE, url, **webhook, **EVEN) as consumer:
                await asyncio.to_thread(consumer.wait_ready)
                idle, peak = rss_mib(consumer.pid), _Peak(consumer)
                row("resident when idle", idle, "MiB")
                await _closed(consumer)
                before = await asyncio.to_thread(_calls, portal)
                await peak.watch(INTERVAL * INTERVALS)
                calls = await asyncio.to_thread(_calls, portal) - before
                row("calls in an interval of the closed lane", calls / INTERVALS, "calls", 1.2)
                row("more memory while they lie there", peak.most - idle, "MiB", 25)
                await asyncio.to_thread(portal.settings, {"import_denied": []})
                started = time.monotonic()
                await results.complete(count, consumer, peak, say)
                row("flowed within", time.monotonic() - started, "s")
                row("more memory while they flow, at most", peak.most - idle, "MiB", 120)
                row("of it since two thirds were in", results.growth(), "MiB", 10)
                row("left in the lane's queue", await depth(connection, QUEUE), "events", 0)
                row("dead letters", await depth(connection, events.DEAD_QUEUE), "events", 0)
                done = (await asyncio.to_thread(portal.summary))["items"]
                row("items in the portal beyond", done - count, "items", 0)
                row("results beyond", results.came - count, "results", 0)
    return rows


async def _park(channel: AbstractChannel, count: int, portal: str) -> None:
    """Put events where a process parks them whose lane has closed."""
    await channel.declare_queue(QUEUE, durable=True, arguments=dict(ARGUMENTS))
    for start in range(0, count, events.AT_ONCE):
        await asyncio.gather(
            *(
                channel.default_exchange.publish(_waiting(number, portal), QUEUE, mandatory=True)
                for number in range(start, min(start + events.AT_ONCE, count))
            )
        )


def _waiting(number: int, portal: str) -> Message:
    event = events.event(number)
    return parked(
        event["id"],
        entity_type=events.ENTITY_TYPE,
        headers={"import_portal": portal},
        fields=event["fields"],
    )


async def _closed(consumer: Consumer) -> None:
    """Wait until the lane has closed."""
    deadline = time.monotonic() + STALL_SECONDS
    while not (await asyncio.to_thread(consumer.get, "readyz")).json().get("lanes"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the lane does not close:\n{consumer.process.tail()}")
        await asyncio.sleep(TICK_SECONDS)


def _calls(portal: PortalProcess) -> int:
    return len(portal.ledger()["calls"])
