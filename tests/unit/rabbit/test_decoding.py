"""Decoder: what an item event is, byte for byte, and that nothing at all makes it raise."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.events import ExternalId, ItemEvent, Malformed, MalformedCode, Reference
from service.domain.external_id import ExternalIds
from service.rabbit.bodies import unpacked
from service.rabbit.decoding import Decoder, Incoming

LIMIT = 10_000
FIELDS = '"fields":{"title":"x"}'
PLAIN = f'{{"entityTypeId":2,{FIELDS}}}'
STRUCTURED = "application/cloudevents+json"


def decode(
    body: str | bytes,
    headers: Mapping[str, Any] | None = None,
    *,
    content_type: str | None = None,
    encoding: str | None = None,
    message_id: str | None = None,
) -> ItemEvent | Malformed:
    """Decode one message."""
    decoder = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=LIMIT)
    return decoder.decode(
        Incoming(
            body=body.encode() if isinstance(body, str) else body,
            headers=headers or {},
            content_type=content_type,
            content_encoding=encoding,
            message_id=message_id,
        )
    )


def good(*args: Any, **named: Any) -> ItemEvent:
    """Decode one message that is an item event."""
    event = decode(*args, **named)
    assert isinstance(event, ItemEvent), event
    return event


def bad(*args: Any, **named: Any) -> Malformed:
    """Decode one message that is none."""
    event = decode(*args, **named)
    assert isinstance(event, Malformed), event
    return event


@pytest.mark.parametrize(
    "fields",
    [
        '{"a":1.10,"b":1e5,"c":-0.0,"d":1E+2}',
        '{"n":123456789012345678901234567890}',
        '{"s":"\\u00e9\\/\\n","t":"é"}',
        '{ "a" : [ 1 , {"b" : null} ] }',
        '{"z":1,"a":2,"z2":true}',
    ],
)
def test_fields_pass_byte_for_byte(fields: str) -> None:
    """Keep numbers, escapes, order and white space as they were written."""
    plain = good(f'{{"entityTypeId":2,"fields":{fields}}}')
    wrapped = good(
        f'{{"id":"1","source":"s","data":{{"fields":{fields},"entityTypeId":2}}}}',
        content_type=STRUCTURED,
    )
    assert [fields.encode()] * 2 == [bytes(plain.fields), bytes(wrapped.fields)]


@pytest.mark.parametrize(
    ("written", "expected"), [("2", 2), ('"31"', 31), ("2147483647", 2**31 - 1)]
)
def test_entity_type_is_an_integer_or_a_numeric_string(written: str, expected: int) -> None:
    """Read both spellings."""
    assert expected == good(f'{{"entityTypeId":{written},{FIELDS}}}').entity_type_id


@pytest.mark.parametrize(
    "written",
    ["true", "0", "-1", "2.0", "2147483648", '"2.0"', '" 2"', '"٢"', '""', "null", "[2]"],
)
def test_anything_else_is_no_entity_type(written: str) -> None:
    """Refuse it as the wrong shape, and name no type."""
    event = bad(f'{{"entityTypeId":{written},"id":"a",{FIELDS}}}')
    expected = (MalformedCode.WRONG_SHAPE, None, "a")
    assert expected == (event.code, event.entity_type_id, event.event_id)


@pytest.mark.parametrize(
    ("written", "expected"),
    [('"Y"', True), ('"N"', False), ("true", True), ("false", False), ("null", False)],
)
def test_original_names_are_a_letter_or_a_boolean(written: str, *, expected: bool) -> None:
    """Read both spellings."""
    event = good(f'{{"entityTypeId":2,{FIELDS},"useOriginalUfNames":{written}}}')
    assert expected == event.original_names


@pytest.mark.parametrize("written", ['"y"', "1", '""', "[]"])
def test_other_original_names_are_malformed(written: str) -> None:
    """Guess nothing."""
    event = bad(f'{{"entityTypeId":2,{FIELDS},"useOriginalUfNames":{written}}}')
    assert MalformedCode.WRONG_SHAPE == event.code


@pytest.mark.parametrize("fields", ["{}", "[]", "null", '"a"', "1"])
def test_fields_are_an_object_with_members(fields: str) -> None:
    """Refuse what cannot be an item."""
    event = bad(f'{{"entityTypeId":2,"fields":{fields}}}')
    assert (MalformedCode.WRONG_SHAPE, 2) == (event.code, event.entity_type_id)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "x",
        "[",
        PLAIN + "x",
        PLAIN + "\ufeff",
        '{"entityTypeId":2,"fields":{"a":NaN}}',
        '{"entityTypeId":2,"fields":{"a":1e400}}',
        '{"entityTypeId":2,"fields":{"a":[-1.5E+309]}}',
        '{"entityTypeId":2,"fields":{"a":' + "1" * 400 + ".5}}",
        '{"entityTypeId":2,"fields":{"a":[{"b":-' + "1" * 400 + "}]}}",
        '{"entityTypeId":2,"fields":{"a":' + "1" * 5_000 + "}}",
        '{"entityTypeId":2,"fields":{"a":' + "2" * 309 + "}}",
        '{"entityTypeId":2,"fields":{"a":-Infinity}}',
        '{"entityTypeId":2,"fields":{"a":"\\ud800"}}',
        '{"entityTypeId":2,"fields":{"a":{"b":1,"b":1}}}',
        '{"entityTypeId":2,"entityTypeId":2,"fields":{"a":1}}',
        '{"entityTypeId":2,"fields":{"a":01}}',
        b'{"entityTypeId":2,"fields":{"a":"\xff"}}',
    ],
)
def test_only_strict_json_is_json(body: str | bytes) -> None:
    """Refuse NaN, repeated names, lone surrogates, other encodings and trailing text."""
    assert MalformedCode.NOT_JSON == bad(body).code


@pytest.mark.parametrize("body", ["[]", "1", "null", '"a"', "{}"])
def test_other_json_is_the_wrong_shape(body: str) -> None:
    """Tell it from what is no JSON."""
    assert MalformedCode.WRONG_SHAPE == bad(body).code


@pytest.mark.parametrize(
    "number",
    [
        "9" * 308,
        "1" * 309,
        "1" * 400 + "e-200",
        "0." + "1" * 5_000,
        "1e308",
        "1e-400",
        "1e-0" + "0" * 400,
    ],
)
def test_long_numbers_stay_as_they_are(number: str) -> None:
    """Every digit goes to the portal; what a computer rounds is not ours to judge."""
    event = good(f'{{"entityTypeId":2,"fields":{{"a":{number},"b":"1e400"}}}}')
    assert f'{{"a":{number},"b":"1e400"}}'.encode() == bytes(event.fields)


def test_a_byte_order_mark_is_skipped() -> None:
    """At the start of a body, packed or not, and of what is in an envelope."""
    marked = "\ufeff" + PLAIN
    encoded = base64.b64encode(marked.encode()).decode()
    envelope = f'\ufeff{{"id":"7","source":"s","data_base64":"{encoded}"}}'
    for event in (
        good(marked),
        good("\ufeff" + marked),
        good(gzip.compress(marked.encode()), encoding="gzip"),
        good(envelope, content_type=STRUCTURED),
    ):
        assert b'{"title":"x"}' == bytes(event.fields)


def test_nesting_ends_at_64_levels() -> None:
    """Count the body, its fields and what is in them."""

    def nested(levels: int) -> str:
        inner = "[" * (levels - 2) + "]" * (levels - 2)
        return f'{{"entityTypeId":2,"fields":{{"a":{inner}}}}}'

    good(nested(64))
    for levels in (65, 200, 4_000):
        event = bad(nested(levels))
        assert MalformedCode.WRONG_SHAPE == event.code
        assert "64 levels" in event.message


def test_brackets_in_text_are_not_nesting() -> None:
    """Nor are digits, commas and exponents there numbers."""
    good(
        '{"entityTypeId":2,"fields":{"a":"'
        + "[{" * 200
        + '\\\\","b":"\\"['
        + "[" * 100
        + ' 1e999"}}'
    )


def test_many_shallow_brackets_are_not_deep() -> None:
    """Measure depth, not the number of brackets."""
    good('{"entityTypeId":2,"fields":{"a":[' + ",".join(["[]"] * 200) + "]}}")


@pytest.mark.parametrize(
    "encoding",
    [
        *(None, "", "identity", "utf-8", "UTF-8", " identity ", "utf8", "us-ascii"),
        *("identity,UTF_8", "UTF8;q=1", "identity; charset=utf-8; q=0.5", '"utf-8"', "csUTF8"),
        *("ISO_646.irv:1991", "ANSI_X3.4-1986", "IBM367", "utf 8", "UTF-8-BOM", "utf8mb4"),
        *("Unicode (UTF-8)", "System.Text.UTF8Encoding+UTF8EncodingSealed"),
    ],
)
def test_plain_encodings_are_read_as_they_are(encoding: str | None) -> None:
    """Accept every way to say that nothing was encoded."""
    good(PLAIN, encoding=encoding)


def test_gzip_is_read_and_identified_by_what_it_holds() -> None:
    """Give a compressed body the digest of the plain one."""
    packed = good(gzip.compress(PLAIN.encode()), encoding="GZIP")
    assert good(PLAIN).digest == packed.digest
    assert hashlib.sha256(PLAIN.encode()).hexdigest() == packed.digest


@pytest.mark.parametrize(
    "body", [b"", b"x", PLAIN.encode(), gzip.compress(PLAIN.encode(), mtime=0)[:-9]]
)
def test_broken_gzip_is_an_unknown_encoding(body: bytes) -> None:
    """Refuse what cannot be unpacked whole."""
    assert MalformedCode.UNKNOWN_ENCODING == bad(body, encoding="gzip").code


@pytest.mark.parametrize(
    "encoding",
    [
        "x-gzip",
        "X-GZIP",
        "gzip,utf-8",
        "gzip:UTF-8",
        "utf-8;gzip",
        "UTF8, x-gzip",
        "us-ascii gzip",
        "gzip;level=9, utf-8",
    ],
)
def test_gzip_may_come_with_the_name_of_its_text(encoding: str) -> None:
    """In either order, as clients put two post processors together."""
    good(gzip.compress(PLAIN.encode()), encoding=encoding)


@pytest.mark.parametrize(
    "encoding",
    [
        *("br", "gzip, gzip", "x" * 500, "utf-16", "latin-1", "gzip,br", "gzip,utf-8,identity"),
        *("br;q=1", "identity;charset=latin-1", "q=1", "utf-8-base64", "unicode", "gzip-utf-8"),
    ],
)
def test_other_encodings_are_unknown(encoding: str) -> None:
    """Refuse them by name, shortened."""
    event = bad(PLAIN, encoding=encoding)
    assert MalformedCode.UNKNOWN_ENCODING == event.code
    assert 200 > len(event.message)


def test_size_is_measured_after_decompression() -> None:
    """Stop at a bomb; admit exactly the limit."""
    bomb = gzip.compress(b" " * 5_000_000)
    assert MalformedCode.MESSAGE_TOO_LARGE == bad(bomb, encoding="gzip").code
    good(PLAIN + " " * (LIMIT - len(PLAIN)))
    assert MalformedCode.MESSAGE_TOO_LARGE == bad(PLAIN + " " * (LIMIT + 1 - len(PLAIN))).code


def test_a_packed_body_counts_as_it_came_too() -> None:
    """Many empty parts unpack to nothing."""
    bomb = gzip.compress(b"") * (LIMIT // 20 + 1)
    assert LIMIT < len(bomb)
    assert MalformedCode.MESSAGE_TOO_LARGE == bad(bomb, encoding="gzip").code


def test_a_body_may_have_several_parts() -> None:
    """As tools write that pack in parallel; very many are refused."""
    half = len(PLAIN) // 2
    parts = [gzip.compress(part.encode()) for part in (PLAIN[:half], "", PLAIN[half:])]
    good(b"".join(parts), encoding="gzip")
    assert unpacked(gzip.compress(b"") * 1000, LIMIT) == b""
    assert unpacked(gzip.compress(b"") * 1001, LIMIT) is None


@pytest.mark.parametrize("content_type", [None, "", "application/json", "text/plain", "nonsense"])
def test_unknown_content_types_are_plain(content_type: str | None) -> None:
    """Read the body as the item event itself."""
    good(PLAIN, content_type=content_type)


@pytest.mark.parametrize(
    "content_type", [STRUCTURED, "Application/CloudEvents+JSON ; charset=UTF-8"]
)
def test_structured_cloud_event_carries_the_item_event(content_type: str) -> None:
    """Compare the content type without case and parameters."""
    body = f'{{"specversion":"1.0","id":"7","source":"/shop","type":"t","data":{PLAIN}}}'
    assert "/shop 7" == good(body, content_type=content_type).event_id


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/json", "application/cloudevents-batch+json"]
)
def test_an_envelope_is_known_by_its_members(content_type: str | None) -> None:
    """Many senders name the content type of what is inside."""
    event = good(
        f'{{"specversion":"1.0","id":"o-1","source":"shop","traceparent":"00-1","data":{PLAIN}}}',
        {"cloudEvents_id": "other"},
        content_type=content_type,
    )
    assert ("shop o-1", {"traceparent": "00-1"}) == (event.event_id, dict(event.origin.trace))


@pytest.mark.parametrize("without", ["specversion", "id", "source", "data"])
def test_less_than_an_envelope_is_none(without: str) -> None:
    """An item event may have such members, too; a type of item says that it is one."""
    document = {"specversion": "1.0", "id": "o-1", "source": "shop", "data": json.loads(PLAIN)}
    del document[without]
    assert MalformedCode.WRONG_SHAPE == bad(json.dumps(document)).code
    item = {**document, **json.loads(PLAIN), "id": "own"}
    assert "own" == good(json.dumps(item)).event_id


def test_a_null_beside_the_data_of_an_envelope_is_nothing() -> None:
    """In either member; two nulls are no item event."""
    encoded = base64.b64encode(PLAIN.encode()).decode()
    head = '{"specversion":"1.0","id":"7","source":"s"'
    for envelope in (
        f'{head},"data":{PLAIN},"data_base64":null}}',
        f'{head},"data":null,"data_base64":"{encoded}"}}',
    ):
        assert b'{"title":"x"}' == bytes(good(envelope).fields)
    for envelope in (f'{head},"data":null,"data_base64":null}}', f'{head},"data":null}}'):
        assert MalformedCode.WRONG_SHAPE == bad(envelope).code


def test_structured_cloud_event_may_be_base64() -> None:
    """Read `data_base64` as bytes of JSON."""
    encoded = base64.b64encode(PLAIN.encode()).decode()
    body = json.dumps({"id": "7", "source": "s", "data_base64": encoded})
    event = good(body, content_type=STRUCTURED)
    assert ("s 7", b'{"title":"x"}') == (event.event_id, bytes(event.fields))


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        f'{{"id":"7","data":{PLAIN}}}',
        f'{{"source":"s","data":{PLAIN}}}',
        f'{{"id":"","source":"s","data":{PLAIN}}}',
        f'{{"id":7,"source":"s","data":{PLAIN}}}',
        '{"id":"7","source":"s"}',
        f'{{"id":"7","source":"s","data":{PLAIN},"data_base64":"e30="}}',
        '{"id":"7","source":"s","data":"text"}',
        '{"id":"7","source":"s","data_base64":"?"}',
        '{"id":"7","source":"s","data_base64":"é"}',
        '{"id":"7","source":"s","data_base64":1}',
    ],
)
def test_broken_envelope_is_the_wrong_shape(body: str) -> None:
    """Require id and source, and exactly one of the two kinds of data."""
    assert MalformedCode.WRONG_SHAPE == bad(body, content_type=STRUCTURED).code


def test_batch_format_is_malformed() -> None:
    """Say that one message carries one event."""
    event = bad(f"[{PLAIN}]", content_type="application/cloudevents-batch+json")
    assert MalformedCode.WRONG_SHAPE == event.code
    assert "batch" in event.message


@pytest.mark.parametrize("prefix", ["cloudEvents_", "cloudEvents:", "cloudevents_"])
def test_binary_cloud_event_has_its_attributes_in_headers(prefix: str) -> None:
    """Accept both separators; strings may come as bytes."""
    headers = {f"{prefix}id": b"7", f"{prefix}source": "s", f"{prefix}specversion": "1.0"}
    assert "s 7" == good(PLAIN, headers).event_id


@pytest.mark.parametrize(
    "headers", [{"cloudEvents_id": "7"}, {"cloudEvents_source": "s"}, {"cloudEvents_type": "t"}]
)
def test_binary_cloud_event_needs_id_and_source(headers: Mapping[str, Any]) -> None:
    """Refuse half a CloudEvent; its type can be read all the same, also in an envelope."""
    envelope = json.dumps({"id": "7", "data": json.loads(PLAIN)})
    for told in (
        bad(PLAIN, headers),
        bad(envelope, content_type="application/cloudevents+json"),
    ):
        assert (MalformedCode.WRONG_SHAPE, 2) == (told.code, told.entity_type_id)


def test_id_comes_from_the_first_that_has_one() -> None:
    """Prefer redriven, then CloudEvents, then the body, then the message, then its digest."""
    own = f'{{"entityTypeId":2,"id":"own",{FIELDS}}}'
    cloud = {"cloudEvents_id": "7", "cloudEvents_source": "s"}
    redriven = {"import_event_id": "first", **cloud}
    digest = "sha256:" + hashlib.sha256(PLAIN.encode()).hexdigest()
    assert ["first", "s 7", "own", "amqp", digest] == [
        good(own, redriven, message_id="amqp").event_id,
        good(own, cloud, message_id="amqp").event_id,
        good(own, message_id="amqp").event_id,
        good(PLAIN, message_id="amqp").event_id,
        good(PLAIN).event_id,
    ]


@pytest.mark.parametrize(
    ("written", "expected"), [("0", "0"), ("-5", "-5"), (f"{10**30}", f"{10**30}")]
)
def test_integer_id_is_written_in_decimal(written: str, expected: str) -> None:
    """Keep every digit."""
    assert expected == good(f'{{"entityTypeId":2,"id":{written},{FIELDS}}}').event_id


@pytest.mark.parametrize("written", ["true", "1.5", "[]", "{}"])
def test_other_ids_are_malformed_and_named_by_their_message(written: str) -> None:
    """Fall back to the message id, so that the letter can be found."""
    event = bad(f'{{"entityTypeId":2,"id":{written},{FIELDS}}}', message_id="amqp")
    assert "amqp" == event.event_id


@pytest.mark.parametrize("length", [1_000, 1_001])
def test_an_id_has_at_most_a_thousand_characters(length: int) -> None:
    """A longer one is malformed, and named by what it holds; its type is told."""
    long, is_good = "é" * length, length == 1_000
    read = good if is_good else bad
    body = f'{{"entityTypeId":2,"id":"{long}",{FIELDS}}}'
    digest = "sha256:" + hashlib.sha256(body.encode()).hexdigest()
    event = read(body, message_id="amqp")
    expected = long if is_good else digest
    assert (expected, 2) == (event.event_id, event.entity_type_id)
    split = {"cloudEvents_id": "x" * (length - 2), "cloudEvents_source": "s"}
    assert length == len("s " + split["cloudEvents_id"])
    read(PLAIN, split)


def test_a_packed_body_without_id_is_named_by_what_it_holds() -> None:
    """Malformed or not."""
    body = b'{"entityTypeId":2}'
    event = bad(gzip.compress(body), encoding="gzip")
    assert "sha256:" + hashlib.sha256(body).hexdigest() == event.event_id


@pytest.mark.parametrize("fault", ['"id":[1],"entityTypeId":7', '"entityTypeId":7,"id":true'])
def test_a_readable_type_is_told_whatever_else_is_wrong(fault: str) -> None:
    """The failed event goes where its type's results go."""
    assert 7 == bad(f"{{{fault},{FIELDS}}}").entity_type_id


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ('{"messageId":"1","messageType":["urn:message:A:B"],"message":{}}', "MassTransit"),
        ('[[],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]', "Celery"),
        ('{"pattern":"import","data":{"entityTypeId":2}}', "NestJS"),
        ('{"EntityTypeId":2,"Fields":{"title":"x"}}', "CamelCase"),
        ('"{\\"entityTypeId\\":2}"', "encoded twice"),
        (f"[{PLAIN},{PLAIN}]", "one event a message"),
        ('[{"specversion":"1.0"}]', "batch"),
        (gzip.compress(PLAIN.encode()), "content_encoding to gzip"),
        *((PLAIN.encode(name), "UTF-16") for name in ("utf-16", "utf-16-le", "utf-16-be")),
        (b"\0Sw\xa1\x02{}", "AMQP 1.0"),
        (b"\xac\xed\x00\x05sr", "Java"),
        (b"\x80\x04\x95", "pickle"),
        ("<item/>", "XML"),
    ],
)
def test_what_frameworks_send_is_recognised(body: str | bytes, hint: str) -> None:
    """The message says what it looks like and what to do."""
    assert hint in bad(body).message


