"""Measures what ids cost in memory: absurdly long ones, and as long ones as are taken."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import aio_pika

from tests.benchmarks import events
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.gauges import rss_mib
from tests.benchmarks.rig import Consumer, Rig, depth

PART = "memory and the length of ids"
WARM = 300
ABSURD, ABSURD_BYTES = 600, 500_000
LONG, LONG_CHARACTERS = 3_000, 1_000
QUICK = 30
SETTLED_SECONDS, PATIENCE_SECONDS = 2.0, 120.0


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Compare the process's memory before and after."""
    share = QUICK if quick else 1
    with rig.vhost() as url, rig.consumer(SERVICE, url) as consumer:
        consumer.wait_ready()
        asyncio.run(_through(url, consumer, WARM, LONG_CHARACTERS, events.SUCCEEDED))
        before = _settled(consumer)
        asyncio.run(_through(url, consumer, ABSURD // share, ABSURD_BYTES, events.DEAD_QUEUE))
        absurd = _settled(consumer)
        asyncio.run(_through(url, consumer, LONG // share, LONG_CHARACTERS, events.SUCCEEDED))
        long = _settled(consumer)
    say(f"{before:.1f} MiB, then {absurd:.1f} and {long:.1f} MiB")
    rows = (
        (f"more after {ABSURD} ids of {ABSURD_BYTES // 1000} kB", absurd - before, at_most(80)),
        (f"more after {LONG:,} ids of {LONG_CHARACTERS:,} signs", long - absurd, at_most(5)),
    )
    command = SERVICE.command
    return [
        Figure(PART, "resident before", before, "MiB", command),
        *(Figure(PART, name, value, "MiB", command, trip) for name, value, trip in rows),
    ]


async def _through(url: str, consumer: Consumer, count: int, length: int, queue: str) -> None:
    """Publish events whose ids are so long, and wait until all lie in a queue."""

    def encode(number: int) -> tuple[bytes, Mapping[str, Any]]:
        event = {**events.event(number), "id": f"{number}-{length}-".ljust(length, "x")}
        return json.dumps(event).encode(), {}

    connection = await aio_pika.connect(url)
    async with connection:
        wanted = await depth(connection, queue) + count
        async with connection.channel(on_return_raises=True) as channel:
            for first in range(0, count, 50):
                await events.publish(channel, range(first, min(first + 50, count)), encode)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while await depth(connection, queue) < wanted:
            if not consumer.alive or time.monotonic() > deadline:
                raise RuntimeError(f"they do not end:\n{consumer.process.tail()}")
            await asyncio.sleep(0.1)


def _settled(consumer: Consumer) -> float:
    time.sleep(SETTLED_SECONDS)
    return rss_mib(consumer.pid)
