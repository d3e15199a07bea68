"""Tests result events and dead letters: every member and header."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from service.bitrix.errors import classify_item
from service.domain.decisions import rejected
from service.domain.delivery import Settlement
from service.domain.events import ItemEvent, Malformed, Origin
from service.domain.outcomes import Failed, FailureKind, Imported, Outcome
from service.domain.parking import Stay
from service.rabbit import encoding
from service.rabbit.encoding import Encoder, Outgoing
from service.rabbit.our_headers import OURS
from service.rabbit.result_events import TEXT_LIMIT, WARNINGS_LIMIT, DeadLetterHeaders
from service.rabbit.topology import Topology
from service.telemetry.logs import configure_logs
from tests.fakes import item_event, malformed

NOW = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
TOPOLOGY = Topology("in", "in.q", "results", "s.q", "f.q", "dlx", "dlq", 1000)
REJECTED = Failed(FailureKind.REJECTED, "BX_INVALID_VALUE", "wrong title", 200)
Succeeded = Imported(77)


@dataclass
class Message:
    """What of a delivered message the writer reads."""

    properties: Basic.Properties = field(default_factory=Basic.Properties)
    body: bytes = b"body"
    exchange: str = "crm.items"
    routing_key: str = "item.2"
    header: ContentHeader = field(init=False)

    def __post_init__(self) -> None:
        self.header = ContentHeader(properties=self.properties)


@dataclass
class Delivered:
    """A delivery of a message."""

    message: Message = field(default_factory=Message)
    stay: Stay | None = None

    @property
    def exchange(self) -> str:
        return self.message.exchange

    @property
    def routing_key(self) -> str:
        return self.message.routing_key

    @property
    def message_id(self) -> str | None:
        return self.message.properties.message_id


def written(encoder: Encoder, settlement: Settlement) -> list[Outgoing]:
    """Write the result, and the dead letter where the event failed."""
    result = encoder.result(settlement, NOW)
    if isinstance(settlement.outcome, Imported):
        return [result]
    return [result, encoder.dead_letter(settlement, NOW)]


def write(
    outcome: Outcome,
    event: ItemEvent | Malformed | None = None,
    message: Message | None = None,
    *,
    attempts: int = 1,
    batch_id: str | None = "b1",
) -> list[Outgoing]:
    """Write the messages of one settlement."""
    encoder = Encoder(TOPOLOGY, portal_host="portal.example")
    delivery: Any = Delivered(message or Message())
    event = event or item_event("order 1")
    return written(encoder, Settlement(event, delivery, outcome, attempts, batch_id))


def document(outgoing: Outgoing) -> dict[str, Any]:
    """Return the body of a result event."""
    content: dict[str, Any] = msgspec.json.decode(outgoing.body)
    return content


def headers_of(message: Message, outcome: Outcome = REJECTED) -> dict[str, Any]:
    """Return the headers of the dead letter of a message."""
    return dict(write(outcome, None, message)[1].properties.headers or {})


def test_succeeded_event_is_written_as_promised() -> None:
    """Fill every member of the contract."""
    (event,) = write(Succeeded)
    assert ("succeeded", "results", "succeeded.2") == (
        event.target,
        event.exchange,
        event.routing_key,
    )
    written = document(event)
    assert {
        "specversion": "1.0",
        "id": written["id"],
        "source": "/crm-importer/portal.example",
        "type": "crm.item.import.succeeded.v1",
        "subject": "2/order 1",
        "time": "2026-03-04T05:06:07.089Z",
        "datacontenttype": "application/json",
        "data": {
            "eventId": "order 1",
            "entityTypeId": 2,
            "itemId": 77,
            "importedAt": "2026-03-04T05:06:07.089Z",
            "attempts": 1,
            "batchId": "b1",
            "reconciled": False,
            "duplicate": False,
        },
    } == written


ENVELOPE = (
    b'"source":"/crm-importer/portal.example","type":"crm.item.import.%s.v1","subject":"%s",'
    b'"time":"2026-03-04T05:06:07.089Z","datacontenttype":"application/json",'
)


def test_members_of_a_succeeded_event_have_their_order_on_the_wire() -> None:
    """Byte by byte: what has no value is null, what is optional and absent is left out."""
    (event,) = write(Succeeded, attempts=0, batch_id=None)
    assert event.body == (
        b'{"specversion":"1.0",'
        b'"id":"00745b2c5ee622a13185ffdb386b414d0b154632344eee7c917b67057ba745ae",'
        + ENVELOPE
        % (b"succeeded", b"2/order 1")
        + b'"data":{"eventId":"order 1","entityTypeId":2,"itemId":77,'
        b'"importedAt":"2026-03-04T05:06:07.089Z","attempts":0,"batchId":null,'
        b'"reconciled":false,"duplicate":false}}'
    )


def test_members_of_a_failed_event_have_their_order_on_the_wire() -> None:
    """Byte by byte, with all that may be there."""
    event = replace(
        item_event("order 1"),
        origin=Origin(trace={"traceparent": "00-1", "tracestate": "a=b"}),
        notes=("é was ignored",),
    )
    result, _ = write(REJECTED, event)
    assert result.body == (
        b'{"specversion":"1.0",'
        b'"id":"157761a65953e7629fc74bce5791e53ba2224d52de50d3c918a9d43dac22fdd9",'
        + ENVELOPE
        % (b"failed", b"2/order 1")
        + b'"traceparent":"00-1","tracestate":"a=b",'
        b'"data":{"eventId":"order 1","entityTypeId":2,"failedAt":"2026-03-04T05:06:07.089Z",'
        b'"attempts":1,"batchId":"b1","error":{"kind":"rejected","code":"BX_INVALID_VALUE",'
        b'"message":"wrong title","httpStatus":200},"warnings":["\xc3\xa9 was ignored"]}}'
    )


def test_succeeded_event_tells_what_was_dropped() -> None:
    """Only where something was."""
    encoder = Encoder(TOPOLOGY, portal_host="portal.example")
    delivery: Any = Delivered()
    settlement = Settlement(item_event("order 1"), delivery, Succeeded, 1, "b1", ("x is unknown",))
    (message,) = written(encoder, settlement)
    assert ["x is unknown"] == msgspec.json.decode(message.body)["data"]["warnings"]
    (message,) = write(Succeeded)
    assert "warnings" not in msgspec.json.decode(message.body)["data"]


def test_a_repeated_id_with_another_body_is_told() -> None:
    """Its sender believes that this body is in the CRM."""
    encoder = Encoder(TOPOLOGY, portal_host="portal.example")
    delivery: Any = Delivered()
    outcome = Imported(77, duplicate=True, other_body=True)
    data = document(encoder.result(Settlement(item_event("order 1"), delivery, outcome), NOW))[
        "data"
    ]
    assert data["duplicate"]
    assert "another body was imported under this id" in data["warnings"][0]


def test_failed_event_and_its_dead_letter_tell_what_was_dropped() -> None:
    """The reason of a refusal is often a member or field that was ignored."""
    encoder = Encoder(TOPOLOGY, portal_host="portal.example")
    event = replace(item_event("order 1"), notes=("no id was given",))
    delivery: Any = Delivered()
    settlement = Settlement(event, delivery, REJECTED, 1, "b1", ("x is unknown",))
    result, letter = written(encoder, settlement)
    assert ["no id was given", "x is unknown"] == document(result)["data"]["warnings"]
    told = (letter.properties.headers or {})["import_warnings"]
    assert "no id was given\nx is unknown" == told
    assert "import_warnings" not in headers_of(Message())


def test_warnings_in_a_dead_letter_are_bounded() -> None:
    """The result has them whole."""
    event = replace(item_event("order 1"), notes=("x" * 900, "y" * 900))
    delivery: Any = Delivered()
    encoder = Encoder(TOPOLOGY, portal_host="p")
    result, letter = written(encoder, Settlement(event, delivery, REJECTED))
    assert WARNINGS_LIMIT == len(str((letter.properties.headers or {})["import_warnings"]))
    assert [900, 900] == [len(each) for each in document(result)["data"]["warnings"]]


def test_failed_event_is_written_as_promised() -> None:
    """Fill every member of the contract."""
    event, letter = write(REJECTED)
    assert ("failed", "failed.2", "dead_letter", "dlx") == (
        event.target,
        event.routing_key,
        letter.target,
        letter.exchange,
    )
    assert {
        "eventId": "order 1",
        "entityTypeId": 2,
        "failedAt": "2026-03-04T05:06:07.089Z",
        "attempts": 1,
        "batchId": "b1",
        "error": {
            "kind": "rejected",
            "code": "BX_INVALID_VALUE",
            "message": "wrong title",
            "httpStatus": 200,
        },
    } == document(event)["data"]


def test_unreadable_type_is_unknown_and_null() -> None:
    """Route what has no type, and say that no call was made."""
    failed = Failed(FailureKind.MALFORMED, "NOT_JSON", "not JSON")
    event, letter = write(failed, malformed("m"), attempts=0, batch_id=None)
    data = document(event)["data"]
    assert "failed.unknown" == event.routing_key
    assert (None, 0, None, None) == (
        data["entityTypeId"],
        data["attempts"],
        data["batchId"],
        data["error"]["httpStatus"],
    )
    headers = letter.properties.headers or {}
    assert {"import_http_status", "import_batch_id"}.isdisjoint(headers)
    assert 0 == headers["import_attempts"]


def test_results_are_persistent_and_named_by_their_id() -> None:
    """Let a consumer drop repeated ids without opening the body."""
    (event,) = write(Succeeded)
    properties = event.properties
    assert document(event)["id"] == properties.message_id
    assert (2, "application/cloudevents+json; charset=UTF-8") == (
        properties.delivery_mode,
        properties.content_type,
    )


def test_success_has_one_id_per_event() -> None:
    """Change it with the event, not with the body or the try."""

    def unique(event: ItemEvent) -> str:
        return str(document(write(Succeeded, event)[0])["id"])

    first = unique(item_event("a"))
    assert first == unique(item_event("a", body="other", redrive_count=3))
    assert 3 == len({first, unique(item_event("b")), unique(item_event("a", 31))})


def test_failure_has_one_id_per_event_body_and_redrive() -> None:
    """Tell a new try from a repeat."""

    def unique(event: ItemEvent) -> str:
        return str(document(write(REJECTED, event)[0])["id"])

    first = unique(item_event("a"))
    others = [
        item_event("b"),
        item_event("a", 31),
        item_event("a", body="other"),
        item_event("a", redrive_count=1),
    ]
    assert first == unique(item_event("a"))
    assert 5 == len({first, *(unique(each) for each in others)})
    assert first != document(write(Succeeded, item_event("a"))[0])["id"]


def test_id_parts_cannot_be_moved_into_each_other() -> None:
    """Keep the borders between the parts of a digest."""
    ids = {document(write(Succeeded, item_event(name))[0])["id"] for name in ('a","b', "a", 'a"')}
    assert 3 == len(ids)


@pytest.mark.parametrize(
    ("own", "external", "expected"),
    [("c-1", "x-1", "c-1"), (None, "x-1", "x-1"), ("é" * 127, "x", "é" * 127)],
)
def test_correlation_is_the_messages_own_or_the_external_id(
    own: str | None, external: str, expected: str
) -> None:
    """Prefer what upstream chose."""
    event = with_origin(item_event("a", external_id=external), Origin(correlation_id=own))
    assert expected == write(Succeeded, event)[0].properties.correlation_id


def test_long_correlation_is_hashed() -> None:
    """Count bytes: AMQP allows 255."""
    event = with_origin(item_event("a"), Origin(correlation_id="é" * 128))
    correlation = write(Succeeded, event)[0].properties.correlation_id or ""
    assert correlation.startswith("sha256:")
    assert 255 >= len(correlation.encode())


def test_trace_is_passed_on() -> None:
    """Carry traceparent and tracestate as extensions."""
    event = with_origin(
        item_event("a"), Origin(trace={"traceparent": "00-1", "tracestate": "a=b"})
    )
    written = document(write(Succeeded, event)[0])
    assert ("00-1", "a=b") == (written["traceparent"], written["tracestate"])


@pytest.fixture
def secret() -> Iterator[str]:
    """Have logs that mask a secret of ours, and one so short that texts have it by chance."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logs(level="INFO", style="json", secrets=["s3cret-of-the-hook", "guest"])
    yield "s3cret-of-the-hook"
    root.handlers[:] = before[0]
    root.setLevel(before[1])


