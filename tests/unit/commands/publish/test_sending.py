"""Proves that `last` never names an event before which one is unconfirmed."""

import asyncio
from collections import defaultdict, deque
from typing import cast

import pytest

from service.commands.publish import sending
from service.commands.publish.records import Place, Record
from service.commands.publish.sending import Sender
from service.domain import retry
from service.domain.events import ItemEvent
from service.domain.external_id import ExternalIds
from service.domain.retry import RetryPolicy
from service.factories import CannotStart
from service.rabbit.confirms import Confirmer, PublishResult
from service.rabbit.connection import ConnectionLost
from service.rabbit.decoding import Decoder, Incoming
from service.rabbit.encoding import Outgoing

DECODER = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=100_000)


class Scripted:
    """A broker that says what it is told to say, when it is told."""

    def __init__(self) -> None:
        self.results: dict[str, deque[asyncio.Future[PublishResult]]] = defaultdict(deque)
        self.sent: list[str] = []
        self.arrivals: asyncio.Queue[str] = asyncio.Queue()

    def lost(self) -> ConnectionLost:
        return ConnectionLost("CONNECTION_FORCED")

    async def send(self, message: Outgoing) -> PublishResult:
        unique = str(message.properties.message_id)
        self.sent.append(unique)
        result: asyncio.Future[PublishResult] = asyncio.get_running_loop().create_future()
        self.results[unique].append(result)
        self.arrivals.put_nowait(unique)
        return await result

    def say(self, unique: str, result: PublishResult) -> None:
        self.results[unique].popleft().set_result(result)


def record(event_id: str, size: int = 10) -> Record:
    """Return a record whose body has about this size."""
    body = b'{"entityTypeId":2,"id":"%s","fields":{"a":"%s"}}' % (event_id.encode(), b"x" * size)
    event = DECODER.decode(Incoming(body=body, headers={}))
    assert isinstance(event, ItemEvent)
    return Record(Place.at(1), body, "application/json", event)


@pytest.fixture
def broker() -> Scripted:
    """Lend the broker."""
    return Scripted()


@pytest.fixture
def sender(broker: Scripted) -> Sender:
    """Lend a sender to it."""
    return Sender(cast("Confirmer", broker), "crm.items")


def last(sender: Sender) -> str | None:
    """Return the id of the last event before which none is open."""
    return sender.last.event.event_id if sender.last else None


async def begun(sender: Sender, broker: Scripted, *ids: str) -> None:
    """Have events in flight."""
    for each in ids:
        await sender.send(record(each))
    for each in ids:
        assert each == await broker.arrivals.get()


async def test_a_confirm_out_of_turn_waits_for_those_before(
    sender: Sender, broker: Scripted
) -> None:
    """The second event's confirm says nothing of the first."""
    await begun(sender, broker, "a", "b")
    broker.say("b", PublishResult.CONFIRMED)
    finishing = asyncio.create_task(sender.finish())
    await asyncio.sleep(0)
    assert (0, None) == (sender.confirmed, last(sender))
    broker.say("a", PublishResult.CONFIRMED)
    await finishing
    assert (2, "b") == (sender.confirmed, last(sender))


async def test_what_is_abandoned_counts_up_to_the_first_without_a_result(
    sender: Sender, broker: Scripted
) -> None:
    """So that going on after `last` leaves nothing out."""
    await begun(sender, broker, "a", "b", "c")
    broker.say("a", PublishResult.CONFIRMED)
    broker.say("c", PublishResult.CONFIRMED)
    for _ in range(3):
        await asyncio.sleep(0)
    sender.abandon()
    assert (1, "a", 2) == (sender.confirmed, last(sender), sender.unknown)


@pytest.mark.parametrize(
    ("result", "error"),
    [(PublishResult.RETURNED, CannotStart), (PublishResult.LOST, ConnectionLost)],
)
async def test_what_ends_the_work_is_raised(
    sender: Sender, broker: Scripted, result: PublishResult, error: type[Exception]
) -> None:
    """No queue, no connection: there is no use in going on."""
    await begun(sender, broker, "a")
    broker.say("a", result)
    with pytest.raises(error):
        await sender.finish()
    assert last(sender) is None


async def test_what_cannot_be_written_is_set_aside(sender: Sender, broker: Scripted) -> None:
    """The rest goes on."""
    await begun(sender, broker, "a", "b")
    broker.say("a", PublishResult.UNWRITABLE)
    broker.say("b", PublishResult.CONFIRMED)
    await sender.finish()
    assert (["a"], "b") == ([each.event.event_id for each in sender.unwritable], last(sender))


async def test_a_full_queue_is_tried_again(
    sender: Sender,
    broker: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said once, however often it happens."""
    monkeypatch.setattr(retry, "BROKER", RetryPolicy(0.001, 0.001, 1))
    await sender.send(record("a"))
    finishing = asyncio.create_task(sender.finish())
    for result in (PublishResult.NACKED, PublishResult.NACKED, PublishResult.CONFIRMED):
        broker.say(await broker.arrivals.get(), result)
    await finishing
    assert (1, ["a"] * 3) == (sender.confirmed, broker.sent)
    assert 1 == len(capsys.readouterr().err.splitlines())


async def test_a_queue_that_stays_full_ends_it(
    sender: Sender, broker: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it is said instead of waited for."""
    monkeypatch.setattr(sending, "PATIENCE_SECONDS", -1.0)
    await begun(sender, broker, "a")
    broker.say("a", PublishResult.NACKED)
    with pytest.raises(CannotStart, match="full"):
        await sender.finish()


async def test_what_is_in_flight_is_bounded_by_bytes(
    sender: Sender, broker: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large events do not fill the memory; one that is larger than all goes alone."""
    monkeypatch.setattr(sending, "MAX_BYTES_IN_FLIGHT", 5_000)
    await sender.send(record("a", 4_000))
    second = asyncio.create_task(sender.send(record("b", 9_000)))
    assert "a" == await broker.arrivals.get()
    assert ["a"] == broker.sent
    broker.say("a", PublishResult.CONFIRMED)
    await second
    assert "b" == await broker.arrivals.get()
    broker.say("b", PublishResult.CONFIRMED)
    await sender.finish()
    assert 2 == sender.confirmed
