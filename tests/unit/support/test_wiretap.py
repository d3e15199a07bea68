"""Tests what the wiretap makes of the frames that pass."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pamqp import body, commands, frame
from pamqp.header import ContentHeader

from tests.support.wiretap import Wiretap, event_of

HEAD = 7
BODY = b'{"id": "e1"}'
RESULT = b'{"id": "r1", "data": {"eventId": "e1"}}'


class Tapped:
    """Passes frames by a wiretap, and keeps what it noted."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.tap = Wiretap(lambda name, **members: self.notes.append((name, members)))
        self.line = self.tap.connected()

    def passes(self, sender: str, *frames: frame.FrameTypes, channel: int = 1) -> None:
        for each in frames:
            written = frame.marshal(each, channel)
            self.tap.frame(self.line, sender, written[:HEAD], written[HEAD:])

    def message(
        self, sender: str, method: frame.FrameTypes, text: bytes, **properties: Any
    ) -> None:
        header = ContentHeader(
            body_size=len(text), properties=commands.Basic.Properties(**properties)
        )
        halves = [text[: len(text) // 2], text[len(text) // 2 :]]
        self.passes(sender, method, header, *(body.ContentBody(half) for half in halves if half))

    def names(self) -> list[tuple[str, int]]:
        return [
            (name, members.get("tag", members.get("number", 0))) for name, members in self.notes
        ]


def consuming() -> Tapped:
    """Return a tapped line that takes from the intake and from the memory."""
    tapped = Tapped()
    for queue, tag in (("crm.items.import", "c1"), ("crm.items.memory", "c2")):
        tapped.passes("client", commands.Basic.Consume(queue=queue, consumer_tag=tag))
        tapped.passes("broker", commands.Basic.ConsumeOk(tag))
    return tapped


def deliver(tapped: Tapped, tag: int, consumer: str = "c1", text: bytes = BODY) -> None:
    """Let a delivery pass."""
    tapped.message(
        "broker",
        commands.Basic.Deliver(consumer, tag, exchange="x", routing_key="k", redelivered=True),
        text,
    )


def test_deliveries_name_queue_and_event_and_acknowledgements_are_told_one_by_one() -> None:
    """What comes from the memory is left out."""
    tapped = consuming()
    for tag in (1, 2, 3, 5):
        deliver(tapped, tag)
    deliver(tapped, 4, consumer="c2")
    assert ("crm.items.import", "e1", True) == tuple(
        tapped.notes[0][1][name] for name in ("queue", "event", "redelivered")
    )
    tapped.notes.clear()
    tapped.passes(
        "client", commands.Basic.Ack(2, multiple=True), commands.Basic.Reject(5, requeue=True)
    )
    tapped.passes("client", commands.Basic.Ack(0, multiple=True))
    assert [("ack", 1), ("ack", 2), ("give_back", 5), ("ack", 3)] == tapped.names()


def publish(tapped: Tapped, exchange: str, key: str, text: bytes, **properties: Any) -> None:
    """Let a publish pass."""
    tapped.message("client", commands.Basic.Publish(0, exchange, key), text, **properties)


def test_publishes_say_where_they_go_and_confirms_are_told_one_by_one() -> None:
    """Whatever the broker confirms with one frame."""
    tapped = Tapped()
    tapped.passes("client", commands.Confirm.Select())
    places = {
        ("crm.items.results", "failed.2"): "failed",
        ("crm.items.dlx", "item.2"): "dead_letter",
        ("crm.items", "item.2"): "intake",
        ("", "crm.items.import"): "intake",
        ("", "crm.items.parked.128"): "parked",
        ("", "crm.items.memory"): "memory",
    }
    for exchange, key in places:
        publish(tapped, exchange, key, RESULT)
    assert [*places.values()] == [members["to"] for _, members in tapped.notes]
    assert ["e1"] * 5 + [""] == [members["event"] for _, members in tapped.notes]
    tapped.notes.clear()
    tapped.passes(
        "broker", commands.Basic.Ack(2, multiple=True), commands.Basic.Nack(3, multiple=False)
    )
    tapped.passes("broker", commands.Basic.Ack(6, multiple=True))
    assert [("confirm", 1), ("confirm", 2), ("refuse", 3)] == tapped.names()[:3]
    assert [("confirm", 4), ("confirm", 5), ("confirm", 6)] == tapped.names()[3:]


def test_a_publish_that_was_returned_counts_as_refused() -> None:
    """The broker confirms it all the same: it reached no queue."""
    tapped = Tapped()
    for message_id in ("m1", "m2"):
        publish(tapped, "crm.items.results", "succeeded.2", RESULT, message_id=message_id)
    tapped.notes.clear()
    back = commands.Basic.Return(312, "NO_ROUTE", "crm.items.results", "succeeded.2")
    tapped.message("broker", back, RESULT, message_id="m2")
    tapped.passes("broker", commands.Basic.Ack(2, multiple=True))
    assert [("confirm", 1), ("refuse", 2)] == tapped.names()


def test_what_comes_before_the_answer_to_its_consumer_names_its_queue() -> None:
    """A stream does that; a consumer that names itself is known at once."""
    tapped = Tapped()
    tapped.passes("client", commands.Basic.Consume(queue="crm.items.import", consumer_tag="c1"))
    deliver = commands.Basic.Deliver("c1", 1, exchange="x", routing_key="k")
    tapped.message("broker", deliver, BODY)
    tapped.passes("broker", commands.Basic.ConsumeOk("c1"))
    tapped.message("broker", commands.Basic.Deliver("c1", 2, exchange="x", routing_key="k"), BODY)
    assert ["crm.items.import"] * 2 == [members["queue"] for _, members in tapped.notes]


def test_messages_that_were_asked_for_one_by_one_name_their_queue() -> None:
    """An empty answer belongs to its question."""
    tapped = Tapped()
    for queue in ("crm.items.parked.2", "crm.items.parked.links"):
        tapped.passes("client", commands.Basic.Get(queue=queue))
    tapped.passes("broker", commands.Basic.GetEmpty())
    tapped.message(
        "broker", commands.Basic.GetOk(1, exchange="x", routing_key="k", message_count=0), BODY
    )
    assert ["crm.items.parked.links"] == [members["queue"] for _, members in tapped.notes]


def test_properties_that_no_library_can_read_hide_no_message() -> None:
    """The body names the event."""
    tapped = consuming()
    tapped.passes("broker", commands.Basic.Deliver("c1", 1, exchange="x", routing_key="k"))
    wild = (60).to_bytes(2) + bytes(2) + len(BODY).to_bytes(8) + b"\x20\x00\x00\x00\x00\x09\x01h?"
    tapped.tap.frame(
        tapped.line, "broker", b"\x02\x00\x01" + len(wild).to_bytes(4), wild + b"\xce"
    )
    tapped.passes("broker", body.ContentBody(BODY))
    assert ["e1"] == [members["event"] for _, members in tapped.notes]


def test_the_event_of_a_message_is_named_as_the_importer_names_it() -> None:
    """By our header, by the body, else by its digest."""
    named: Mapping[str, Any] = {"import_event_id": "e2"}
    assert "e2" == event_of(named, BODY)
    assert "e1" == event_of({}, RESULT)
    for text in (b"no json", b"[1]", json.dumps({"fields": {}}).encode()):
        assert f"sha256:{hashlib.sha256(text).hexdigest()}" == event_of({}, text)


def test_the_end_of_a_connection_is_noted() -> None:
    """With its number."""
    tapped = consuming()
    tapped.tap.hung_up(tapped.line)
    assert ("hang_up", {"line": 1}) == tapped.notes[-1]
