"""Measures what looking at 100,000 dead letters in the console costs: time, memory, and letters.

Played on request only: filling the queue takes most of a minute.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import aio_pika
from aio_pika.abc import AbstractConnection

from tests.benchmarks.figures import Bar, Figure, at_least, at_most
from tests.benchmarks.gauges import rss_mib
from tests.benchmarks.rig import Rig, depth
from tests.support.console import Browser, ConsoleProcess, Page, settled
from tests.support.letters import QUEUE, Letters, letter

PART = "100,000 dead letters in the console"
COMMAND = ".venv/bin/python -m service console"
CODES = ("CRM_FIELD_ERROR_REQUIRED", "CRM_FIELD_ERROR_VALUE_NOT_VALID", "NOT_FOUND")
TYPES = (2, 128)
KILLS = (0.05, 0.3, 0.7, 1.5)
"""Seconds of reading after which a console is killed."""
ALL_SECONDS = 300.0
FILL = 5_000
"""Letters that are made at once."""
TICK_SECONDS = 0.1
BACK_TICKS = 600
Row = Callable[[str, float, str, Bar | None], None]


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Fill the queue, look, look at all, kill readers."""
    return asyncio.run(_play(rig, 2_000 if quick else 100_000, say))


async def _play(rig: Rig, count: int, say: Callable[[str], None]) -> list[Figure]:
    rows: list[Figure] = []

    def row(name: str, value: float, unit: str, bar: Bar | None = None) -> None:
        rows.append(Figure(PART, f"{count:,}: {name}", value, unit, COMMAND, bar))
        say(f"{name}: {value:.2f} {unit}")

    with rig.vhost() as url:
        await _fill(Letters(rig.broker, url.rpartition("/")[2]), count)
        async with await aio_pika.connect(url) as connection:
            left = partial(_all_back, connection, count)
            with ConsoleProcess({"IMPORTER_RABBIT__URL": url}) as console:
                await _look(console, count, row)
                row("letters there after looking", await left(), "letters", at_least(count))
            for seconds in KILLS:
                await _killed(url, seconds)
                name = f"letters there after a kill at {seconds} s"
                row(name, await left(), "letters", at_least(count))
    return rows


async def _look(console: ConsoleProcess, count: int, row: Row) -> None:
    console.wait_ready()
    async with Browser(console) as browser:
        await browser.get("/")
        idle = rss_mib(console.pid)
        row("resident when idle", idle, "MiB", None)
        async with _peak(console.pid) as peak:
            started = time.monotonic()
            page = await browser.get("/dead-letters")
            took = time.monotonic() - started
            row("groups and the first page", took, "s", at_most(2))
            row("groups on it", len(_groups(page)), "groups", at_least(len(CODES)))
            page = await settled(browser, "/dead-letters")
            row("until it changes no more", time.monotonic() - started, "s", None)
            started = time.monotonic()
            if f"of {count:,} letters" in page.text:
                await browser.send(page, "/dead-letters/look-again", {"all": "1"})
            page = await settled(browser, "/dead-letters", within=ALL_SECONDS)
            assert f"{count:,} match" in page.text, page.text
            row("looked at all, when asked to", time.monotonic() - started, "s", None)
        row("more memory at the most", max(peak) - idle, "MiB", at_most(40))


def _groups(page: Page) -> set[str]:
    return {link for link in page.links if "?kind=" in link}


@asynccontextmanager
async def _peak(pid: int) -> AsyncIterator[list[float]]:
    """Look at the memory of a process all the time; yields what was seen."""
    seen = [rss_mib(pid)]

    async def look() -> None:
        while True:
            seen.append(rss_mib(pid))
            await asyncio.sleep(TICK_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()


async def _killed(url: str, seconds: float) -> None:
    """Let a console read, and kill it in the midst of it."""
    with ConsoleProcess({"IMPORTER_RABBIT__URL": url}) as console:
        console.wait_ready()
        async with Browser(console) as browser:
            looking = asyncio.create_task(browser.client.get("/dead-letters"))
            await asyncio.sleep(seconds)
            console.kill()
            await asyncio.gather(looking, return_exceptions=True)


async def _all_back(connection: AbstractConnection, count: int) -> int:
    """Return how many letters lie there as soon as all do, else after a while."""
    found = 0
    for _ in range(BACK_TICKS):
        found = await depth(connection, QUEUE)
        if found >= count:
            break
        await asyncio.sleep(TICK_SECONDS)
    return found


async def _fill(letters: Letters, count: int) -> None:
    await letters.declare()
    for start in range(0, count, FILL):
        await letters.put(
            *(
                letter(f"order-{number}", code=CODES[number % 3], entity_type=TYPES[number % 2])
                for number in range(start, min(start + FILL, count))
            )
        )