def test_malformed_message_keeps_its_trace_and_its_redrive_count() -> None:
    """Pass on what the result event needs."""
    event = bad("x", {"import_redrive_count": 2, "traceparent": b"00-1"}, message_id="m")
    expected = ("m", 2, {"traceparent": "00-1"})
    assert expected == (event.event_id, event.origin.redrive_count, dict(event.origin.trace))


def test_trace_of_an_envelope_is_passed_on() -> None:
    """Read traceparent and tracestate as CloudEvents extensions too."""
    body = f'{{"id":"7","source":"s","traceparent":"00-1","tracestate":"a=b","data":{PLAIN}}}'
    trace = good(body, content_type=STRUCTURED).origin.trace
    assert {"traceparent": "00-1", "tracestate": "a=b"} == dict(trace)


def test_a_trace_without_end_is_not_passed_on() -> None:
    """A result stays small, whatever its event brings; in a header or in an envelope."""
    short, endless = "a=" + "b" * 512, "a=" + "b" * 9_000
    for state, expected in ((short, {"tracestate": short}), (endless, {})):
        assert expected == dict(good(PLAIN, {"tracestate": state}).origin.trace)
        envelope = f'{{"id":"7","source":"s","tracestate":"{state}","data":{PLAIN}}}'
        assert expected == dict(good(envelope, content_type=STRUCTURED).origin.trace)


