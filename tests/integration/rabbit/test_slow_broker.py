"""A broker whose every answer comes late is reached in the end, and work gets done.

Time is scaled: what is a second here is twenty for the service. Answers that come 1 to 20 seconds
late are later than every time-out that the service begins with.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.domain.delivery import Settlement
from service.domain.events import ItemEvent
from service.domain.external_id import ExternalIds
from service.domain.outcomes import Imported
from service.factories import topology
from service.rabbit import closing, connection, consumer, publishing
from service.rabbit.broker import Broker as Ours
from service.rabbit.connection import Address
from service.rabbit.decoding import Decoder
from service.rabbit.delivery import Delivery
from service.rabbit.encoding import Encoder
from service.rabbit.session import connect
from service.settings.tree import Rabbit
from service.telemetry.metrics import Metrics
from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.proxy import Proxy

SCALE = 20.0
HEARTBEAT = 1.0
EVENTS = 12
ENOUGH_SECONDS = 90.0
NAMES = topology(Rabbit())


@pytest.fixture(autouse=True)
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time-outs of the service."""
    for module, name in (
        (connection, "CONNECT_SECONDS"),
        (connection, "ANSWER_SECONDS"),
        (closing, "CLOSE_SECONDS"),
        (consumer, "ANSWER_SECONDS"),
        (publishing, "CONFIRM_SECONDS"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name) / SCALE)


@asynccontextmanager
async def working(url: str, done: set[str]) -> AsyncIterator[Ours]:
    """Run the service's side of the broker: each event that comes gets a result, and an ack."""
    metrics = Metrics()
    ours = Ours(
        address=Address([url], HEARTBEAT),
        topology=NAMES,
        decoder=Decoder(external_ids=ExternalIds("test"), max_bytes=1_000_000),
        encoder=Encoder(NAMES, portal_host="portal.example"),
        early=0,
        metrics=metrics,
    )
    settling: set[asyncio.Task[None]] = set()

    async def settle(delivery: Delivery) -> None:
        event = delivery.event
        assert isinstance(event, ItemEvent)
        settled = Settlement(event, delivery, Imported(1), 1, "b")
        while (await ours.publisher.results([settled])) != [True]:
            pass
        delivery.ack()
        await delivery.flush()
        if delivery.live:
            done.add(event.event_id)

    def accept(delivery: Delivery) -> None:
        settling.add(asyncio.ensure_future(settle(delivery)))

    running = asyncio.ensure_future(ours.run(accept=accept, on_change=lambda: None))
    await ours.attach(EVENTS)
    try:
        yield ours
    finally:
        for task in (*settling, running):
            task.cancel()
        await asyncio.wait({*settling, running})


async def test_work_gets_done_though_every_answer_is_late(
    broker: Broker, vhost: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No channel is closed twice, and no time-out is the same for ever."""
    caplog.set_level(logging.WARNING)
    wanted = {f"e{number}" for number in range(EVENTS)}
    done: set[str] = set()
    async with Proxy(broker.url(vhost)) as proxy:
        proxy.slow(1 / SCALE, 20 / SCALE)
        async with (
            working(proxy.url, done) as ours,
            Upstream(broker.url(vhost)) as upstream,
        ):
            await wait_until(
                lambda: ours.connected, what="being connected", timeout=ENOUGH_SECONDS
            )
            for name in sorted(wanted):
                body = {"id": name, "entityTypeId": 2, "fields": {"title": "x"}}
                await upstream.publish(json.dumps(body).encode())

            async def settled() -> bool:
                return wanted <= done and await upstream.ready(NAMES.succeeded_queue) >= EVENTS

            await wait_until(settled, what="every event to be settled", timeout=ENOUGH_SECONDS)
    assert "expected 'channel.open'" not in caplog.text
    reasons = [str(record.__dict__.get("reason")) for record in caplog.records]
    # Of a dial, or of a question on a connection: chance tells which comes too late.
    assert any("no answer within" in why or "not answer in time" in why for why in reasons)


async def test_a_command_leaves_a_channel_of_a_slow_broker_in_peace(
    broker: Broker, vhost: str
) -> None:
    """Its connection lives on when the answer to a close is late."""
    async with (
        Proxy(broker.url(vhost)) as proxy,
        connect(Address([proxy.url], HEARTBEAT), "test") as session,
    ):
        channel, other = await session.channel(), await session.channel()
        late = 1.5 * closing.CLOSE_SECONDS
        proxy.slow(late, late)
        await closing.leave(channel)
        await asyncio.sleep(3 * late)
        proxy.slow(0, 0)
        await other.queue_declare("still-there", auto_delete=True)
        assert channel.is_closed
