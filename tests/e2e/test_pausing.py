"""Proves the pauses: what stops the intake, how it shows, what it costs, how it goes on."""

import asyncio
import itertools
from typing import Any

import pytest

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import INTAKE_QUEUE, Environment, deals
from tests.support.processes import ServiceProcess

BRAKE = 20
BATCH = 20
SLOTS = 2
PROBE, PROBE_CAP = 0.5, 4.0
MARK = "the odd one"
NOWHERE = {"RABBIT__PARKED_QUEUE": ""}
"""Events of a closed lane have nowhere to wait: the whole intake pauses for it."""
REASONS = {
    "credentials": "credentials",
    "scope": "scope",
    "plan": "plan",
    "overload": "blocked",
    "deleted": "portal_deleted",
    "auth_server": "auth_server",
    "html503": "unavailable",
}
"""The portal's states, and what a pause for each is called."""


async def test_a_bad_upstream_fills_about_as_many_dead_letters_as_the_brake_allows(
    broker: Broker, vhost: str
) -> None:
    """The brake stops the intake; then one batch per growing interval, until one is accepted."""
    ids = [f"e{n}" for n in range(300)]
    async with Environment(broker, vhost, portal={"required": {"2": ["comments"]}}) as environment:
        service = await environment.start_service(
            **NOWHERE,
            BRAKE__ITEMS=str(BRAKE),
            PAUSE__PROBE_SECONDS=str(PROBE),
            PAUSE__PROBE_CAP_SECONDS=str(PROBE_CAP),
        )
        await environment.publish(deals(*ids))
        await _paused(service, "failure_share")
        await wait_until(lambda: _half_open(service) >= 3, what="half-open batches")
        # By the log's own order: a busy machine may be several batches on before it is asked.
        braked = _batches_before_half_open(service)
        assert BRAKE / BATCH <= braked <= BRAKE / BATCH + SLOTS
        starts = [call["wall"] for call in environment.import_calls()[braked - 1 :]]
        gaps = [later - sooner for sooner, later in itertools.pairwise(starts)]
        least = [0.9 * min(PROBE * 2**n, PROBE_CAP) for n in range(len(gaps))]
        assert [] == [(gap, wait) for gap, wait in zip(gaps, least, strict=True) if gap < wait]
        environment.portal.settings({"required": {}})
        tried = len(environment.import_calls())
        await environment.settle(ids)
        refused = {letter.headers["import_event_id"] for letter in environment.books.dead}
        assert BRAKE <= len(refused) <= tried * BATCH < len(ids)
        environment.assert_effectively_once(ids, failed=dict.fromkeys(refused, "rejected"))
        await _flowing(service)
        await environment.wait_balanced()


async def test_a_refused_share_below_the_brake_pauses_nothing(broker: Broker, vhost: str) -> None:
    """Four in ten refused is upstream's affair: nobody waits for them."""
    ids = [f"e{n}" for n in range(200)]
    bad = {each for n, each in enumerate(ids) if n % 5 < 2}
    bodies = deals(*ids)
    for body in bodies:
        if body["id"] not in bad:
            body["fields"]["comments"] = "complete"
    async with Environment(broker, vhost, portal={"required": {"2": ["comments"]}}) as environment:
        await environment.start_service(BRAKE__ITEMS="20")
        await environment.publish(bodies)
        await environment.settle(ids)
        environment.assert_effectively_once(ids, failed=dict.fromkeys(bad, "rejected"))
        assert [] == _pauses(environment.service)


@pytest.mark.parametrize(
    ("code", "status", "description"),
    [
        ("ACCESS_DENIED", 401, "REST is available only by subscription"),
        ("NO_AUTH_FOUND", 401, "Wrong authorization data"),
        ("100", 400, "Could not find value for parameter {data}"),
    ],
)
async def test_one_item_that_breaks_its_call_pauses_nothing(
    broker: Broker, vhost: str, code: str, status: int, description: str
) -> None:
    """A refusal of the whole call that follows one item around is that item's own."""
    ids = [f"e{n}" for n in range(60)]
    bodies = deals(*ids)
    bodies[7]["fields"]["comments"] = MARK
    script = {
        "kind": "refuse",
        "match": MARK,
        "code": code,
        "status": status,
        "description": description,
        "times": -1,
    }
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([script])
        # That others passed counts for some times as long as a call may be at work.
        await environment.start_service(BITRIX__SETTLE_SECONDS="30")
        await environment.publish(bodies)
        await environment.settle(ids)
        environment.assert_effectively_once(ids, failed={"e7": "rejected"})
        assert {code: 1} == environment.books.codes()
        assert [] == _pauses(environment.service)


async def test_one_denied_item_among_others_is_rejected(broker: Broker, vhost: str) -> None:
    """A per-item ACCESS_DENIED while its neighbours pass is its own fault."""
    ids = [f"e{n}" for n in range(40)]
    script = {"kind": "item_error", "match": '"originId":"e7"', "code": "ACCESS_DENIED"}
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([{**script, "times": -1}])
        await environment.start_service()
        await environment.publish(deals(*ids))
        await environment.settle(ids)
        environment.assert_effectively_once(ids, failed={"e7": "rejected"})
        assert [] == _pauses(environment.service)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({"kind": "refuse", "code": "NO_AUTH_FOUND", "status": 401}, "credentials"),
        ({"kind": "refuse", "code": "ACCESS_DENIED", "status": 401}, "plan"),
        ({"kind": "item_error", "match": '"originId"', "code": "ACCESS_DENIED"}, "scope"),
    ],
)
async def test_two_different_items_refused_pause(
    broker: Broker, vhost: str, script: dict[str, Any], reason: str
) -> None:
    """What two items get and no other passes is their type's; nothing is dead-lettered."""
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([{**script, "times": -1}])
        service = await environment.start_service(**NOWHERE)
        await environment.publish(deals("one", "two"))
        await _paused(service, reason)
        environment.portal.faults([])
        await environment.settle(["one", "two"])
        environment.assert_effectively_once(["one", "two"])
        assert [] == environment.books.dead
        await _flowing(service)


