"""Proves on a real broker that events wait in inner queues and come back as they came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from service.domain.external_id import ExternalIds
from service.domain.inner_queue import Asking
from service.domain.parking import Parking
from service.rabbit.address import Address
from service.rabbit.broker import Broker
from service.rabbit.decoding import Decoder
from service.rabbit.delivery import Delivery
from service.rabbit.encoding import Encoder
from service.rabbit.topology import Topology
from service.telemetry.metrics import Metrics
from tests.support.amqp import Upstream, wait_until

PREFIX = "crm.items.parked"
TOPOLOGY = Topology(
    "crm.items",
    "crm.items.import",
    "crm.items.results",
    "crm.items.succeeded",
    "crm.items.failed",
    "crm.items.dlx",
    "crm.items.dlq",
    1000,
    parked=PREFIX,
)
PORTAL = "portal.example"


@dataclass
class Process:
    """The broker side of one process."""

    broker: Broker
    got: list[Delivery] = field(default_factory=list)
    made: list[int] = field(default_factory=list)

    async def next(self) -> Delivery:
        """Return the next delivery, whether of the intake or of an inner queue."""
        await wait_until(lambda: bool(self.got), what="a delivery")
        return self.got.pop(0)

    async def park(self, *deliveries: Delivery, queue: str = "128", **more: Any) -> None:
        """Park deliveries, and acknowledge them."""
        assert await self.broker.inner.usable(queue)
        parkings = [Parking(each, queue, "scope", **more) for each in deliveries]
        assert [True] * len(parkings) == await self.broker.inner.park(parkings)
        for each in deliveries:
            each.ack()
            await each.flush()


@asynccontextmanager
async def process(
    url: str, *, portal: str = PORTAL, prefetch: int = 50, asking: Asking | None = None
) -> AsyncIterator[Process]:
    """Run the broker side of a process, attached."""
    broker = Broker(
        address=Address([url], heartbeat=15),
        topology=TOPOLOGY,
        decoder=Decoder(external_ids=ExternalIds("test"), max_bytes=2_000_000),
        encoder=Encoder(TOPOLOGY, portal_host=portal),
        early=0,
        metrics=Metrics(),
    )
    running = Process(broker)
    if asking is not None:
        broker.roster.asking = asking

    async def noted(lane: int) -> None:
        running.made.append(lane)

    broker.roster.note = noted
    task = asyncio.create_task(broker.run(accept=running.got.append, on_change=lambda: None))
    try:
        await broker.attach(prefetch)
        await wait_until(lambda: broker.consumer.attached, what="attaching")
        yield running
    finally:
        task.cancel()
        await asyncio.wait({task})


def body(number: int) -> bytes:
    """Return an item event."""
    return b'{"entityTypeId": 128, "id": "e%d", "fields": {"title": "x"}}' % number


async def test_what_was_parked_comes_back_as_it_came(amqp_url: str) -> None:
    """Body, properties and headers; of waiting it says what was known of it."""
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.publish(
            body(1),
            routing_key="item.128",
            message_id="m-1",
            correlation_id="c-1",
            priority=7,
            expiration=60,
            headers={"own": "value", "x-delivery-count": 9},
        )
        first = await one.next()
        await one.park(first, waited=2.5, perhaps_sent=1_700_000_000.0, attempts=2)
        assert [128] == one.made
        assert (1, 0) == await one.broker.inner.take("128", 10)
        again = await one.next()
        assert first.event == again.event
        assert (body(1), "c-1", 7, None) == (
            again.message.body,
            again.message.header.properties.correlation_id,
            again.message.header.properties.priority,
            again.message.header.properties.expiration,
        )
        assert again.stay is not None
        assert ("128", "scope", 2.5, 1_700_000_000.0, 2) == (
            again.stay.queue,
            again.stay.reason,
            again.stay.waited,
            again.stay.perhaps_sent,
            again.stay.attempts,
        )
        assert (False, 0, False, True) == (
            again.copy,
            again.times,
            again.early,
            again.perhaps_sent,
        )
        assert ("crm.items", "item.128", "m-1") == (
            again.exchange,
            again.routing_key,
            again.message_id,
        )


async def test_what_is_taken_is_settled_on_the_intakes_channel(amqp_url: str) -> None:
    """Acknowledged it is gone, given back it waits on; meanwhile the intake goes on."""
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.many([body(number) for number in range(6)])
        await wait_until(lambda: 6 == len(one.got))
        await one.park(*one.got)
        one.got.clear()
        assert (4, 2) == await one.broker.inner.take("128", 4)
        await upstream.publish(body(7))
        await wait_until(lambda: 5 == len(one.got))
        for each in one.got[:2]:
            each.ack()
        one.got[4].ack()
        await one.got[0].flush()
        for each in one.got[2:4]:
            await each.give_back()
        await wait_until(lambda: _is(upstream, f"{PREFIX}.128", 4))
        assert 0 == await upstream.ready("crm.items.import")
    async with Upstream(amqp_url) as upstream:
        assert 4 == await upstream.ready(f"{PREFIX}.128")
        assert 0 == await upstream.ready("crm.items.import")


async def _is(upstream: Upstream, queue: str, count: int) -> bool:
    return count == await upstream.ready(queue)


async def test_a_stop_ends_everything_also_while_queues_are_asked_for(amqp_url: str) -> None:
    """The client library may lose a cancellation in the moment of an answer."""
    for _ in range(5):
        async with asyncio.timeout(60), process(amqp_url):
            pass