def test_external_id_is_added_only_where_the_event_has_none() -> None:
    """Stamp ours; keep a brought one and look it up."""
    ours = good(f'{{"entityTypeId":2,"id":"a",{FIELDS}}}')
    assert b'"originId":"a","originatorId":"crm-importer",' == ours.stamp
    theirs = good('{"entityTypeId":31,"id":"a","fields":{"xmlId":"mine"}}')
    assert b"" == theirs.stamp
    assert theirs.external_id is not None
    assert "mine" == theirs.external_id.value


HEADERS = st.dictionaries(
    st.sampled_from(
        ["cloudEvents_id", "cloudEvents:source", "import_event_id", "import_redrive_count", "x"]
    )
    | st.text(st.characters(codec="utf-8"), max_size=20),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=20)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.lists(st.integers(), max_size=2),
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["entityTypeId", "fields", "id", "data", "source", "useOriginalUfNames"]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
TYPES = st.sampled_from(
    [None, STRUCTURED, "application/json", "application/cloudevents-batch+json"]
)
ENCODINGS = st.sampled_from([None, "gzip", "identity", "br"])


@given(st.binary(max_size=200), HEADERS, TYPES, ENCODINGS)
def test_no_bytes_make_it_raise(
    body: bytes, headers: dict[str, Any], content_type: str | None, encoding: str | None
) -> None:
    """Return something with an id for anything at all."""
    assert decode(body, headers, content_type=content_type, encoding=encoding).event_id


