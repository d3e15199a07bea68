"""Proves what becomes of a publish that the client library cannot even write."""

import asyncio
import json
import time
from dataclasses import replace
from datetime import datetime
from typing import cast

import pytest
from aio_pika.exceptions import DeliveryError
from aiormq import Channel
from aiormq.exceptions import ChannelPreconditionFailed
from pamqp.commands import Basic

from service.domain.delivery import Settlement
from service.domain.outcomes import Failed, FailureKind
from service.rabbit import publishing as publisher_module
from service.rabbit.confirms import PublishResult
from service.rabbit.connection import Connection, ConnectionLost
from service.rabbit.encoding import Encoder, Outgoing, bare
from service.rabbit.publishing import Publisher
from service.telemetry.labels import TARGETS
from service.telemetry.metrics import Metrics
from tests.fakes import FakeDelivery, malformed

LETTER = Outgoing(
    "dead_letter",
    "crm.items.dlx",
    "",
    b"body",
    Basic.Properties(
        headers={"theirs": "x", "import_error_kind": "rejected"}, message_id="m", reply_to="bad"
    ),
)


class Picky:
    """A channel that cannot write what has a reply address."""

    def __init__(self) -> None:
        self.sent: list[Basic.Properties] = []

    async def basic_publish(self, body: bytes, **more: object) -> None:
        properties = cast("Basic.Properties", more["properties"])
        if properties.reply_to:
            raise TypeError(body)
        self.sent.append(properties)


class Full:
    """A channel whose queues refuse everything."""

    async def basic_publish(self, _: bytes, **__: object) -> None:
        raise DeliveryError(None, Basic.Nack())


class Open(Picky):
    """A channel that stays open."""

    @property
    def closing(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()


class Ended:
    """A link that only counts how often it is ended."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def fail(self, reason: ConnectionLost) -> None:
        self.reasons.append(str(reason))


async def _repair() -> None:
    raise AssertionError


def publisher(connection: object = None, encoder: object = None) -> Publisher:
    """Return a publisher that is handed its channel by the test."""
    return Publisher(
        connection=cast("Connection", connection),
        encoder=cast("Encoder", encoder),
        metrics=Metrics(),
        repair=_repair,
        queues=dict.fromkeys(TARGETS, "a queue"),
    )


async def test_a_dead_letter_that_cannot_be_written_goes_without_its_properties() -> None:
    """Its body and our reason are kept; the original's properties are named as dropped."""
    channel = Picky()
    assert "confirmed" == await publisher()._one(cast("Channel", channel), LETTER)  # noqa: SLF001
    [sent] = channel.sent
    assert {"import_error_kind", "import_dropped_headers"} == set(sent.headers or {})
    assert (2, "m") == (sent.delivery_mode, sent.message_id)


RESULT = {
    "id": "i",
    "tracestate": "x=1",
    "data": {"eventId": "e", "warnings": ["w" * 200], "links": {"contactId": 1}},
}


class Small:
    """A channel of a broker that takes only short messages."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sent: list[bytes] = []

    async def basic_publish(self, body: bytes, **_: object) -> None:
        if len(body) > self.most:
            refusal = f"message size {len(body)} is larger than configured max size {self.most}"
            raise ChannelPreconditionFailed(refusal)
        self.sent.append(body)


@pytest.mark.parametrize(("most", "told"), [(100, "confirmed"), (10, "unwritable")])
async def test_a_result_that_is_too_large_goes_without_what_can_be_spared(
    most: int, told: str
) -> None:
    """What is still too large is told, and not raised: nothing published ends the pipeline."""
    body = json.dumps(RESULT).encode()
    result = Outgoing("succeeded", "x", "", body, Basic.Properties(message_id="m"))
    channel, sending = Small(most), publisher()
    for _ in range(2):
        assert told == await sending._one(cast("Channel", channel), result)  # noqa: SLF001
    short = {"id": "i", "data": {"eventId": "e"}}
    assert [short] * len(channel.sent) == [json.loads(each) for each in channel.sent]
    sending.blockage.answered("succeeded", PublishResult(told), time.monotonic() + 5.0)
    assert (told == "unwritable") is bool(sending.blockage.refusing())


@pytest.mark.parametrize("struck", [0, 1])
async def test_a_bug_in_one_publish_is_returned_in_its_place(struck: int) -> None:
    """The others go out."""

    class Buggy:
        def result(self, settlement: Settlement, _: datetime) -> Outgoing:
            if settlement.attempts == struck:
                raise KeyError("a bug")
            properties = Basic.Properties(message_id=str(settlement.attempts))
            return replace(LETTER, target="failed", properties=properties)

    class Up(Ended):
        async def channel(self) -> Open:
            return channel

    channel = Open()
    sending = publisher(Up(), Buggy())
    failed = Failed(FailureKind.REJECTED, "1", "no")
    settlements = [
        Settlement(malformed(), FakeDelivery(malformed()), failed, attempts=each)
        for each in range(2)
    ]
    answers = await sending.results(settlements)
    assert isinstance(answers[struck], KeyError)
    assert (True, 1) == (answers[1 - struck], len(channel.sent))


@pytest.mark.error_logs
async def test_a_queue_that_refuses_everything_is_asked_over_a_new_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be full, or the channel asks a dead node; what another queue takes proves nothing."""
    monkeypatch.setattr(publisher_module, "_now", iter(range(0, 1000, 4)).__next__)
    connection, result = Ended(), replace(LETTER, target="failed")
    sending = publisher(connection)
    for _ in range(4):
        assert "nacked" == await sending._one(cast("Channel", Full()), result)  # noqa: SLF001
        await sending._one(cast("Channel", Picky()), LETTER)  # noqa: SLF001
    assert ["a queue refuses every publish (failed): asked over a new one"] == connection.reasons


def test_a_bare_letter_keeps_its_body() -> None:
    """Bytes are never touched."""
    assert LETTER.body == bare(LETTER).body
