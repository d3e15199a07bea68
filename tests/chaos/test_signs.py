"""Proves that faults show where people look: in metrics and in the results themselves."""

from tests.chaos.trial import ADMIN, SLOW
from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.environment import INTAKE_QUEUE, SUCCEEDED, Environment, deals
from tests.support.patience import Deadline


async def test_a_stand_by_waits_and_takes_over(broker: Broker, vhost: str) -> None:
    """Of two replicas one works; killed, its work is done, and new events do not wait for it."""
    ids = [f"e{n}" for n in range(60)]
    async with Environment(broker, vhost, portal=SLOW) as environment:
        active = await environment.start_service(BITRIX__SETTLE_SECONDS="20")
        stand_by = await environment.start_service(BITRIX__SETTLE_SECONDS="20")
        await environment.publish(deals(*ids[:20]))
        await environment.wait_outcomes(ids[:20], Deadline(60))
        before = len(environment.import_calls())
        environment.portal.settings({"call_seconds": {"crm.item.batchimport": 600}})
        await environment.publish(deals(*ids[20:]))
        await wait_until(lambda: len(environment.import_calls()) > before, what="a call")
        assert 0.0 == stand_by.metrics()["importer_consumer_active"]
        active.kill()
        environment.portal.settings({"call_seconds": {}})
        await environment.publish(deals("new"))
        books = await environment.settle([*ids, "new"])
        environment.assert_effectively_once([*ids, "new"])
        # What the killed one had in a call is looked up only when that may have ended.
        assert books.behind("new") & set(ids)
        assert 1.0 == stand_by.metrics()["importer_consumer_active"]


async def test_deleted_queues_are_counted(broker: Broker, vhost: str) -> None:
    """Returned publishes and cancelled consumers have their metrics."""
    async with Environment(broker, vhost) as environment:
        service = await environment.start_service()
        async with Upstream(broker.url(vhost)) as upstream:
            await (await upstream.queue(SUCCEEDED)).delete(if_unused=False, if_empty=False)
            await environment.publish(deals("first"))
            await environment.settle(["first"])
            await (await upstream.queue(INTAKE_QUEUE)).delete(if_unused=False, if_empty=False)
        await environment.wait_intake()
        await environment.publish(deals("after"))
        await environment.settle(["after"])
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
    async with Environment(broker, vhost, portal=ADMIN) as environment:
        environment.portal.faults(faults)
        await environment.start_service()
        await environment.publish(deals(*ids))
        books = await environment.settle(ids)
        environment.assert_effectively_once(ids, failed={"e6": "rejected"})
        found = [each["data"] for each in books.succeeded if each["data"]["reconciled"]]
        assert ["e4"] == [data["eventId"] for data in found]
        assert {"0": 1} == books.codes()
        metrics = environment.service.metrics()
        assert 1.0 == metrics['importer_reconciled_items_total{found="yes"}']