def test_no_secret_of_ours_is_told_whatever_the_portal_says(secret: str) -> None:
    """It may repeat the address of the call; results and dead letters go to others."""
    said = f"guest: bad call of https://x/rest/1/{secret}/crm.item"
    result, letter = write(Failed(FailureKind.REJECTED, "X", said, 200))
    told = "guest: bad call of https://x/rest/1/***/crm.item"
    headers = letter.properties.headers or {}
    message = msgspec.json.decode(result.body)["data"]["error"]["message"]
    assert (told, told) == (message, headers["import_error_message"])


def test_a_secret_at_the_end_of_what_is_told_is_masked_whole(secret: str) -> None:
    """Cut first, half of it would leave."""
    refused = classify_item("X", "x" * (TEXT_LIMIT - 5) + secret)
    result, letter = write(rejected(refused))
    message = str(msgspec.json.decode(result.body)["data"]["error"]["message"])
    for told in (message, str((letter.properties.headers or {})["import_error_message"])):
        assert "x***" in told
        assert secret[:5] not in told


def test_error_message_ends_at_a_thousand_characters() -> None:
    """Shorten it in the event and in the letter."""
    event, letter = write(Failed(FailureKind.REJECTED, "X", "é" * 5_000))
    assert 1_000 == len(document(event)["data"]["error"]["message"])
    assert 1_000 == len(str((letter.properties.headers or {})["import_error_message"]))


