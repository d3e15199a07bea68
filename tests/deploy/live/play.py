"""Plays an hour in small: good and bad items, a cut line, an outage, a stop."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.deploy.live.stage import VHOST, Stage
from tests.support.amqp import wait_until
from tests.support.world import INTAKE_QUEUE, World, deals

SETTINGS = {
    "IMPORTER_BITRIX__REQUESTS_PER_SECOND": "10",
    "IMPORTER_BITRIX__BURST": "5",
}
PORTAL: dict[str, Any] = {
    "required": {"1": ["comments"]},
    "default_item_seconds": 0.02,
}
MAX_CUTS = 8
UNKNOWN_TYPE = 1044
UNTRACED_TYPE = 7
"""Has no external id: what cannot be looked up there ends as ambiguous."""
DROPPED = {"title": "a deal", "noSuchField": "the portal drops it without a word"}
FAULTS = (
    {"kind": "refuse", "status": 503, "code": "QUERY_LIMIT_EXCEEDED", "times": 2},
    {"kind": "cut_after_commit", "match": "deal-lost"},
    {"kind": "cut_after_commit", "match": '"entityTypeId":7'},
    {"kind": "poison", "match": "deal-odd", "times": -1},
)


@dataclass(frozen=True, slots=True)
class Played:
    """What was noted while the parts still ran; times are Prometheus' own."""

    exposition: str
    seen_at: float
    outage_at: float
    ended_at: float
    stopped_well: int


async def play(stage: Stage) -> Played:
    """Run the whole hour; returns when nothing is left to do."""
    async with stage.world(SETTINGS, PORTAL) as world:
        await world.start_service()
        await asyncio.to_thread(stage.wait_seen)
        seen_at = time.time()
        await _mixed_traffic(world)
        await _many_refused(stage, world)
        await _cut_line(stage, world)
        outage_at = time.time()
        await _outage(stage, world)
        stopped = await _stop_and_start(stage, world)
        await _send(world, [{**each, "fields": DROPPED} for each in _named("last", 20)])
        await world.wait_balanced()
        exposition = world.service.get("metrics").text
        ended_at = time.time() + 1
        await asyncio.sleep(2)
    return Played(exposition, seen_at, outage_at, ended_at, stopped)


async def _mixed_traffic(world: World) -> None:
    """Send everything that items can be: good, refused, twice, nameless, lost on the way."""
    names = ["deal-lost", *(f"deal-{n}" for n in range(80))]
    odd: list[dict[str, Any] | bytes] = [b"not json"]
    odd += _named("unknown", 3, UNKNOWN_TYPE)
    odd += _named("quote", 3, UNTRACED_TYPE)
    odd += deals("deal-1", "deal-2", "deal-3")
    marked = [{**each, "fields": {"title": each["id"]}} for each in deals(*names)]
    world.portal.faults(FAULTS)
    await _send(world, [*marked, *odd])
    _publish_nameless(world)
    await _send(world, deals("deal-odd", "deal-beside-it"))


def _publish_nameless(world: World) -> None:
    """Publish as a person does by hand: without an id of any kind."""
    body = json.dumps({"entityTypeId": 2, "fields": {"title": "without an id"}})
    message = {
        "properties": {},
        "routing_key": "item.2",
        "payload": body,
        "payload_encoding": "string",
    }
    world.broker.api("POST", f"exchanges/{VHOST}/crm.items/publish", message)


async def _many_refused(stage: Stage, world: World) -> None:
    """Let upstream go wrong for a moment."""
    now = time.time()
    await _send(world, _named("lead", 30, 1))
    await asyncio.to_thread(stage.wait_paged, "ImporterDeadLetters", "firing", now)


async def _cut_line(stage: Stage, world: World) -> None:
    """Cut the broker's connections under work, until a redelivered copy was cut off, too."""
    world.portal.settings({"default_item_seconds": 0.1})
    for cut in range(MAX_CUTS):
        await world.publish(_named(f"cut-{cut}", 60))
        await wait_until(lambda: world.flow().held >= 60, what="work in flight")
        await asyncio.to_thread(stage.node.close_connections, VHOST)
        if world.flow().lost:
            break
    world.portal.settings({"default_item_seconds": 0.02})
    await world.wait_idle()


async def _outage(stage: Stage, world: World) -> None:
    """Revoke the credentials until somebody was paged; an overdue message waits meanwhile."""
    now = time.time()
    world.portal.settings({"state": "credentials"})
    await world.publish(_named("outage", 40))
    await asyncio.to_thread(stage.wait_paged, "ImporterPaused", "firing", now)
    await world.publish(deals("overdue"), expiration=0.001)
    world.portal.settings({"state": "ok"})
    await asyncio.to_thread(stage.wait_paged, "ImporterPaused", "resolved", now)
    await world.wait_idle()
    await asyncio.to_thread(stage.wait_paged, "ImporterUndelivered", "firing", now)


async def _stop_and_start(stage: Stage, world: World) -> int:
    """Stop the importer until its absence was noticed."""
    now = time.time()
    world.service.terminate()
    code = await asyncio.to_thread(world.service.wait)
    await asyncio.to_thread(stage.wait_paged, "ImporterDown", "firing", now)
    await world.publish(_named("missed", 150))
    await world.start_service()
    await asyncio.to_thread(stage.wait_paged, "ImporterDown", "resolved", now)
    return code


async def _send(world: World, bodies: Sequence[dict[str, Any] | bytes]) -> None:
    """Publish, wait until all of it is settled, and take the results as a reader would."""
    await world.publish(bodies)
    await wait_until(lambda: _ready(world) == 0 and world.flow().held == 0, what="settling")
    await asyncio.sleep(1.5)
    await world.read()


def _named(name: str, count: int, entity_type: int = 2) -> list[dict[str, Any]]:
    return deals(*[f"{name}-{n}" for n in range(count)], entity_type=entity_type)


def _ready(world: World) -> int:
    return world.broker.queues(world.vhost)[INTAKE_QUEUE].ready
