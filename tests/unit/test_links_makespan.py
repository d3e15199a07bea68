"""Proves, in made-up time, that orders and their customers are imported as fast as planned work.

The bench measures the same with a real broker, where the machine's own speed counts as well.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from service.domain.batching import BatchPolicy
from service.domain.delivery import Parking
from service.domain.events import BatchKey, ExternalId, ItemEvent, Reference
from service.domain.outcomes import Accepted, Report
from service.importer.inner_queues import InnerQueues
from service.importer.pipeline import Pipeline
from service.telemetry.metrics import Metrics
from tests.benchmarks import planner
from tests.benchmarks.makespan import COSTS, LIMITS, LOOK_UP_SECONDS
from tests.fake_inner import FakeInnerQueues
from tests.fakes import (
    DEAL,
    VERSIONS,
    BrokerFaults,
    FakeBroker,
    FakeConnection,
    FakePortal,
    PortalView,
    item_event,
)
from tests.unit.importer import test_pipeline
from tests.virtual_time import now, run

pytestmark = pytest.mark.simulation
CUSTOMER = 3
ORDERS, CUSTOMERS = 300, 75
SLOWER = 1.06
"""Times the planner's optimum: what a call that is not full costs, and the end."""
BROKER_SECONDS = 0.02


class Portal(FakePortal):
    """Takes the time of the bench's portal for each call, and notes when its last one ended."""

    ended_at = 0.0

    async def import_items(self, key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        """Import everything."""
        self.calls.append([str(key.entity_type_id)])
        await asyncio.sleep(COSTS.of(len(events)))
        self.ended_at = now()
        return Report(len(events), {n: Accepted(self.save(e)) for n, e in enumerate(events)})

    async def _cheap(self) -> None:
        await asyncio.sleep(LOOK_UP_SECONDS)


class Inner(FakeInnerQueues):
    """Confirms what is parked together at once, as a broker does."""

    async def park(self, parkings: Sequence[Parking]) -> list[bool]:
        """Keep everything."""
        await asyncio.sleep(BROKER_SECONDS)
        for each in parkings:
            self._put(each)
        return [True] * len(parkings)


def upstream() -> list[ItemEvent]:
    """Return customers, and orders that refer to them, shuffled."""
    events = [item_event(f"customer-{n}", CUSTOMER) for n in range(CUSTOMERS)]
    for number in range(ORDERS):
        name = f"customer-{number % CUSTOMERS}"
        customer = Reference(CUSTOMER, name, None, ExternalId("originId", name, "crm-importer"))
        order = item_event(f"order-{number}", DEAL)
        events.append(replace(order, links={"contactId": customer}))
    random.Random(3).shuffle(events)
    return events


async def imported() -> tuple[float, int]:
    """Import everything; return the seconds that it took, and how many items there are."""
    broker = FakeBroker(random.Random(1), BrokerFaults(), version=VERSIONS[0])
    portal, connection = Portal(random.Random(2)), FakeConnection(broker, early=0)
    pipeline = Pipeline(
        portal=PortalView(portal, connection.fit),
        intake=connection,
        publisher=connection,
        limits=replace(test_pipeline.LIMITS, batch=BatchPolicy(20, 2.0, 16_000_000)),
        metrics=Metrics(),
        clock=asyncio.get_running_loop().time,
    )
    pipeline.use(cast("InnerQueues", Inner(connection)))
    connection.accept, connection.on_change = pipeline.accept, pipeline.wake
    for each in upstream():
        broker.publish(each)
    begun, task = now(), asyncio.create_task(pipeline.run())
    async with asyncio.timeout(3_600):
        while not broker.empty:  # noqa: ASYNC110 - polls made-up time
            await asyncio.sleep(0.5)
    pipeline.stop()
    await task
    assert len(portal.calls) < 1.2 * (ORDERS + CUSTOMERS) / COSTS.most_items
    return portal.ended_at - begun, len(portal.ledger)


def test_orders_and_their_customers_take_little_longer_than_a_planner_would() -> None:
    """What waits for its customer takes up neither room nor slots: no slot stays empty."""
    took, items = run(imported())
    assert ORDERS + CUSTOMERS == items
    assert took < SLOWER * planner.linked(ORDERS, CUSTOMERS, COSTS, LIMITS)