@given(JSON, HEADERS, TYPES, st.booleans())
def test_no_json_makes_it_raise(
    document: object,
    headers: dict[str, Any],
    content_type: str | None,
    packed: bool,  # noqa: FBT001 - given by position
) -> None:
    """Return an event or say why not, for any document."""
    body = json.dumps(document).encode("utf-8", "surrogatepass")
    encoding = "gzip" if packed else None
    body = gzip.compress(body) if packed else body
    event = decode(body, headers, content_type=content_type, encoding=encoding)
    if isinstance(event, Malformed):
        assert 1 <= len(event.message) <= 1000


def test_blank_external_ids_give_way_to_the_stamp_and_the_rest_stays_byte_for_byte() -> None:
    """A repeated member would leave it to the portal's JSON reader which one counts."""
    fields = (
        '{"originId":null,"n": 1.10 ,"big":89701010000000000000,"originatorId":"","\\u0061":"é"}'
    )
    event = good(f'{{"entityTypeId":2,"id":"o","fields":{fields}}}')
    assert b'{"n":1.10,"big":89701010000000000000,"a":"\xc3\xa9"}' == bytes(event.fields)
    assert b'"originId":"o","originatorId":"crm-importer",' == event.stamp


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ('"eventId":"x"', 'the member "eventId" is ignored: did you mean id?'),
        ('"ID":"x"', 'the member "ID" is ignored: did you mean id?'),
        (
            '"useOriginalUfName":"Y"',
            'the member "useOriginalUfName" is ignored: did you mean useOriginalUfNames?',
        ),
        (
            '"entity_type_id":2',
            'the member "entity_type_id" is ignored: did you mean entityTypeId',
        ),
        (
            '"action":"update"',
            'the member "action" is ignored: the importer knows only entityTypeId',
        ),
    ],
)
def test_a_member_that_is_ignored_is_said(members: str, said: str) -> None:
    """With the name that was meant, where one is alike."""
    (note,) = good(f'{{"entityTypeId":2,"id":"o",{FIELDS},{members}}}').notes
    assert note.startswith(said)


