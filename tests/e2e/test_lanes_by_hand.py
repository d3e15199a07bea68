"""Proves the `lanes` commands beside a running importer: told, retried, ended, sent back."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.commands import Commands
from tests.support.environment import Environment, deals
from tests.support.parked import MEMORY, lane

LANE, ESTIMATE = 128, 7
WAITING = int(os.environ.get("TEST_WAITING", "100"))
"""So many estimates wait while people look; more of them take a minute for each thousand."""
DENIED = {"kind": "item_error", "match": '"xmlId"', "code": "ACCESS_DENIED", "times": -1}
SELDOM = {"IMPORTER_PAUSE__PROBE_SECONDS": "120", "IMPORTER_PAUSE__PROBE_CAP_SECONDS": "240"}
"""Nothing opens by itself within a test."""


@pytest.fixture
async def environment(broker: Broker, vhost: str) -> AsyncIterator[Environment]:
    """Lend a portal that denies one type, and an importer that tries it seldom."""
    async with Environment(broker, vhost, settings=SELDOM) as found:
        found.portal.faults([DENIED])
        yield found


def items(*ids: str) -> list[dict[str, Any]]:
    """Return events of the type that is denied."""
    return deals(*ids, entity_type=LANE)


async def parked(environment: Environment, *ids: str, entity_type: int = LANE) -> Commands:
    """Have the lane closed and its events wait; return the command line of an operator."""
    service = await environment.start_service()
    await environment.publish(deals(*ids, entity_type=entity_type))
    queue = lane(entity_type)

    def all_wait() -> bool:
        found = environment.broker.queues(environment.vhost).get(queue)
        return found is not None and found.ready == len(ids)

    await wait_until(all_wait, 60 + len(ids) / 20, what="all being parked")
    return Commands(
        environment.broker.url(environment.vhost),
        {
            "IMPORTER_BITRIX__WEBHOOK_URL": environment.portal.webhook_url,
            "IMPORTER_CONSOLE__STATUS_URL": f"{service.url}status",
        },
    )


async def test_a_closed_lane_is_told_and_tried_when_somebody_asks(
    environment: Environment,
) -> None:
    """Its events are found where they wait; after the right was given, a retry lets them flow."""
    waiting = [f"s{n}" for n in range(25)]
    operator = await parked(environment, *waiting)
    told: dict[str, Any] = {}

    async def all_are_told() -> bool:
        # The importer counts what waits every few seconds.
        told.update(json.loads((await operator.run("lanes", "--json")).out))
        return [len(waiting)] == [each["parked"] for each in told["lanes"]]

    await wait_until(all_are_told, what="the number of those that wait")
    [closed] = told["lanes"]
    assert ("importer", LANE, "closed", "scope") == (
        told["source"],
        closed["entityTypeId"],
        closed["state"],
        closed["reason"],
    )
    assert closed["nextTrySeconds"] > 10
    found = json.loads((await operator.run("find", "s7", "--type", str(LANE), "--json")).out)
    assert [("scope", lane(LANE))] == [(each["reason"], each["queue"]) for each in found["parked"]]
    environment.portal.faults([])
    done = await operator.run("lanes", "retry", "--type", str(LANE))
    assert (0, f"lane {LANE} is tried at once") == (done.code, done.out.partition(",")[0])
    await environment.settle(waiting)
    environment.assert_effectively_once(waiting)
    assert [] == environment.books.dead

    async def is_open() -> bool:
        now = json.loads((await operator.run("lanes", "--json")).out)
        return [(LANE, "open")] == [(e["entityTypeId"], e["state"]) for e in now["lanes"]]

    await wait_until(is_open, what="an open lane")


async def test_what_waits_can_be_ended_while_the_importer_runs(environment: Environment) -> None:
    """One failed result and one dead letter each; a redrive imports them when they may be."""
    waiting = [f"s{n}" for n in range(25)]
    operator = await parked(environment, *waiting)
    done = await operator.run("lanes", "fail", "--type", str(LANE), "--yes")
    assert 0 == done.code, done
    books = await environment.settle(waiting)
    assert {each: {"rejected"} for each in waiting} == books.outcomes()
    assert {"ENDED_BY_OPERATOR": len(waiting)} == books.codes()
    assert sorted(waiting) == sorted(each.headers["import_event_id"] for each in books.dead)
    environment.portal.faults([])
    await environment.publish(items(*waiting))
    await operator.run("lanes", "retry", "--type", str(LANE))
    await wait_until(
        lambda: len(environment.external_ids()) == len(waiting), what="all of them in the CRM"
    )
    await environment.wait_idle()
    assert {1} == set(environment.external_ids().values())


async def test_what_waits_goes_back_before_a_roll_back(environment: Environment) -> None:
    """The importer is stopped; whoever comes next imports each event once.

    The memory is gone: of a type that is neither built in nor configured the portal's list tells.
    """
    waiting = [f"s{n}" for n in range(25)]
    operator = await parked(environment, *waiting)
    environment.service.terminate()
    environment.service.wait()
    async with Upstream(environment.broker.url(environment.vhost)) as upstream:
        await (await upstream.queue(MEMORY)).delete(if_unused=False, if_empty=False)
    done = await operator.run("lanes", "return")
    assert (0, f"{len(waiting)} events sent back to the intake\n") == (done.code, done.out)
    assert "an importer consumes" not in done.err
    environment.portal.faults([])
    await environment.start_service()
    await environment.settle(waiting)
    environment.assert_effectively_once(waiting)
    assert [] == environment.books.dead


async def test_who_looks_makes_nothing_doubtful(environment: Environment) -> None:
    """Estimates, which nobody can look up, were never sent: each is imported, none is blamed."""
    waiting = [f"s{n}" for n in range(WAITING)]
    environment.portal.faults([{**DENIED, "match": "Deal s"}])
    operator = await parked(environment, *waiting, entity_type=ESTIMATE)
    looks = await asyncio.gather(
        operator.run("find", "s0", "--type", str(ESTIMATE)),
        operator.run("find", "nobody"),
        operator.run("lanes"),
    )
    assert [1, 0] == [each.code for each in looks[1:]]
    killed = operator.start("find", "s99")
    environment.portal.faults([])
    await operator.run("lanes", "retry", "--type", str(ESTIMATE))
    killed.kill()
    killed.communicate()
    books = await environment.settle(waiting, 120 + WAITING / 10)
    assert {each: {"succeeded"} for each in waiting} == books.outcomes()
    assert [] == books.dead
