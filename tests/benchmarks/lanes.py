"""Measures what one entity type's trouble costs another: deals alone, and beside each trouble.

All are played at once, each with an importer, a virtual host and a simulated portal of its own,
under the portal's limits. Beside the deals come, every ten seconds, three items of a type that is
in trouble. Deals either come two a second, or all lie there at the start.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage

from tests.benchmarks import events
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_least, at_most, percentile
from tests.benchmarks.makespan import IMPORT, LIMITS, limited_portal, limited_settings
from tests.benchmarks.rig import Rig
from tests.support.processes import PortalProcess

PART = "one type's trouble beside deals"
ILL = 128
EVERY, AT_ONCE = 10.0, 3
DEALS_A_SECOND = 2.0
ALL_MATCH = {"match": '"xmlId"', "times": -1}
ALONE = "deals alone"
TROUBLES: Mapping[str, Mapping[str, Any] | None] = {
    ALONE: None,
    "beside a denied type": {"kind": "item_error", "code": "ACCESS_DENIED"},
    "beside a type that the plan has not": {
        "kind": "refuse",
        "code": "CREATE_DYNAMIC_ITEM_RESTRICTED",
        "status": 400,
    },
    "beside a type whose items are all rejected": {
        "kind": "item_error",
        "code": "CRM_FIELD_ERROR_REQUIRED",
    },
    "beside a type whose calls break": {"kind": "cut_before_commit"},
}
"""What the portal does to every item of the ill type."""
Found = TypeVar("Found")
Play = Callable[[Rig, Mapping[str, Any] | None, "Scale"], Awaitable[Found]]
SPEED = 2
"""Of the portal's time, where all deals lie there at the start."""
MEANWHILE = 110
"""So many deals are imported between the ill items that come and the next."""
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How long deals come, in seconds, and how many lie there at the start."""

    seconds: float
    deals: int


FULL = Scale(seconds=120.0, deals=1000)
QUICK = Scale(seconds=15.0, deals=100)


@dataclass(slots=True)
class _Marks:
    """When each deal was published, and when its result came; monotonic seconds."""

    published: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    last: bool = False
    all_in: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, name: str) -> None:
        """Note the result of a deal."""
        self.ended[name] = time.monotonic()
        if self.last and len(self.ended) == len(self.published):
            self.all_in.set()

    def waits(self) -> list[float]:
        """Return how long each deal took from its publish to its result."""
        return [at - self.published[name] for name, at in self.ended.items()]


@dataclass(frozen=True, slots=True)
class _Span:
    """How long all deals took, and for how many slot-seconds calls of other things went on."""

    seconds: float
    other: float


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Play deals alone and beside every trouble, side by side: they sleep most of the time."""
    scale = QUICK if quick else FULL
    waits = dict(zip(TROUBLES, asyncio.run(_all(rig, _steady, scale)), strict=True))
    alone = percentile(waits[ALONE], 0.95)
    command = f"{SERVICE.command}; all at once"
    rows = [Figure(PART, f"{ALONE}: p95 publish → result", alone, "s", command)]
    for name in list(TROUBLES)[1:]:
        found = percentile(waits[name], 0.95)
        say(f"{name}: p50 {percentile(waits[name], 0.5):.2f} s, p95 {found:.2f} s")
        about = f"{name}: p95 ÷ alone"
        rows.append(Figure(PART, about, found / alone, "x", command, at_most(1.10)))
    return rows + _throughput(rig, scale, say)


def _throughput(rig: Rig, scale: Scale, say: Callable[[str], None]) -> list[Figure]:
    """Compare the times that all deals took; what calls of the ill type took is allowed for."""
    spans = dict(zip(TROUBLES, asyncio.run(_all(rig, _saturated, scale)), strict=True))
    alone = spans[ALONE]
    command = f"{SERVICE.command}; all at once, time runs {SPEED} times as fast"
    rate = scale.deals / (alone.seconds * SPEED)
    rows = [Figure(PART, f"{ALONE}: as many as the portal takes", rate, "1/s", command)]
    for name in list(TROUBLES)[1:]:
        must = (spans[name].other - alone.other) / LIMITS.slots
        say(f"{name}: {spans[name].seconds:.1f} s, alone {alone.seconds:.1f}, must {must:.1f}")
        ratio = (alone.seconds + must) / spans[name].seconds
        about = f"{name}: throughput ÷ alone"
        rows.append(Figure(PART, about, ratio, "x", command, at_least(0.97)))
    return rows