def test_an_event_without_an_id_is_told_so() -> None:
    """Not where the message has one, nor where CloudEvents brings it."""
    (note,) = good(PLAIN).notes
    assert note.startswith("no id was given")
    assert () == good(PLAIN, message_id="m").notes
    cloud = f'{{"id":"1","source":"s","ext":"x","data":{PLAIN}}}'
    assert () == good(cloud, content_type=STRUCTURED).notes


def test_a_malformed_event_says_which_of_its_members_are_ignored() -> None:
    """The misspelt member is why the right one is missing."""
    note, no_id = bad(f'{{"entityType":2,{FIELDS}}}').notes
    assert 'the member "entityType" is ignored: did you mean entityTypeId?' == note
    assert no_id.startswith("no id was given")
    assert [note] == [*bad(f'{{"entityType":2,"id":"a",{FIELDS}}}').notes]


def test_what_is_in_the_envelope_of_a_framework_is_named_by_its_own_id() -> None:
    """Its members are its own; an id that is none hides no advice."""
    told = bad('{"EntityTypeId":2,"Fields":{"a":1},"id":"caps"}')
    assert ("caps", ()) == (told.event_id, told.notes)
    assert "no item event" in told.message
    assert "no item event" in bad('{"jsonrpc":"2.0","method":"m","id":{}}').message


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("{nope", {}),
        ("{}", {"encoding": "br"}),
        (f"[{PLAIN}]", {"content_type": "application/cloudevents-batch+json"}),
        ('{"entityTypeId":2}', {}),
    ],
)
def test_a_cloud_event_in_headers_has_its_id_whatever_the_body_is(
    body: str, more: dict[str, Any]
) -> None:
    """And its trace."""
    headers = {
        "cloudEvents_id": "7",
        "cloudEvents_source": "/src",
        "cloudEvents_traceparent": "00-1-2-01",
    }
    told = bad(body, headers=headers, message_id="m", **more)
    assert "/src 7" == told.event_id
    assert {"traceparent": "00-1-2-01"} == told.origin.trace