def test_dead_letter_keeps_body_headers_and_properties() -> None:
    """Copy everything but what the broker or we must set."""
    original = Basic.Properties(
        content_type="application/json",
        content_encoding="identity",
        headers={"tenant": "north", "x-death": [{"count": 1}]},
        delivery_mode=1,
        priority=4,
        correlation_id="c-1",
        reply_to="answers",
        expiration="60000",
        message_id="m-1",
        timestamp=NOW,
        message_type="item",
        user_id="guest",
        app_id="shop",
    )
    letter = write(REJECTED, None, Message(original, body=b"\x00\xff"))[1]
    kept = letter.properties
    assert b"\x00\xff" == letter.body
    assert ("application/json", "identity", 4, "c-1", "answers", NOW, "item", "shop") == (
        kept.content_type,
        kept.content_encoding,
        kept.priority,
        kept.correlation_id,
        kept.reply_to,
        kept.timestamp,
        kept.message_type,
        kept.app_id,
    )
    assert (2, None, None) == (kept.delivery_mode, kept.expiration, kept.user_id)
    assert kept.message_id not in {None, "m-1"}
    headers = kept.headers or {}
    assert ("north", [{"count": 1}]) == (headers["tenant"], headers["x-death"])


def test_dead_letter_says_why_and_where_from() -> None:
    """Write exactly the headers of the contract."""
    message = Message(Basic.Properties(message_id="m-1"))
    assert {
        "import_error_kind": "rejected",
        "import_error_code": "BX_INVALID_VALUE",
        "import_error_message": "wrong title",
        "import_http_status": 200,
        "import_attempts": 1,
        "import_failed_at": "2026-03-04T05:06:07.089Z",
        "import_event_id": "order 1",
        "import_batch_id": "b1",
        "import_original_exchange": "crm.items",
        "import_original_routing_key": "item.2",
        "import_original_message_id": "m-1",
        "import_redrive_count": 0,
    } == headers_of(message)


