"""Runs an hour in small: good and bad items, a cut line, an outage, a stop."""

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.deploy.live.monitoring import VHOST, Monitoring
from tests.support.amqp import wait_until
from tests.support.environment import INTAKE_QUEUE, Environment, deals
from tests.support.processes import ServiceProcess

SETTINGS = {
    "IMPORTER_BITRIX__REQUESTS_PER_SECOND": "10",
    "IMPORTER_BITRIX__BURST": "5",
}
PORTAL: dict[str, Any] = {
    "required": {"1": ["comments"]},
    "default_item_seconds": 0.02,
}
MAX_CUTS, CUT = 8, 60
LATE, LATE_ACKS = 20, "tests.deploy.live.late_acks"
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
class Observed:
    """What was noted while the parts still ran; times are Prometheus' own."""

    exposition: str
    seen_at: float
    outage_at: float
    ended_at: float
    stopped_well: int


async def run_scenario(monitoring: Monitoring) -> Observed:
    """Run the whole hour; returns when nothing is left to do."""
    async with monitoring.environment(SETTINGS, PORTAL) as environment:
        service = environment.take(ServiceProcess(environment.settings(), module=LATE_ACKS))
        await asyncio.to_thread(service.wait_ready)
        await asyncio.to_thread(monitoring.wait_seen)
        seen_at = time.time()
        await _mixed_traffic(environment)
        await _many_refused(monitoring, environment)
        await _cut_before_acks(monitoring, environment)
        await _cut_line(monitoring, environment)
        outage_at = time.time()
        await _outage(monitoring, environment)
        stopped = await _stop_and_start(monitoring, environment)
        await _send(environment, [{**each, "fields": DROPPED} for each in _named("last", 20)])
        await environment.wait_balanced()
        exposition = environment.service.get("metrics").text
        ended_at = time.time() + 1
        await asyncio.sleep(2)
    return Observed(exposition, seen_at, outage_at, ended_at, stopped)


async def _mixed_traffic(environment: Environment) -> None:
    """Send everything that items can be: good, refused, twice, nameless, lost on the way."""
    names = ["deal-lost", *(f"deal-{n}" for n in range(80))]
    odd: list[dict[str, Any] | bytes] = [b"not json"]
    odd += _named("unknown", 3, UNKNOWN_TYPE)
    odd += _named("quote", 3, UNTRACED_TYPE)
    odd += deals("deal-1", "deal-2", "deal-3")
    marked = [{**each, "fields": {"title": each["id"]}} for each in deals(*names)]
    environment.portal.faults(FAULTS)
    await _send(environment, [*marked, *odd])
    _publish_nameless(environment)
    await _send(environment, deals("deal-odd", "deal-beside-it"))


def _publish_nameless(environment: Environment) -> None:
    """Publish as a person does by hand: without an id of any kind."""
    body = json.dumps({"entityTypeId": 2, "fields": {"title": "without an id"}})
    message = {
        "properties": {},
        "routing_key": "item.2",
        "payload": body,
        "payload_encoding": "string",
    }
    environment.broker.api("POST", f"exchanges/{VHOST}/crm.items/publish", message)


async def _many_refused(monitoring: Monitoring, environment: Environment) -> None:
    """Let upstream go wrong for a moment."""
    now = time.time()
    await _send(environment, _named("lead", 30, 1))
    await asyncio.to_thread(monitoring.wait_paged, "ImporterDeadLetters", "firing", now)


async def _cut_before_acks(monitoring: Monitoring, environment: Environment) -> None:
    """Cut the broker's connections between outcomes and their acknowledgements."""
    environment.service.process.signal(signal.SIGUSR1)
    await environment.publish(_named("late", LATE))
    await wait_until(lambda: _unacked(environment) == LATE, what="the events received")
    await wait_until(lambda: environment.flow().held == 0, what="every outcome")
    await asyncio.to_thread(monitoring.node.close_connections, VHOST)
    await environment.wait_idle()


async def _cut_line(monitoring: Monitoring, environment: Environment) -> None:
    """Cut the broker's connections under work, until a redelivered copy was cut off, too."""
    environment.portal.settings({"default_item_seconds": 0.1})
    for cut in range(MAX_CUTS):
        # Enough for several cuts: the next one must come before the calls of this one end.
        if _ready(environment) + _unacked(environment) < 2 * CUT:
            await environment.publish(_named(f"cut-{cut}", 4 * CUT))
        await wait_until(lambda: environment.flow().held >= CUT, what="work in flight")
        await asyncio.to_thread(monitoring.node.close_connections, VHOST)
        if environment.flow().lost:
            break
    environment.portal.settings({"default_item_seconds": 0.02})
    await environment.wait_idle()


async def _outage(monitoring: Monitoring, environment: Environment) -> None:
    """Revoke the credentials until somebody was paged; an overdue message waits meanwhile."""
    now = time.time()
    environment.portal.settings({"state": "credentials"})
    await environment.publish(_named("outage", 40))
    await asyncio.to_thread(monitoring.wait_paged, "ImporterPaused", "firing", now)
    await environment.publish(deals("overdue"), expiration=0.001)
    environment.portal.settings({"state": "ok"})
    await asyncio.to_thread(monitoring.wait_paged, "ImporterPaused", "resolved", now)
    await environment.wait_idle()
    await asyncio.to_thread(monitoring.wait_paged, "ImporterUndelivered", "firing", now)


async def _stop_and_start(monitoring: Monitoring, environment: Environment) -> int:
    """Stop the importer until its absence was noticed."""
    now = time.time()
    environment.service.terminate()
    code = await asyncio.to_thread(environment.service.wait)
    await asyncio.to_thread(monitoring.wait_paged, "ImporterDown", "firing", now)
    await environment.publish(_named("missed", 150))
    await environment.start_service()
    await asyncio.to_thread(monitoring.wait_paged, "ImporterDown", "resolved", now)
    return code


async def _send(environment: Environment, bodies: Sequence[dict[str, Any] | bytes]) -> None:
    """Publish, wait until all of it is settled, and take the results as a reader would."""
    await environment.publish(bodies)
    await wait_until(
        lambda: _ready(environment) == 0 and environment.flow().held == 0, what="settling"
    )
    await asyncio.sleep(1.5)
    await environment.read()


def _named(name: str, count: int, entity_type: int = 2) -> list[dict[str, Any]]:
    return deals(*[f"{name}-{n}" for n in range(count)], entity_type=entity_type)


def _unacked(environment: Environment) -> int:
    return environment.broker.queues(environment.vhost)[INTAKE_QUEUE].unacked


def _ready(environment: Environment) -> int:
    return environment.broker.queues(environment.vhost)[INTAKE_QUEUE].ready
