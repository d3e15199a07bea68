"""Proves what each version of RabbitMQ counts, and that the made-up broker counts alike."""

import asyncio
from typing import Any

from aiormq.abc import DeliveredMessage

from service.rabbit.connection import Address, open_channel
from service.rabbit.delivery_counts import COUNTS, deliveries_before
from service.rabbit.session import Session, connect
from tests.fakes import Message, malformed
from tests.support.broker import Broker
from tests.support.letters import INTAKE_QUEUE, Letters
from tests.support.patience import at_most

ENDS = ("returned", "lost", "returned", "rejected", "returned several", "lost")


async def take(session: Session, end: str) -> tuple[dict[str, Any], bool]:
    """Receive the one message, look at it, and let it go back in one of the ways there are."""
    channel = await open_channel(session.connection, confirms=False)
    got: asyncio.Future[DeliveredMessage] = asyncio.get_running_loop().create_future()

    async def receive(message: DeliveredMessage) -> None:
        got.set_result(message)

    await channel.basic_qos(prefetch_count=1)
    consumer = await channel.basic_consume(INTAKE_QUEUE, receive)
    async with at_most(10):
        message = await got
    await channel.basic_cancel(str(consumer.consumer_tag))
    tag = message.delivery_tag or 0
    if end == "returned":
        await channel.basic_nack(tag, requeue=True)
    elif end == "returned several":
        await channel.basic_nack(0, multiple=True, requeue=True)
    elif end == "rejected":
        await channel.basic_reject(tag, requeue=True)
    await channel.close()
    headers = message.header.properties.headers or {}
    counts = {name: value for name, value in headers.items() if name in COUNTS}
    return counts, bool(message.redelivered)


async def test_every_return_counts_once_in_every_version(broker: Broker, vhost: str) -> None:
    """Given back, rejected, or lost with its channel: one more by our reading."""
    letters = Letters(broker, vhost)
    await letters.declare(x_delivery_limit=1000)
    async with connect(Address([broker.url(vhost)], heartbeat=15), "test") as session:
        await _publish(session)
        seen = [await take(session, end) for end in ENDS]
        version = _version(session)
    before = [deliveries_before(counts, redelivered=flag) for counts, flag in seen]
    assert list(range(len(ENDS))) == before, seen
    assert [position > 0 for position in range(len(ENDS))] == [flag for _, flag in seen]
    made_up = Message(0, malformed())
    for (counts, _), end in zip(seen, ENDS, strict=True):
        assert made_up.headers(version) == counts
        made_up.returned += end.startswith("returned")
        made_up.lost += not end.startswith("returned")


async def _publish(session: Session) -> None:
    channel = await open_channel(session.connection, confirms=True)
    await channel.basic_publish(b"{}", exchange="", routing_key=INTAKE_QUEUE)
    await channel.close()


def _version(session: Session) -> str:
    transport = session.connection.transport
    assert transport is not None
    told: Any = transport.connection
    version = told.server_properties["version"]
    return str(version.decode() if isinstance(version, bytes) else version)