def test_an_unreadable_structured_event_is_not_named_by_headers() -> None:
    """They are another one's, or nobody's."""
    headers = {"cloudEvents_id": "7", "cloudEvents_source": "/src"}
    assert "m" == bad("{", headers=headers, content_type=STRUCTURED, message_id="m").event_id


def test_notes_are_few_and_short_whatever_the_event() -> None:
    """A thousand members of a thousand letters are one mistake."""
    members = ",".join(f'"{number}{"x" * 90}":1' for number in range(99))
    notes = good(f'{{"entityTypeId":2,{FIELDS},{members}}}').notes
    assert len(notes) <= 22  # so many members, that there are more, and no id
    assert all(len(note) < 300 for note in notes)


CUSTOMER = '{"entityTypeId":3,"id":"customer-77"}'


def linked(links: str, **more: Any) -> str:
    """Write an event with links."""
    fields = more.pop("fields", '{"title":"x"}')
    rest = "".join(f',"{name}":{value}' for name, value in more.items())
    return f'{{"entityTypeId":2,"id":"o","fields":{fields},"links":{links}{rest}}}'


def test_links_are_read_whatever_the_envelope() -> None:
    """With the external id that the item of each reference carries; they are no ignored member."""
    found = Reference(
        3, "customer-77", None, ExternalId("originId", "customer-77", "crm-importer")
    )
    body = linked(f'{{"contactId":{CUSTOMER},"contactIds":[{CUSTOMER}]}}')
    for event in (
        good(body),
        good(f'{{"id":"1","source":"s","data":{body}}}', content_type=STRUCTURED),
        good(body, {"cloudEvents_id": "1", "cloudEvents_source": "s"}),
    ):
        assert {"contactId": found, "contactIds": (found,)} == event.links
        assert found.external_id == event.links["contactId"].external_id  # type: ignore[union-attr]
        assert (b'{"title":"x"}', ()) == (bytes(event.fields), event.notes)


