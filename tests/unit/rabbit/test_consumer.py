"""Consumer: a message that a bug keeps from being read goes back in its time, alone."""

import asyncio
from typing import Any, cast

import pytest
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from service.domain.delivery import Delivery
from service.domain.external_id import ExternalIds
from service.rabbit.acks import AckBatcher
from service.rabbit.consumer import Consumer
from service.rabbit.decoding import Decoder, Incoming
from service.rabbit.receiving import STRUCK_SECONDS
from service.telemetry.metrics import Metrics
from tests.fakes import value
from tests.virtual_time import run

GOOD = b'{"entityTypeId": 2, "id": "good", "fields": {"title": "x"}}'


class Line:
    """A channel that notes what is given back."""

    is_closed = False

    def __init__(self) -> None:
        self.returned: list[int] = []

    @property
    def closing(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    async def basic_nack(self, tag: int, **_: object) -> None:
        self.returned.append(tag)


class Buggy(Decoder):
    """Cannot read one body."""

    def decode(self, message: Incoming) -> Any:  # noqa: ANN401 - as its base
        if message.body == b"struck":
            raise KeyError(message.body)
        return super().decode(message)


def message(tag: int, body: bytes) -> DeliveredMessage:
    """Return a message as the client library hands it over."""
    header = ContentHeader(properties=Basic.Properties())
    deliver = Basic.Deliver(consumer_tag="c", delivery_tag=tag)
    return DeliveredMessage(delivery=deliver, header=header, body=body, channel=cast("Any", None))


@pytest.mark.error_logs
def test_a_message_that_a_bug_keeps_from_being_read_holds_up_no_other() -> None:
    """It stays for a while, so that it does not come again at once, and goes back."""
    metrics, line, taken = Metrics(), Line(), list[Delivery]()
    decoder = Buggy(external_ids=ExternalIds("test"), max_bytes=1_000)
    consumer = Consumer(queue="q", decoder=decoder, metrics=metrics, early=0, silence=15.0)
    consumer.accept = taken.append

    async def story() -> None:
        acks = AckBatcher(cast("Channel", line), metrics)
        consumer._receive(acks, message(1, b"struck"))  # noqa: SLF001 - what the library calls
        consumer._receive(acks, message(2, GOOD))  # noqa: SLF001 - as above
        await asyncio.sleep(STRUCK_SECONDS - 1)
        assert ["good"] == [each.event.event_id for each in taken]
        assert [] == line.returned
        await asyncio.sleep(2)
        assert [1] == line.returned

    run(story())
    assert 1.0 == value(metrics.unexpected)


class Registrar(Line):
    """A channel that takes every consumer."""

    def __init__(self) -> None:
        super().__init__()
        self.on_consumer_cancel_callbacks: set[object] = set()

    async def basic_qos(self, **_: object) -> None:
        """Do nothing."""

    async def basic_cancel(self, tag: str, **_: object) -> None:
        """Do nothing."""

    async def basic_consume(self, queue: str, receive: object, **_: object) -> Basic.ConsumeOk:
        self.receive = receive
        return Basic.ConsumeOk(consumer_tag=queue)


def test_early_are_the_first_messages_after_attaching_not_after_an_interruption_of_our_own() -> (
    None
):
    """What goes back meanwhile is flagged, and else each return would put the next in doubt."""
    metrics, line, taken = Metrics(), Registrar(), list[Delivery]()
    decoder = Decoder(external_ids=ExternalIds("test"), max_bytes=1_000)
    consumer = Consumer(queue="q", decoder=decoder, metrics=metrics, early=2, silence=15.0)
    consumer.accept = taken.append

    async def early(tag: int) -> bool:
        await line.receive(message(tag, GOOD))  # type: ignore[operator]  # set by basic_consume
        return taken[-1].early

    async def story() -> None:
        await consumer.attach(10)
        await consumer.resume(cast("Channel", line))
        assert await early(1)
        async with consumer.cancelled():
            pass
        assert [True, False] == [await early(2), await early(3)]
        async with consumer.cancelled():
            pass
        assert not await early(4)
        await consumer.detach()
        await consumer.attach(10)
        assert [True, True, False] == [await early(tag) for tag in (5, 6, 7)]
        consumer.lost()
        await consumer.resume(cast("Channel", line))
        assert await early(8)

    run(story())


def test_a_new_channel_is_proof_that_the_broker_is_there() -> None:
    """Calls leave at once after a start, not when the broker is asked for the first time."""
    decoder = Decoder(external_ids=ExternalIds("test"), max_bytes=1_000)
    consumer = Consumer(queue="q", decoder=decoder, metrics=Metrics(), early=0, silence=15.0)
    run(consumer.resume(cast("Channel", Registrar())))
    assert consumer.heard()