def test_dead_letter_of_a_redriven_message_has_new_headers_of_ours() -> None:
    """Leave nothing of an earlier letter."""
    old: dict[str, Any] = {
        "import_batch_id": "old",
        "import_dropped_headers": "a",
        "tenant": "north",
    }
    headers = headers_of(Message(Basic.Properties(headers=old)))
    assert ("b1", "north") == (headers["import_batch_id"], headers["tenant"])
    assert "import_dropped_headers" not in headers


def test_a_header_of_upstream_that_only_looks_like_ours_stays() -> None:
    """It is theirs, whatever its name; what is too large of it is dropped."""
    theirs: dict[str, Any] = {"import_job": "nightly", "import_dump": "x" * 130_000}
    headers = headers_of(Message(Basic.Properties(headers=theirs)))
    assert ("nightly", "import_dump") == (headers["import_job"], headers["import_dropped_headers"])


def test_every_header_that_is_written_is_known_as_ours() -> None:
    """Else a message that comes again would carry it twice, the old one too."""
    folder = Path(encoding.__file__).parent
    texts = [path.read_text() for path in folder.glob("*.py")]
    written = {name for text in texts for name in re.findall(r'"(import_[a-z_]+[a-z])"', text)}
    assert OURS == written | {*DeadLetterHeaders.__struct_fields__}