async def _all(rig: Rig, play: Play[Found], scale: Scale) -> list[Found]:
    return await asyncio.gather(*(play(rig, each, scale) for each in TROUBLES.values()))


@asynccontextmanager
async def _importer(
    rig: Rig, trouble: Mapping[str, Any] | None, *, speed: float
) -> AsyncIterator[tuple[AbstractChannel, PortalProcess]]:
    """Lend an importer at work before a portal in trouble: a channel to the broker, the portal."""
    with rig.vhost() as url, PortalProcess(limited_portal(speed)) as portal:
        if trouble is not None:
            await asyncio.to_thread(portal.faults, [{**trouble, **ALL_MATCH}])
        await events.fill(url, ())
        webhook = {"IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url}
        with rig.consumer(SERVICE, url, **webhook, **limited_settings(speed)) as consumer:
            await asyncio.to_thread(consumer.wait_ready)
            connection = await aio_pika.connect(url)
            async with connection:
                yield await connection.channel(on_return_raises=True), portal


async def _steady(rig: Rig, trouble: Mapping[str, Any] | None, scale: Scale) -> list[float]:
    """Publish at a steady pace; return how long each deal took."""
    marks, loop = _Marks(), asyncio.get_running_loop()
    async with _importer(rig, trouble, speed=1) as (channel, _):
        intake = await channel.get_exchange(events.INTAKE, ensure=False)
        queue = await channel.get_queue(events.SUCCEEDED, ensure=False)

        async def ended(message: AbstractIncomingMessage) -> None:
            marks.end(json.loads(message.body)["data"]["eventId"])

        await queue.consume(ended, no_ack=True)
        started, total = loop.time(), int(scale.seconds * DEALS_A_SECOND)
        ill = asyncio.create_task(_trickle(intake)) if trouble is not None else None
        for number in range(total):
            await asyncio.sleep(max(0.0, started + number / DEALS_A_SECOND - loop.time()))
            deal = events.event(number)
            marks.last = number == total - 1
            marks.published[deal["id"]] = time.monotonic()
            await _publish(intake, deal)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await marks.all_in.wait()
        if ill is not None:
            ill.cancel()
    return marks.waits()


async def _saturated(rig: Rig, trouble: Mapping[str, Any] | None, scale: Scale) -> _Span:
    """Let all deals lie there at the start, ill items among them; return how long they took."""
    async with _importer(rig, trouble, speed=SPEED) as (channel, portal):
        intake = await channel.get_exchange(events.INTAKE, ensure=False)
        for start in range(0, scale.deals, MEANWHILE):
            if trouble is not None:
                await _publish_ill(intake, start)
            await events.publish(channel, range(start, min(start + MEANWHILE, scale.deals)))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (await asyncio.to_thread(portal.summary))["items"] < scale.deals:
            if time.monotonic() > deadline:
                raise RuntimeError("the deals did not end")
            await asyncio.sleep(0.1)
        return _span((await asyncio.to_thread(portal.ledger))["calls"])


def _span(calls: Sequence[Mapping[str, Any]]) -> _Span:
    def ends(call: Mapping[str, Any]) -> float:
        return float(call["at"] + (call["duration"] or 0.0))

    ours = [c for c in calls if c["method"] == IMPORT and c["entity_type"] == events.ENTITY_TYPE]
    first, last = min(call["at"] for call in ours), max(map(ends, ours))
    others = [c for c in calls if c not in ours and first <= c["at"] < last]
    return _Span(last - first, sum(min(ends(call), last) - call["at"] for call in others))


async def _trickle(intake: AbstractExchange) -> None:
    """Publish items of the ill type until cancelled."""
    number = 0
    while True:
        await _publish_ill(intake, number)
        number += AT_ONCE
        await asyncio.sleep(EVERY)


async def _publish_ill(intake: AbstractExchange, first: int) -> None:
    """Publish as many items of the ill type as come at once."""
    for number in range(first, first + AT_ONCE):
        ill = {"entityTypeId": ILL, "id": f"ill-{number}", "fields": {"title": "ill"}}
        await _publish(intake, ill)


async def _publish(exchange: AbstractExchange, event: Mapping[str, Any]) -> None:
    await exchange.publish(
        Message(json.dumps(event).encode(), delivery_mode=DeliveryMode.PERSISTENT),
        f"item.{event['entityTypeId']}",
        mandatory=True,
    )
