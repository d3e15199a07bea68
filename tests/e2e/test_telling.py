"""Proves what the log and the age tell of real events."""

import json
from datetime import UTC, datetime, timedelta

from tests.support.broker import Broker
from tests.support.environment import Environment, deals

WAITED = 100.0
AGE = 'importer_event_age_seconds_sum{outcome="imported"}'
LATENCY = 'importer_end_to_end_latency_seconds_sum{outcome="imported"}'


def cloud_event(event_id: str, age: float) -> bytes:
    """Return an item event whose producer wrote it so long ago."""
    at = datetime.now(UTC) - timedelta(seconds=age)
    data = {"entityTypeId": 2, "fields": {"title": event_id}}
    envelope = {"specversion": "1.0", "id": event_id, "source": "shop", "type": "order"}
    return json.dumps({**envelope, "time": at.isoformat(), "data": data}).encode()


async def test_age_counts_from_the_time_that_the_producer_wrote(
    broker: Broker, vhost: str
) -> None:
    """Of the CloudEvent, else of the message; latency counts from receipt."""
    async with Environment(broker, vhost) as there:
        service = await there.start_service()
        await there.publish([cloud_event("a", WAITED)])
        await there.settle(["shop a"])
        first = service.metrics()
        assert WAITED <= first[AGE] < WAITED + 30
        assert first[LATENCY] < 30
        await there.publish(deals("b"), timestamp=datetime.now(UTC) - timedelta(seconds=WAITED))
        await there.settle(["b"])
        assert 2 * WAITED <= service.metrics()[AGE] < 2 * WAITED + 60


async def test_the_log_names_its_importer_and_each_event_at_debug(
    broker: Broker, vhost: str
) -> None:
    """Portal, broker and what was set, no secret; ids in any alphabet, as they were written."""
    async with Environment(broker, vhost) as there:
        service = await there.start_service(LOG__LEVEL="DEBUG", BATCH__MAX_ITEMS="7")
        await there.publish([*deals("Заказ-3285"), b'{"id": "broken"}'])
        await there.settle(["Заказ-3285", "broken"])
        (started,) = service.logs(event="started")
        assert "7" == started["settings"]["BATCH__MAX_ITEMS"]
        assert started["portal"] in there.portal.webhook_url
        assert str(broker.address.amqp_port) in started["broker"]
        assert "sandbox-secret" not in service.stderr()
        settled = {each["event_id"]: each for each in service.logs(event="event settled")}
        imported = settled["Заказ-3285"]
        assert "imported" == imported["outcome"]
        assert {imported["item_id"]} == there.books.item_ids()["Заказ-3285"]
        assert imported["batch_id"]
        assert "malformed" == settled["broken"]["outcome"]
        assert '"event_id": "Заказ-3285"' in service.stderr()
