"""Measures what one entity type's trouble costs another: deals alone, and beside each trouble.

All are played at once, each with an importer, a virtual host and a simulated portal of its own, at
the portal's own speed and the contract's own settings. Two deals come a second; beside them, every
ten seconds, three items of a type that is in trouble.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from tests.benchmarks import events
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_most, percentile
from tests.benchmarks.makespan import COSTS, IMPORT, LIMITS, LOOK_UP_SECONDS
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
PATIENCE_SECONDS = 60.0


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


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Play deals alone and beside every trouble, side by side: they sleep most of the time."""
    seconds = 20.0 if quick else 120.0
    waits = asyncio.run(_all(rig, seconds))
    alone = percentile(waits[ALONE], 0.95)
    command = f"{SERVICE.command}; {seconds:.0f} s, all at once"
    rows = [Figure(PART, f"{ALONE}: p95 publish → result", alone, "s", command)]
    for name in list(TROUBLES)[1:]:
        found = percentile(waits[name], 0.95)
        say(f"{name}: p50 {percentile(waits[name], 0.5):.2f} s, p95 {found:.2f} s")
        about = f"{name}: p95 ÷ alone"
        rows.append(Figure(PART, about, found / alone, "x", command, at_most(1.10)))
    return rows


async def _all(rig: Rig, seconds: float) -> dict[str, list[float]]:
    played = await asyncio.gather(*(_play(rig, each, seconds) for each in TROUBLES.values()))
    return dict(zip(TROUBLES, played, strict=True))


async def _play(rig: Rig, trouble: Mapping[str, Any] | None, seconds: float) -> list[float]:
    portal_settings = {
        "rate": LIMITS.rate,
        "burst": LIMITS.burst,
        "operating_limit": LIMITS.budget,
        "default_item_seconds": COSTS.item,
        "call_seconds": {IMPORT: COSTS.call, "crm.item.list": LOOK_UP_SECONDS},
    }
    with rig.vhost() as url, PortalProcess(portal_settings) as portal:
        if trouble is not None:
            await asyncio.to_thread(portal.faults, [{**trouble, **ALL_MATCH}])
        await events.fill(url, ())
        webhook = {"IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url}
        with rig.consumer(SERVICE, url, **webhook) as consumer:
            await asyncio.to_thread(consumer.wait_ready)
            return await _trickle(url, seconds, ill=trouble is not None)


async def _trickle(url: str, seconds: float, *, ill: bool) -> list[float]:
    """Publish at a steady pace, and wait for the results of all deals."""
    marks, loop = _Marks(), asyncio.get_running_loop()
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        intake = await channel.get_exchange(events.INTAKE, ensure=False)
        queue = await channel.get_queue(events.SUCCEEDED, ensure=False)

        async def ended(message: AbstractIncomingMessage) -> None:
            marks.end(json.loads(message.body)["data"]["eventId"])

        await queue.consume(ended, no_ack=True)
        started, ill_sent = loop.time(), 0
        for number in range(int(seconds * DEALS_A_SECOND)):
            await asyncio.sleep(max(0.0, started + number / DEALS_A_SECOND - loop.time()))
            if ill and loop.time() - started >= ill_sent // AT_ONCE * EVERY:
                for _ in range(AT_ONCE):
                    await _publish(intake, {"entityTypeId": ILL, "id": f"ill-{ill_sent}"})
                    ill_sent += 1
            deal = events.event(number)
            marks.last = number == int(seconds * DEALS_A_SECOND) - 1
            marks.published[deal["id"]] = time.monotonic()
            await _publish(intake, deal)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await marks.all_in.wait()
    return marks.waits()


async def _publish(exchange: AbstractExchange, event: Mapping[str, Any]) -> None:
    body = json.dumps({"fields": {"title": "ill"}, **event}).encode()
    await exchange.publish(
        Message(body, delivery_mode=DeliveryMode.PERSISTENT),
        f"item.{event['entityTypeId']}",
        mandatory=True,
    )
