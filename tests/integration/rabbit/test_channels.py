"""Proves on a real broker that messages taken as they are read come whole, and in order."""

import asyncio

from aiormq.abc import DeliveredMessage

from service.rabbit.address import Address
from service.rabbit.channels import DirectChannel, take_directly
from service.rabbit.session import connect
from tests.support.broker import Broker
from tests.support.patience import patient

QUEUE = "here"


async def test_messages_are_taken_as_they_are_read(broker: Broker, vhost: str) -> None:
    """Empty ones and those of many frames too; other consumers get theirs as ever."""
    async with connect(Address([broker.url(vhost)], heartbeat=15), "test") as session:
        channel = await session.channel(confirms=True)
        assert isinstance(channel, DirectChannel)
        await channel.queue_declare(QUEUE, exclusive=True)
        bodies = [b"", b"x" * 300_000, *(str(number).encode() for number in range(50))]
        taken: list[DeliveredMessage] = []
        called: list[DeliveredMessage] = []

        async def call(message: DeliveredMessage) -> None:
            called.append(message)

        for tag, count in (("direct", 0), ("other", len(bodies))):
            if tag == "direct":
                take_directly(channel, tag, taken.append)
            for body in bodies:
                await channel.basic_publish(body, routing_key=QUEUE)
            await channel.basic_consume(QUEUE, call, consumer_tag=tag, no_ack=True)
            async with asyncio.timeout(patient(10)):
                while len(taken) + len(called) < len(bodies) + count:  # noqa: ASYNC110 - polls
                    await asyncio.sleep(0.01)
            await channel.basic_cancel(tag)
        assert [bodies, bodies] == [[each.body for each in took] for took in (taken, called)]
        assert {QUEUE} == {each.routing_key for each in taken}
        assert not channel.is_closed