async def test_every_reason_shows_and_passes(broker: Broker, vhost: str) -> None:
    """What only a person or time can mend pauses the intake, says why, and resumes by itself."""
    ids: list[str] = []
    async with Environment(broker, vhost) as environment:
        service = await environment.start_service(PAUSE__AFTER_SECONDS="1")
        for state, reason in REASONS.items():
            ids += [f"{state}-{n}" for n in range(3)]
            environment.portal.settings({"state": state})
            await environment.publish(deals(*ids[-3:]))
            await _paused(service, reason)
            environment.portal.settings({"state": "ok"})
            await environment.settle(ids)
            await _flowing(service)
        environment.assert_effectively_once(ids)
        assert [] == environment.books.dead
        assert ["paused", "half open", "flowing"] * len(REASONS) == _pauses(service)


@pytest.mark.parametrize("state", ["credentials", "html503"])
async def test_a_pause_returns_what_is_held_once(broker: Broker, vhost: str, state: str) -> None:
    """However long a pause lasts and however often it is probed, deliveries go back once."""
    ids = [f"e{n}" for n in range(150)]
    slow = {"call_seconds": {"crm.item.batchimport": 1.0}}
    async with Environment(broker, vhost, portal=slow) as environment:
        # No call may time out on a busy machine: that would be another pause.
        service = await environment.start_service(
            BITRIX__TIMEOUT_SECONDS="30", SHUTDOWN__DEADLINE_SECONDS="30"
        )
        await environment.publish(deals(*ids))
        await wait_until(lambda: environment.flow().received == len(ids), what="all being taken")
        environment.portal.settings({"state": state})
        await _paused(service, "credentials" if state == "credentials" else "unavailable")
        await wait_until(lambda: environment.flow().held == 0, what="letting go")
        flow = environment.flow()
        assert flow.balanced
        assert flow.received == len(ids)
        assert flow.returned == len(ids) - flow.settled
        await wait_until(
            lambda: _depth(broker, vhost) == (flow.returned, 0), what="all being back there"
        )
        await asyncio.sleep(3)
        assert flow == environment.flow()
        environment.portal.settings({"state": "ok"})
        await environment.settle(ids)
        environment.assert_effectively_once(ids)
        assert [] == environment.books.dead
        await environment.wait_balanced()
        after = environment.flow()
        assert flow.returned == after.returned
        assert after.received == len(ids) + after.returned
        assert ["paused", "half open", "flowing"] == _pauses(service)


async def test_a_spent_budget_pauses_visibly_and_resumes(broker: Broker, vhost: str) -> None:
    """OPERATION_TIME_LIMIT pauses as `operating_limit`; with the next window all goes on."""
    ids = [f"e{n}" for n in range(120)]
    spending = {"speed": 120, "default_item_seconds": 1.2, "operating_limit": 48}
    async with Environment(broker, vhost, portal=spending) as environment:
        service = await environment.start_service(
            PAUSE__AFTER_SECONDS="0",
            BITRIX__OPERATING_LIMIT_SECONDS="0",
            BITRIX__OPERATING_WINDOW_SECONDS="5",
        )
        await environment.publish(deals(*ids))
        await _paused(service, "operating_limit")
        await environment.settle(ids)
        environment.assert_effectively_once(ids)
        assert [] == environment.books.dead
        await _flowing(service)


def _depth(broker: Broker, vhost: str) -> tuple[int, int]:
    """Return how many messages of the intake queue are ready, and how many somebody holds."""
    depth = broker.queues(vhost)[INTAKE_QUEUE]
    return depth.ready, depth.unacked


async def _paused(service: ServiceProcess, reason: str) -> None:
    """Wait until the service says everywhere that it is paused, and why."""
    await wait_until(lambda: service.probe("readyz")[1].get("paused") == reason, what=reason)
    assert 200 == service.probe("readyz")[0]
    await wait_until(
        lambda: service.metrics()[f'importer_paused{{reason="{reason}"}}'] == 1.0,
        what="the metric",
    )
    assert [] != service.logs(event="intake paused", reason=reason)


async def _flowing(service: ServiceProcess) -> None:
    """Wait until nothing says that the service is paused."""
    await wait_until(lambda: service.probe("readyz")[1].get("paused") is None, what="the flow")
    paused = [name for name in service.metrics() if name.startswith("importer_paused{")]
    assert {0.0} == {service.metrics()[name] for name in paused}


def _half_open(service: ServiceProcess) -> int:
    """Count how often the intake was opened by half."""
    return _pauses(service).count("half open")


def _batches_before_half_open(service: ServiceProcess) -> int:
    """Count the batches that were answered before the intake was first opened by half."""
    lines = [line["event"] for line in service.logs()]
    first = next(n for n, line in enumerate(lines) if line.startswith("intake half open"))
    return lines[:first].count("batch answered")


def _pauses(service: ServiceProcess) -> list[str]:
    """Return the modes of the intake in the order in which they were announced."""
    announced = [line["event"] for line in service.logs(logger="service.importer.intake_control")]
    said = [line.removeprefix("intake ") for line in announced if line.startswith("intake ")]
    return [line.partition(":")[0] for line in said]
