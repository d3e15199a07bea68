"""Proves that faults show where people look: in metrics and in the results themselves."""

import asyncio

from tests.chaos.trial import ADMIN, SLOW
from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.world import INTAKE_QUEUE, SUCCEEDED, World, deals


async def test_a_stand_by_waits_and_takes_over(broker: Broker, vhost: str) -> None:
    """Of two replicas one works; killed, its work is done, and new events do not wait for it."""
    ids = [f"e{n}" for n in range(60)]
    async with World(broker, vhost, portal=SLOW) as world:
        active = await world.start_service(BITRIX__SETTLE_SECONDS="6")
        stand_by = await world.start_service(BITRIX__SETTLE_SECONDS="6")
        await world.publish(deals(*ids))
        await wait_until(lambda: world.portal.summary()["items"] >= 20, what="the load")
        assert 0.0 == stand_by.metrics()["importer_consumer_active"]
        active.kill()
        await world.publish(deals("new"))
        await wait_until(lambda: "new" in world.external_ids(), 4, what="the new event's import")
        await world.settle([*ids, "new"])
        world.assert_effectively_once([*ids, "new"])
        assert 1.0 == stand_by.metrics()["importer_consumer_active"]


async def test_deleted_queues_are_counted(broker: Broker, vhost: str) -> None:
    """Returned publishes and cancelled consumers have their metrics."""
    async with World(broker, vhost) as world:
        service = await world.start_service()
        async with Upstream(broker.url(vhost)) as upstream:
            await (await upstream.queue(SUCCEEDED)).delete(if_unused=False, if_empty=False)
            await world.publish(deals("first"))
            await world.settle(["first"])
            await (await upstream.queue(INTAKE_QUEUE)).delete(if_unused=False, if_empty=False)
            await wait_until(lambda: upstream.exists(INTAKE_QUEUE), what="a new intake queue")
        await asyncio.to_thread(service.wait_ready)
        await world.publish(deals("after"))
        await world.settle(["after"])
        metrics = service.metrics()
        assert metrics['importer_published_total{result="returned",target="succeeded"}'] >= 1
        assert metrics['importer_consumer_restarts_total{reason="cancelled"}'] >= 1


async def test_what_was_looked_up_says_so(broker: Broker, vhost: str) -> None:
    """`reconciled` marks the item that was found; a refusal that stands keeps its code."""
    faults = [
        {"kind": "item_error", "match": '"originId":"e4"', "code": 0, "saved": True},
        {"kind": "item_error", "match": '"originId":"e6"', "code": 0, "saved": False, "times": -1},
    ]
    ids = [f"e{n}" for n in range(10)]
    async with World(broker, vhost, portal=ADMIN) as world:
        world.portal.faults(faults)
        await world.start_service()
        await world.publish(deals(*ids))
        books = await world.settle(ids)
        world.assert_effectively_once(ids, failed={"e6": "rejected"})
        found = [each["data"] for each in books.succeeded if each["data"]["reconciled"]]
        assert ["e4"] == [data["eventId"] for data in found]
        assert {"0": 1} == books.codes()
        metrics = world.service.metrics()
        assert 1.0 == metrics['importer_reconciled_items_total{found="yes"}']
