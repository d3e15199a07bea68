"""Proves what a delivery says of an event that waited: what its first message said."""

import asyncio
import gzip
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

from aiormq import Channel
from aiormq.abc import DeliveredMessage

from service.domain.external_id import ExternalIds
from service.rabbit.acks import AckBatcher
from service.rabbit.decoding import Decoder
from service.rabbit.delivery import Delivery
from service.rabbit.receiving import Receiver
from service.rabbit.waiting import Waiting, parked, sent_back
from service.telemetry.metrics import Metrics
from tests.unit.rabbit.handed import arrived, original

HOUR = 3600.0


class Line:
    """A channel that is open."""

    is_closed = False


def delivery(message: DeliveredMessage, *, queue: str = "") -> Delivery:
    """Return what is handed over for a message that comes now."""

    async def receive() -> Delivery:
        metrics, got = Metrics(), list[Delivery]()
        receiver = Receiver(Decoder(external_ids=ExternalIds("t"), max_bytes=9_999), metrics)
        receiver.accept = got.append
        acks = AckBatcher(cast("Channel", Line()), metrics)
        receiver.receive(acks, message, early=True, queue=queue)
        return got[0]

    return asyncio.run(receive())


def waiting(first: Delivery, ago: float = 0.0) -> Waiting:
    """Return what is said of an event that came so many seconds ago, and waits since."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    return Waiting(
        reason="scope",
        portal="p",
        event_id=first.event.event_id,
        parked_at=at,
        received_at=at,
        exchange=first.exchange,
        routing_key=first.routing_key,
        message_id=first.message_id,
        redrive_count=first.event.origin.redrive_count,
    )


def age(one: Delivery) -> float:
    """Return how old an event was when its message came."""
    return one.received_at - one.born_at


def test_an_event_without_an_id_has_none_after_waiting_either() -> None:
    """Its name is that of its body; the warning stays."""
    first = delivery(original())
    again = delivery(arrived(parked(original(), waiting(first), "q")), queue="2")
    assert first.event == again.event
    assert first.event.notes


def test_a_message_id_names_an_event_as_before() -> None:
    """The copy has another one of its own."""
    first = delivery(original(message_id="m-1"))
    again = delivery(arrived(parked(original(message_id="m-1"), waiting(first), "q")), queue="2")
    assert "m-1" == first.event.event_id == again.event.event_id == again.message_id
    assert first.event == again.event


def test_flag_and_counts_of_an_inner_queue_say_nothing() -> None:
    """Everybody who looks raises them; in the intake they say what they always say."""
    first = delivery(original())
    sent = parked(original(), waiting(first), "q")
    there = delivery(arrived(sent), queue="2")
    assert (False, 0, False) == (there.copy, there.times, there.early)
    back = delivery(arrived(sent_back(arrived(sent), "crm.items.import")))
    assert (True, True) == (back.copy, back.early)
    assert back.stay is not None
    assert "" == back.stay.queue


def test_age_counts_from_the_first_receipt() -> None:
    """Where the event has a time of its own, from that."""
    first = delivery(original())
    again = delivery(arrived(parked(original(), waiting(first, HOUR), "q")), queue="2")
    assert HOUR - 5 < age(again) < HOUR + 60
    told = datetime.fromtimestamp(int(time.time() - 2 * HOUR), UTC)
    again = delivery(
        arrived(parked(original(timestamp=told), waiting(first, HOUR), "q")), queue="2"
    )
    assert 2 * HOUR - 5 < age(again) < 2 * HOUR + 60


def test_age_of_a_redriven_event_counts_from_its_receipt() -> None:
    """Not from its own time, and not from the end of its waiting."""
    told = datetime.fromtimestamp(int(time.time() - 9 * HOUR), UTC)
    message = original(timestamp=told, headers={"import_redrive_count": 1})
    first = delivery(message)
    again = delivery(arrived(parked(message, waiting(first, HOUR), "q")), queue="2")
    assert HOUR - 5 < age(again) < HOUR + 60


def test_what_may_have_been_sent_says_so_and_counts_as_redriven_on_its_way_back() -> None:
    """An older version looks it up for that."""
    first = delivery(original())
    perhaps = replace(waiting(first), perhaps_sent=datetime.now(UTC))
    sent = parked(original(), perhaps, "q")
    assert delivery(arrived(sent), queue="2").perhaps_sent
    back = delivery(arrived(sent_back(arrived(sent), "crm.items.import")))
    assert (True, True, 1) == (back.perhaps_sent, back.redriven, back.event.origin.redrive_count)
    sure = delivery(arrived(sent_back(arrived(parked(original(), waiting(first), "q")), "i")))
    assert (False, False) == (sure.perhaps_sent, sure.redriven)


def test_what_somebody_put_into_an_inner_queue_by_hand_is_an_event_that_waits() -> None:
    """Since now, and for whatever that queue is for."""
    there = delivery(original(message_id="m-1"), queue="doubtful")
    assert there.stay is not None
    assert ("doubtful", "doubt", 0.0, None) == (
        there.stay.queue,
        there.stay.reason,
        there.stay.waited,
        there.stay.perhaps_sent,
    )
    assert ("crm.items", "item.2", "m-1") == (
        there.exchange,
        there.routing_key,
        there.message_id,
    )


def test_an_event_counts_with_what_it_takes_in_a_call_however_it_was_packed() -> None:
    """Twenty packed messages of a kilobyte each may be a call of forty megabytes."""
    fields = {"title": "x" * 5_000}
    body = json.dumps({"entityTypeId": 2, "fields": fields}).encode()
    packed = delivery(original(gzip.compress(body), content_encoding="gzip"))
    assert len(json.dumps(fields)) == packed.size
    assert len(body) == delivery(original(body)).size
    assert 1 == delivery(original(b"x")).size
