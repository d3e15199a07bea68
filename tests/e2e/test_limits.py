"""Proves the pacing against a portal that enforces its limits: alone, and beside somebody else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import Environment, deals
from tests.support.patience import patient
from tests.support.processes import ServiceProcess

SPEED = 30.0
RATE, BURST = 2.0, 10
BUDGET, WINDOW = 60.0, 600.0
ITEM, CALL = 0.14, 0.4
SPENT = 2 * BUDGET
"""What the events of a test cost the portal: more than one window allows."""
CALLERS = 4
REFUSALS = ("QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT")
PORTAL = {
    "report": "real",
    "rate": RATE,
    "burst": BURST,
    "operating_limit": BUDGET,
    "default_item_seconds": ITEM,
    "call_seconds": {"crm.item.batchimport": CALL},
}
"""The portal's own time runs faster than ours; what it tells is in ours."""
QUICK: dict[str, Any] = {"default_item_seconds": 0.0, "call_seconds": {}}
"""A portal whose bucket is its only limit."""


def environment(
    broker: Broker, vhost: str, *, speed: float = SPEED, **portal: object
) -> Environment:
    """Return an environment whose portal has limits, known to the service."""
    times = {
        "IMPORTER_BITRIX__TIMEOUT_SECONDS": 70 / speed,
        "IMPORTER_BITRIX__SETTLE_SECONDS": 65 / speed,
        "IMPORTER_BITRIX__OPERATING_LIMIT_SECONDS": BUDGET / speed,
        "IMPORTER_BITRIX__OPERATING_WINDOW_SECONDS": WINDOW / speed,
        "IMPORTER_BITRIX__REQUESTS_PER_SECOND": RATE * speed,
        "IMPORTER_BITRIX__BURST": BURST,
        "IMPORTER_SHUTDOWN__DEADLINE_SECONDS": max(10.0, 90 / speed),
    }
    written = {name: f"{value:g}" for name, value in times.items()}
    return Environment(
        broker, vhost, settings=written, portal={**PORTAL, "speed": speed, **portal}
    )


def refusals(environment: Environment) -> int:
    """Count the calls that the portal refused for one of its limits."""
    errors: dict[str, int] = environment.portal.summary()["errors"]
    return sum(errors.get(code, 0) for code in REFUSALS)