def test_links_of_null_are_none() -> None:
    """Writers put null for what is not there."""
    assert {} == good(linked("null")).links == good(PLAIN).links


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (linked("[]"), "links must be an object"),
        (linked("{}"), "links must be an object"),
        (linked('{"contactId":77}'), 'links "contactId" must be'),
        (linked(f'{{"title":{CUSTOMER}}}'), '"title" is in fields and in links'),
        (linked('{"dealId":{"entityTypeId":2,"id":"o"}}'), "refers to itself"),
        (
            linked('{"dealId":{"entityTypeId":"2","id":"o","originatorId":"crm-importer"}}'),
            "refers to itself",
        ),
        (linked(f'{{"originId":{CUSTOMER}}}'), "the id of the event itself"),
        (linked('{"a":{"entityTypeId":3,"id":"x","type":4}}'), 'has "type"'),
        (
            linked(f'{{"UF_CRM_5":{CUSTOMER}}}', fields='{"ufCrm_5":1}', useOriginalUfNames='"Y"'),
            '"UF_CRM_5" is in fields and in links',
        ),
    ],
)
def test_a_mistake_in_links_is_malformed_and_named(body: str, said: str) -> None:
    """With the type, so that the result has a routing key."""
    malformed = bad(body)
    assert said in malformed.message
    assert (MalformedCode.WRONG_SHAPE, 2, "o") == (
        malformed.code,
        malformed.entity_type_id,
        malformed.event_id,
    )


def test_an_event_that_refers_to_itself_as_a_cloud_event_is_malformed() -> None:
    """Its id there is made of source and id."""
    itself = '{"dealId":{"entityTypeId":2,"id":"1","source":"s"}}'
    body = f'{{"id":"1","source":"s","data":{linked(itself)}}}'
    assert "refers to itself" in bad(body, content_type=STRUCTURED).message


def test_other_links_make_another_content() -> None:
    """So that a repeated id with other links is told; where there are none, nothing changes."""
    one = good(linked(f'{{"contactId":{CUSTOMER}}}'))
    several = good(linked(f'{{"contactId":[{CUSTOMER}]}}'))
    plain = good(f'{{"entityTypeId":2,"id":"o",{FIELDS}}}')
    assert 3 == len({one.content, several.content, plain.content})
    assert plain.content == good(f'{{"entityTypeId":2,"id":"o",{FIELDS},"links":null}}').content
