"""Proves on a real broker that publishes written at once are answered as those written singly."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiormq import Channel
from aiormq.abc import FieldValue
from pamqp.commands import Basic

from service.rabbit.address import Address
from service.rabbit.confirms import BodyLimit, PublishResult, published, result_of
from service.rabbit.connection import Connection, ConnectionLost
from service.rabbit.encoding import Encoder, Outgoing
from service.rabbit.publishing import Publisher
from service.rabbit.session import connect
from service.rabbit.topology import Topology
from service.rabbit.writing import frames, written
from service.telemetry.labels import TARGETS
from service.telemetry.metrics import Metrics
from tests.support.broker import Broker
from tests.support.patience import at_most

OPEN, FULL, NOWHERE = "open", "full", "nowhere"
EACH = {
    OPEN: PublishResult.CONFIRMED,
    FULL: PublishResult.NACKED,
    NOWHERE: PublishResult.RETURNED,
}


def message(unique: str, queue: str = OPEN, body: bytes = b"{}") -> Outgoing:
    """Return a message for a queue."""
    properties = Basic.Properties(message_id=unique, headers={"at": "here"}, delivery_mode=2)
    return Outgoing("parked", "", queue, body, properties)


@asynccontextmanager
async def channel_of(broker: Broker, vhost: str) -> AsyncIterator[Channel]:
    """Lend a channel with confirms, beside a queue that takes everything and a full one."""
    async with connect(Address([broker.url(vhost)], heartbeat=15), "test") as session:
        channel = await session.channel(confirms=True)
        await channel.queue_declare(OPEN, durable=True)
        full: dict[str, FieldValue] = {"x-max-length": 1, "x-overflow": "reject-publish"}
        await channel.queue_declare(FULL, durable=True, arguments=full)
        assert PublishResult.CONFIRMED is await published(channel, message("first", FULL))
        yield channel


async def at_once(channel: Channel, messages: Sequence[Outgoing]) -> list[PublishResult]:
    """Write messages at once; return what became of each."""
    payloads = {str(each.properties.message_id): frames(channel, each) or b"" for each in messages}
    async with at_most(10), written(channel, payloads) as answers:
        return [await result_of(each, b"", BodyLimit()) for each in answers]


async def test_each_publish_of_one_write_gets_its_own_answer(broker: Broker, vhost: str) -> None:
    """Whatever stands before and behind it, and between publishes that are written singly."""
    queues = [OPEN, NOWHERE, FULL, OPEN, FULL, NOWHERE, OPEN]
    async with channel_of(broker, vhost) as channel:
        several = [message(f"m{place}", queue) for place, queue in enumerate(queues)]
        single = [message(f"s{place}", queue) for place, queue in enumerate(queues)]
        others = asyncio.gather(*(published(channel, each) for each in single))
        told = [EACH[each] for each in queues]
        assert told == await at_once(channel, several)
        assert told == await others
        assert told == await at_once(channel, several), "the same ids again"
        depth = (await channel.queue_declare(OPEN, passive=True)).message_count
        assert 3 * queues.count(OPEN) == depth
        assert not channel.confirmations
        assert not channel.message_id_delivery_tag


async def test_a_message_comes_as_it_was_written(broker: Broker, vhost: str) -> None:
    """Its body, its properties, its headers."""
    async with channel_of(broker, vhost) as channel:
        bodies = [b"x" * (channel.max_content_size - 1), b"y"]
        several = [message(str(len(body)), body=body) for body in bodies]
        assert [PublishResult.CONFIRMED] * 2 == await at_once(channel, several)
        for sent in several:
            got = await channel.basic_get(OPEN, no_ack=True)
            assert (sent.body, sent.properties) == (got.body, got.header.properties)


@pytest.mark.parametrize(
    "alone",
    [
        message("", body=b"{}"),
        message("empty", body=b""),
        message("long", body=b"x" * 200_000),
        message("m", queue="q" * 256),
        Outgoing("parked", "", OPEN, b"{}", Basic.Properties(message_id="m", headers={"a": {1}})),  # type: ignore[dict-item]  # no value of AMQP
    ],
    ids=["no id", "no body", "many frames", "long key", "unwritable"],
)
async def test_what_cannot_go_with_others_has_no_frames(
    broker: Broker, vhost: str, alone: Outgoing
) -> None:
    """It is published alone, and tells what is wrong with it."""
    async with channel_of(broker, vhost) as channel:
        assert frames(channel, alone) is None


async def test_the_end_of_a_channel_ends_what_was_written(broker: Broker, vhost: str) -> None:
    """Nobody waits for an answer that cannot come; a closed one takes nothing."""
    async with channel_of(broker, vhost) as channel:
        several = {
            f"m{number}": frames(channel, message(f"m{number}")) or b"" for number in (1, 2)
        }
        async with written(channel, several) as answers:
            await channel.close()
            told = [await result_of(each, b"", BodyLimit()) for each in answers]
        assert {PublishResult.CONFIRMED, PublishResult.LOST} >= set(told)
        with pytest.raises(ConnectionLost):
            async with written(channel, several):
                pass


async def test_two_messages_of_one_id_do_not_take_each_others_answers(
    broker: Broker, vhost: str
) -> None:
    """The second one goes after the first; the others do not wait for either."""

    async def nothing(*_: object) -> None:
        pass

    connection = Connection(
        "publish",
        Address([broker.url(vhost)], heartbeat=15),
        confirms=True,
        setup=nothing,
        on_change=lambda _: None,
    )
    names = Topology("x", "x", "x", "x", "x", "x", "x", 1000)
    publisher = Publisher(
        connection=connection,
        encoder=Encoder(names, portal_host="portal.example"),
        metrics=Metrics(),
        repair=nothing,
        queues=dict.fromkeys(TARGETS, "a queue"),
    )
    async with channel_of(broker, vhost):
        running = asyncio.ensure_future(connection.run())
        try:
            async with at_most(10):
                await publisher.ready()
                twins = [message("twin", NOWHERE), message("twin"), message("other")]
                told = await asyncio.gather(publisher.parked(twins), publisher.parked(twins))
        finally:
            running.cancel()
            await asyncio.wait({running})
    assert [[EACH[NOWHERE], EACH[OPEN], EACH[OPEN]]] * 2 == [*told]