@asynccontextmanager
async def somebody_else(portal: Environment, per_second: float) -> AsyncIterator[None]:
    """Make calls of the same address, so many a second of our time, that cost us our bucket."""

    async def call() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                await client.post(f"{portal.portal.webhook_url}profile", json={})
                await asyncio.sleep(CALLERS / per_second)

    tasks = [asyncio.create_task(call()) for _ in range(CALLERS)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def _slowed(service: ServiceProcess) -> bool:
    """Tell whether the importer keeps to less than the whole rate just now."""
    return service.metrics()["importer_request_rate_share"] < 1.0


async def test_who_is_alone_is_never_refused(broker: Broker, vhost: str) -> None:
    """More than one window's budget and far more than the burst: all of it without one refusal."""
    per_batch = CALL + 20 * ITEM
    ids = [f"e{number}" for number in range(20 * int(SPENT / per_batch))]
    async with environment(broker, vhost) as there:
        await there.start_service()
        await there.publish(deals(*ids[::2]) + deals(*ids[1::2], entity_type=1))
        await there.settle(ids, timeout=90)
        assert 0 == refusals(there)
        there.assert_effectively_once(ids)
        waited = there.service.metrics()
        assert 0 < waited['importer_pacer_wait_seconds_total{reason="budget"}']


async def test_nothing_is_lost_while_somebody_else_drains_the_bucket(
    broker: Broker, vhost: str
) -> None:
    """Refusals slow us down, cost no event and pause nothing; alone again, we are fast again."""
    ids = [f"e{number}" for number in range(400)]
    # Slow enough that the others drain the bucket on a busy machine, too.
    speed = 3.0
    async with environment(broker, vhost, speed=speed, operating_limit=None, **QUICK) as there:
        service = await there.start_service()
        async with somebody_else(there, per_second=3 * RATE * speed):
            await there.publish(deals(*ids))
            await wait_until(lambda: _slowed(service), what="a slower importer")
        await there.settle(ids, timeout=90)
        there.assert_effectively_once(ids)
        assert 0 < refusals(there)
        assert [] == service.logs(event="intake paused")
        assert 0 == len(there.books.dead)


async def test_requests_that_arrive_out_of_step_are_not_refused(
    broker: Broker, vhost: str
) -> None:
    """All that leaves within half a second arrives at once, on top of what the machine does.

    A unit test holds the whole two seconds; a busy machine takes more than one of them.
    """
    ids = [f"e{number}" for number in range(150)]
    rate, burst, jitter = 15.0, 50, 0.25
    settings = {
        "IMPORTER_BITRIX__REQUESTS_PER_SECOND": f"{rate:g}",
        "IMPORTER_BITRIX__BURST": str(burst),
        "IMPORTER_BATCH__MAX_ITEMS": "1",
        "IMPORTER_BATCH__SLOTS": "45",
    }
    portal = {"rate": rate, "burst": burst, "jitter_seconds": jitter}
    async with Environment(broker, vhost, settings=settings, portal=portal) as there:
        service = await there.start_service()
        await there.publish(deals(*ids))
        await there.settle(ids, timeout=60)
        assert 0 == refusals(there)
        there.assert_effectively_once(ids)
        assert 1.0 == service.metrics()["importer_request_rate_share"]


@pytest.mark.parametrize("method", ["crm.item.batchimport", "crm.item.list"])
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_no_call_comes_before_the_time_that_the_portal_asked_for(
    broker: Broker, vhost: str, method: str, form: str
) -> None:
    """Of no kind and for no type, whichever call was told so; then all is imported."""
    ids = [f"e{number}" for number in range(60)]
    rest = 6.0
    settings = {"IMPORTER_LOOKUP": "always", "IMPORTER_BATCH__WINDOW_SECONDS": "0.1"}
    async with Environment(broker, vhost, settings=settings) as there:
        await there.start_service()
        date = int(time.time() + rest)
        until = formatdate(date, usegmt=True) if form == "date" else f"{rest:g}"
        refusal = {"status": 503, "code": "QUERY_LIMIT_EXCEEDED", "retry_after": until}
        there.portal.faults([{"kind": "refuse", "method": method, **refusal}])
        await there.publish(deals(*ids[:30]) + deals(*ids[30:], entity_type=1))
        await there.settle(ids, timeout=60)
        there.assert_effectively_once(ids)
        (line,) = there.service.logs(event="the portal asks to be left alone")
        assert line["until"]
        told = datetime.fromisoformat(line["time"]).timestamp()
        ends = date if form == "date" else told + rest
        # What left before it was told so may still arrive a moment later.
        calls = [each["wall"] for each in there.portal.ledger()["calls"]]
        assert ends - 1 < min(at for at in calls if at > told + 0.5) < ends + patient(5)


async def test_a_portal_that_asks_for_a_long_rest_pauses_and_is_probed_at_its_end(
    broker: Broker, vhost: str
) -> None:
    """The intake lets go of its messages; work goes on at the first moment."""
    settings = {"IMPORTER_PAUSE__AFTER_SECONDS": "2", "IMPORTER_PAUSE__PROBE_SECONDS": "1"}
    async with Environment(broker, vhost, settings=settings) as there:
        told = {"status": 503, "code": "QUERY_LIMIT_EXCEEDED", "retry_after": "6"}
        there.portal.faults([{"kind": "refuse", **told}])
        service = await there.start_service()
        await there.publish(deals("a", "b"))
        await wait_until(lambda: bool(service.logs(event="intake paused")), what="the pause")
        await there.settle(["a", "b"], timeout=30)
        calls = there.portal.ledger()["calls"]
        struck = next(number for number, each in enumerate(calls) if each["fault"])
        first, second = calls[struck], calls[struck + 1]
        assert "profile" == second["method"]
        assert 5.5 < second["at"] - first["at"] < 6 + patient(3)


async def test_after_a_ban_no_fresh_budget_is_wasted(broker: Broker, vhost: str) -> None:
    """A portal with a smaller budget than ours shuts the method; we are back when it opens."""
    ban = WINDOW / 2
    ids = [f"e{number}" for number in range(20 * int(SPENT / (CALL + 20 * ITEM)))]
    async with environment(broker, vhost, operating_ban_seconds=ban) as there:
        limit = f"{10 * BUDGET / SPEED:g}"
        await there.start_service(BITRIX__OPERATING_LIMIT_SECONDS=limit)
        await there.publish(deals(*ids))
        await there.settle(ids, timeout=90)
        there.assert_effectively_once(ids)
        imports = [
            (each["at"], each["error"] == "OPERATION_TIME_LIMIT")
            for each in there.portal.ledger()["calls"]
            if each["method"] == "crm.item.batchimport"
        ]
        shut = next(at for at, refused in imports if refused)
        opened = next(at for at, refused in imports if at > shut and not refused)
        assert ban / SPEED <= opened - shut < ban / SPEED + patient(2)
