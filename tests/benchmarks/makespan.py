"""Measures how near the importer comes to a planner who knows everything, under real limits.

The simulated portal enforces its bucket and its operating budget, and takes its time for every
item. Its clock runs faster than ours by `speed`, and it reports what a client would see at that
speed; so the importer's settings that are times are scaled alike.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import aio_pika

from tests.benchmarks import events, planner
from tests.benchmarks.contestants import SERVICE, Contestant
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.rig import Consumer, Rig
from tests.support.processes import PortalProcess

PART = "makespan under the portal's limits"
COSTS = planner.Costs(call=0.4, item=0.14)
LOOK_UP_SECONDS = 0.2
LIMITS = planner.Limits(slots=2, rate=2.0, burst=50.0, budget=420.0)
WINDOW = 600.0
IMPORT = "crm.item.batchimport"
REFUSALS = ("QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT")
TIMES = {
    "BITRIX__TIMEOUT_SECONDS": 70.0,
    "BITRIX__SETTLE_SECONDS": 65.0,
    "BITRIX__RECHECK_SECONDS": 3.0,
    "BITRIX__OPERATING_LIMIT_SECONDS": LIMITS.budget,
    "BITRIX__OPERATING_WINDOW_SECONDS": WINDOW,
    "BATCH__WINDOW_SECONDS": 2.0,
    "RETRY__BASE_SECONDS": 1.0,
    "RETRY__CAP_SECONDS": 60.0,
    "PAUSE__AFTER_SECONDS": 60.0,
    "PAUSE__PROBE_SECONDS": 15.0,
    "PAUSE__PROBE_CAP_SECONDS": 300.0,
    "RABBIT__HOLD_SECONDS": 600.0,
}
"""The contract's defaults that are times."""
PATIENCE = 2.0
"""Times the optimum: whoever needs longer is not waited for."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What arrives: all at once, or so many items `per_second` of the portal's time."""

    name: str
    items: int
    speed: float
    per_second: float | None = None

    @property
    def optimum(self) -> float:
        """Return the planner's time."""
        if self.per_second is None:
            return planner.burst(self.items, COSTS, LIMITS)
        return planner.stream(self.items, self.per_second, COSTS, LIMITS)


FULL = (
    Scenario("a burst within the budget", 2000, speed=3),
    Scenario("a burst beyond the budget", 4000, speed=12),
    Scenario("a steady stream", 2880, speed=12, per_second=4.0),
)
"""Fast enough for a bench, slow enough that a call's milliseconds on this machine stay few."""
QUICK = (Scenario("a burst within the budget", 200, speed=10),)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scenario went; seconds of the portal's time."""

    took: float
    done: int
    refusals: int
    calls: Mapping[str, int]


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Play the scenarios, side by side: they sleep most of the time."""
    scenarios = QUICK if quick else FULL
    outcomes = asyncio.run(_all(rig, scenarios))
    for scenario, outcome in zip(scenarios, outcomes, strict=True):
        say(f"{scenario.name}: {outcome}")
    return [row for pair in zip(scenarios, outcomes, strict=True) for row in _figures(*pair)]


async def _all(rig: Rig, scenarios: Sequence[Scenario]) -> list[Outcome]:
    return await asyncio.gather(*(play(rig, scenario) for scenario in scenarios))


async def play(rig: Rig, scenario: Scenario, who: Contestant = SERVICE) -> Outcome:
    """Let an importer work off a scenario against a portal of its own."""
    with rig.vhost() as url, PortalProcess(limited_portal(scenario.speed)) as portal:
        at_once = range(scenario.items if scenario.per_second is None else 0)
        await events.fill(url, at_once)
        webhook = {"IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url}
        with rig.consumer(who, url, **webhook, **limited_settings(scenario.speed)) as consumer:
            await asyncio.to_thread(consumer.wait_ready)
            started = time.monotonic()
            if scenario.per_second is not None:
                await _trickle(url, scenario)
            deadline = started + PATIENCE * scenario.optimum / scenario.speed
            await until_done(portal, consumer, scenario.items, deadline)
            began = None if scenario.per_second is None else started
            return outcome_of(portal, scenario.items, scenario.speed, began)


def limited_portal(speed: float) -> dict[str, object]:
    """Return the settings of a portal with its real limits, whose time runs so much faster."""
    return {
        "rate": LIMITS.rate,
        "burst": LIMITS.burst,
        "operating_limit": LIMITS.budget,
        "default_item_seconds": COSTS.item,
        "call_seconds": {IMPORT: COSTS.call, "crm.item.list": LOOK_UP_SECONDS},
        "speed": speed,
        "report": "real",
        "light": True,
    }


def limited_settings(speed: float) -> dict[str, str]:
    """Return the importer's settings at that speed."""
    scaled = {name: str(value / speed) for name, value in TIMES.items()}
    scaled |= {
        "BITRIX__REQUESTS_PER_SECOND": str(LIMITS.rate * speed),
        "BITRIX__BURST": str(int(LIMITS.burst)),
        "BATCH__SLOTS": str(LIMITS.slots),
    }
    return {f"IMPORTER_{name}": value for name, value in scaled.items()}


async def _trickle(url: str, scenario: Scenario) -> None:
    """Publish at a steady pace of real time, caught up every 50 ms."""
    loop = asyncio.get_running_loop()
    pace = (scenario.per_second or 0.0) * scenario.speed
    connection = await aio_pika.connect(url)
    async with connection, connection.channel(on_return_raises=True) as channel:
        started, sent = loop.time(), 0
        while sent < scenario.items:
            due = min(scenario.items, int((loop.time() - started) * pace) + 1)
            await events.publish(channel, range(sent, due))
            sent = due
            await asyncio.sleep(0.05)


async def until_done(
    portal: PortalProcess, consumer: Consumer, items: int, deadline: float
) -> None:
    """Wait until every item is in, the importer dies, or patience ends."""
    while time.monotonic() < deadline and consumer.alive:
        summary = await asyncio.to_thread(portal.summary)
        if summary["items"] >= items and not summary["open"]:
            return
        await asyncio.sleep(0.2)


def outcome_of(
    portal: PortalProcess, items: int, speed: float, began: float | None = None
) -> Outcome:
    """Read the ledger; time counts from `began`, where that is given, else from the first call."""
    summary, calls = portal.summary(), portal.ledger()["calls"]
    first = calls[0]["at"] if began is None and calls else began or 0.0
    last = max((call["at"] + (call["duration"] or 0.0) for call in calls), default=first)
    return Outcome(
        took=(last - first) * speed if summary["items"] >= items else float("inf"),
        done=summary["items"],
        refusals=sum(summary["errors"].get(code, 0) for code in REFUSALS),
        calls=Counter(call["method"] for call in calls),
    )


def _figures(scenario: Scenario, outcome: Outcome) -> list[Figure]:
    optimum = scenario.optimum
    command = f"{SERVICE.command}; time runs {scenario.speed:.0f} times as fast"
    about = f"{scenario.name} ({scenario.items} items)"
    return [
        Figure(PART, f"{about}: optimum", optimum, "s", command),
        Figure(PART, f"{about}: measured", outcome.took, "s", command),
        Figure(PART, f"{about}: ÷ optimum", outcome.took / optimum, "x", command, at_most(1.05)),
        Figure(PART, f"{about}: refusals", float(outcome.refusals), "calls", command, at_most(0)),
    ]