def test_no_header_of_ours_begins_with_x() -> None:
    """Leave that name space to the broker."""
    assert not [name for name in headers_of(Message()) if name.startswith("x-")]


def test_headers_of_ours_stay_below_twelve_kilobytes() -> None:
    """Bound all, whatever the names and the portal's words; the id is kept whole."""
    failed = Failed(FailureKind.REJECTED, "C" * 5_000, "😀" * 5_000, 200)
    message = Message(
        Basic.Properties(message_id="é" * 127), exchange="é" * 127, routing_key="é" * 127
    )
    letter = write(failed, item_event("😀" * 1_000), message)[1]
    ours = Basic.Properties(headers=letter.properties.headers)
    assert 12_000 > len(ContentHeader(properties=ours).marshal())
    headers = letter.properties.headers or {}
    assert "😀" * 1_000 == headers["import_event_id"]
    assert headers["import_error_message"]


def test_headers_that_do_not_fit_are_dropped_largest_first_and_named() -> None:
    """Keep the small ones, and stay below the frame."""
    headers: dict[str, Any] = {"big": "b" * 110_000, "bigger": "b" * 112_000, "small": "s"}
    letter = write(REJECTED, None, Message(Basic.Properties(headers=headers)))[1]
    kept = letter.properties.headers or {}
    assert ("bigger", "s", True) == (kept["import_dropped_headers"], kept["small"], "big" in kept)
    assert 131_064 > len(ContentHeader(properties=letter.properties).marshal())


def test_many_headers_fit_too() -> None:
    """Count what each takes, not only the large ones."""
    headers: dict[str, Any] = {f"header-{number}": "v" * 200 for number in range(2_000)}
    letter = write(REJECTED, None, Message(Basic.Properties(headers=headers)))[1]
    assert 131_064 > len(ContentHeader(properties=letter.properties).marshal())
    assert 1_000 == len(str((letter.properties.headers or {})["import_dropped_headers"]))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -1,
        2**62,
        1.5,
        Decimal("1.5"),
        NOW,
        bytearray(b"\xff"),
        ["a", {"b": None}],
        {"c": [1]},
    ],
)
def test_header_of_any_amqp_type_survives(value: Any) -> None:  # noqa: ANN401 - any type
    """Write back what the broker may have handed over."""
    headers = headers_of(Message(Basic.Properties(headers={"theirs": value})))
    assert value == headers["theirs"]


def test_header_that_cannot_be_written_is_dropped_and_named() -> None:
    """Never let one header keep a letter from being published."""
    headers = headers_of(Message(Basic.Properties(headers={"odd": 2**70})))
    assert "odd" == headers["import_dropped_headers"]
    assert "odd" not in headers


def with_origin(event: ItemEvent, origin: Origin) -> ItemEvent:
    """Return the event with another origin."""
    return ItemEvent(
        entity_type_id=event.entity_type_id,
        event_id=event.event_id,
        fields=event.fields,
        original_names=event.original_names,
        digest=event.digest,
        external_id=event.external_id,
        origin=origin,
    )
