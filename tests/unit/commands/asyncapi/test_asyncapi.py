"""AsyncAPI: the document is official, the committed one is fresh, and what it says is true."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from service.commands import asyncapi, cli
from service.commands.asyncapi import examples
from service.commands.asyncapi.document import build
from service.domain.delivery import Settlement
from service.domain.events import ItemEvent, Malformed
from service.domain.external_id import ExternalIds
from service.domain.links import MAX_ENTITY_TYPE
from service.domain.outcomes import Failed, FailureKind, Imported, Outcome
from service.rabbit.decoding import Decoder, Incoming
from service.rabbit.encoding import Encoder, Outgoing
from service.settings.tree import Rabbit
from tests.fakes import item_event, malformed
from tests.unit.rabbit.test_encoding import TOPOLOGY, Delivered, Message

ROOT = Path(__file__).parents[4]
COMMITTED = ROOT / "deploy" / "asyncapi.json"
OFFICIAL = Path(__file__).parent / "official"
DOCUMENT = build(Rabbit())
NOW = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
DECODER = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=1_000_000)
BATCH = "5d0c8f1e0b6f4c7a9be2a7d0f3c1e954"
NAMES = ("ItemEvent", "ItemCloudEvent", "SucceededEvent", "FailedEvent", "DeadLetterHeaders")

RESULT_SCHEMAS = ("SucceededEvent", "SucceededData", "FailedEvent", "FailedData", "Failure")
CODES = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)

texts = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
candidates = st.fixed_dictionaries(
    {},
    optional={
        "entityTypeId": scalars
        | st.integers(1, 200)
        | st.from_regex(r"[0-9]{1,11}")
        | st.integers(MAX_ENTITY_TYPE - 2_000, MAX_ENTITY_TYPE + 2_000).map(str),
        "fields": st.dictionaries(texts, values, max_size=3) | scalars,
        "useOriginalUfNames": scalars | st.sampled_from(["Y", "N"]),
        "id": scalars,
    },
)


def validator(name: str) -> jsonschema.Draft7Validator:
    """Return the validator of one of our schemas."""
    schema = {**DOCUMENT, "$ref": f"#/components/schemas/{name}"}
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())


VALIDATORS = {name: validator(name) for name in DOCUMENT["components"]["schemas"]}


def mistakes(name: str, value: object) -> list[str]:
    """Return what is wrong with a value, by one of our schemas."""
    return [error.message for error in VALIDATORS[name].iter_errors(value)]


def official() -> jsonschema.Draft7Validator:
    """Return the validator of the specification."""
    text = gzip.decompress((OFFICIAL / "3.0.0.json.gz").read_bytes())
    digest = "d4571a420e6ffb7fcc7066c95a6db1202f299a3c51daa103d0706bf30f95e626"
    assert digest == hashlib.sha256(text).hexdigest()
    return jsonschema.Draft7Validator(json.loads(text))


def decoded(body: object, **more: Any) -> ItemEvent | Malformed:
    """Read a body as the importer does."""
    return DECODER.decode(Incoming(json.dumps(body).encode(), **{"headers": {}, **more}))


def written(event: ItemEvent | Malformed, outcome: Outcome, **more: Any) -> list[Outgoing]:
    """Write the messages of an outcome, as the importer does."""
    message = Message(body=json.dumps(examples.ITEM).encode())
    delivery: Any = Delivered(message)
    attempts, batch, links = more.get("attempts", 1), more.get("batch"), more.get("links")
    settlement = Settlement(event, delivery, outcome, attempts, batch, links=links)
    writer = Encoder(TOPOLOGY, portal_host="portal.example")
    result = writer.result(settlement, NOW)
    if isinstance(outcome, Imported):
        return [result]
    return [result, writer.dead_letter(settlement, NOW)]


def shown_examples() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each example with the name of its message."""
    for name, message in DOCUMENT["components"]["messages"].items():
        for example in message["examples"]:
            yield name, example


def test_document_is_valid_by_the_official_schema() -> None:
    """Be what the specification calls an AsyncAPI document."""
    assert [] == [error.message for error in official().iter_errors(DOCUMENT)]


@pytest.mark.parametrize("missing", ["info", "asyncapi"])
def test_official_schema_refuses_what_is_none(missing: str) -> None:
    """Prove that the official schema can refuse."""
    broken = {name: part for name, part in DOCUMENT.items() if name != missing}
    assert not official().is_valid(broken)


def test_official_schema_looks_into_the_bindings() -> None:
    """Prove that the parts about AMQP are looked at, too."""
    broken = json.loads(json.dumps(DOCUMENT))
    broken["channels"]["intake"]["bindings"]["amqp"]["exchange"]["type"] = "nonsense"
    assert not official().is_valid(broken)


def test_committed_document_is_fresh() -> None:
    """Make it anew with `crm-importer asyncapi > deploy/asyncapi.json`."""
    assert asyncapi.text(Rabbit()) + "\n" == COMMITTED.read_text(encoding="utf-8")


def test_every_reference_leads_somewhere() -> None:
    """Name nothing that is not there."""
    found = json.dumps(DOCUMENT).split('"$ref": "#/')[1:]
    assert 15 < len(found)
    for each in found:
        part: Any = DOCUMENT
        for step in each.partition('"')[0].split("/"):
            part = part[step]


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_json_schemas(name: str) -> None:
    """Use only words that JSON Schema has."""
    jsonschema.Draft7Validator.check_schema(DOCUMENT["components"]["schemas"][name])


@pytest.mark.parametrize(("name", "example"), list(shown_examples()))
def test_examples_are_valid_by_their_schemas(name: str, example: dict[str, Any]) -> None:
    """Show nothing that our own schemas refuse."""
    message = DOCUMENT["components"]["messages"][name]
    for part in ("payload", "headers"):
        reference = message.get(part, {}).get("$ref", "")
        if reference:
            assert [] == mistakes(reference.rpartition("/")[2], example[part])


def test_examples_of_items_are_read_by_the_importer() -> None:
    """Show upstream only what works."""
    cloud = "application/cloudevents+json"
    found = [
        decoded(examples.ITEM),
        decoded(examples.CLOUD_ITEM, content_type=cloud),
        decoded(examples.BINARY_ITEM, headers=examples.BINARY_HEADERS),
        decoded(examples.LINKED_ITEM),
    ]
    assert [
        (2, "order-1017"),
        (1, "/shop/orders 1018"),
        (1032, "/shop/orders 1019"),
        (2, "order-1020"),
    ] == [
        (event.entity_type_id, event.event_id) for event in found if isinstance(event, ItemEvent)
    ]


def test_examples_of_results_are_what_the_importer_writes() -> None:
    """Show readers exactly what they will get for the item of the example."""
    event = decoded(examples.ITEM)
    (succeeded,) = written(event, Imported(4711), batch=BATCH)
    code, text = "CRM_FIELD_ERROR_REQUIRED", 'Field "Source" is required'
    failed, letter = written(event, Failed(FailureKind.REJECTED, code, text, 200), batch=BATCH)
    assert examples.SUCCEEDED == json.loads(succeeded.body)
    links = {"contactId": 815, "companyId": 9}
    (linked,) = written(decoded(examples.LINKED_ITEM), Imported(4712), batch=BATCH, links=links)
    assert examples.LINKED_SUCCEEDED == json.loads(linked.body)
    assert examples.FAILED == json.loads(failed.body)
    assert examples.DEAD_LETTER_HEADERS == {
        **(letter.properties.headers or {}),
        "import_original_routing_key": "item.2",
    }


@given(body=candidates)
def test_what_the_schema_allows_the_importer_reads(body: dict[str, Any]) -> None:
    """Promise upstream nothing that the importer would refuse."""
    if not mistakes("ItemEvent", body):
        assert isinstance(decoded(body), ItemEvent)


@given(number=st.integers(1, 3_000_000_000) | st.integers(1, 400_000_000).map(lambda n: n * 10))
def test_numbers_written_as_text_have_the_same_bound(number: int) -> None:
    """Allow every type that the importer reads, and no other."""
    for shown in (number, str(number)):
        body = {"entityTypeId": shown, "fields": {"a": 1}}
        assert (number > MAX_ENTITY_TYPE) is bool(mistakes("ItemEvent", body))


@pytest.mark.parametrize(
    ("shown", "fits"),
    [
        ("1", True),
        ("0", False),
        ("2000000000", True),
        (str(MAX_ENTITY_TYPE), True),
        (str(MAX_ENTITY_TYPE + 1), False),
        ("2147483650", False),
        ("3000000000", False),
    ],
)
def test_the_bound_of_a_number_as_text_is_exact(shown: str, *, fits: bool) -> None:
    """Refuse nothing at the border that the importer reads."""
    body = {"entityTypeId": shown, "fields": {"a": 1}}
    assert fits is (not mistakes("ItemEvent", body))
    assert fits is isinstance(decoded(body), ItemEvent)


@pytest.mark.parametrize("flag", ["Y", "N", True, False])
def test_flags_have_two_spellings(flag: object) -> None:
    """Allow both, and each by one alternative only."""
    body = {"entityTypeId": 2, "fields": {"a": 1}, "useOriginalUfNames": flag}
    assert [] == mistakes("ItemEvent", body)


def test_messages_and_what_they_hold_have_names_of_their_own() -> None:
    """Whoever makes classes of the document gets one for each."""
    messages = DOCUMENT["components"]["messages"]
    assert {name: name for name in messages} == {n: each["name"] for n, each in messages.items()}
    schemas = DOCUMENT["components"]["schemas"]
    for name in RESULT_SCHEMAS:
        assert name == schemas[name]["title"]
        assert schemas[name]["description"]
    assert all(
        "warnings" in schemas[name]["properties"] for name in ("SucceededData", "FailedData")
    )


def test_properties_of_messages_are_described() -> None:
    """AsyncAPI has no place of its own for them."""
    messages = DOCUMENT["components"]["messages"]
    for name in ("itemEvent", "itemCloudEvent", "itemBinaryCloudEvent"):
        assert "`gzip`" in messages[name]["description"]
    for name in ("itemSucceeded", "itemFailed"):
        assert "`correlation_id`" in messages[name]["description"]


def test_numeric_hosts_are_written_as_in_an_address() -> None:
    """With the brackets that keep the port apart."""
    servers = build(Rabbit(url=SecretStr("amqp://u:p@[::1]:5673/v")))["servers"]
    assert "[::1]:5673" == servers["broker1"]["host"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"entityTypeId": 2},
        {"entityTypeId": 2, "fields": {}},
        {"entityTypeId": 0, "fields": {"a": 1}},
        {"entityTypeId": True, "fields": {"a": 1}},
        {"entityTypeId": 2_147_483_648, "fields": {"a": 1}},
        {"entityTypeId": "two", "fields": {"a": 1}},
        {"entityTypeId": 2, "fields": [1]},
        {"entityTypeId": 2, "fields": {"a": 1}, "useOriginalUfNames": "yes"},
        {"entityTypeId": 2, "fields": {"a": 1}, "id": 1.5},
    ],
)
def test_what_the_importer_refuses_the_schema_refuses(body: dict[str, Any]) -> None:
    """Let upstream find mistakes before it publishes."""
    assert isinstance(decoded(body), Malformed)
    assert mistakes("ItemEvent", body)


@given(
    item_id=st.integers(1, 2**40),
    flags=st.tuples(st.booleans(), st.booleans()),
    attempts=st.integers(0, 50),
    event_id=st.text(min_size=1, max_size=300),
)
def test_succeeded_results_are_valid_by_their_schema(
    item_id: int, flags: tuple[bool, bool], attempts: int, event_id: str
) -> None:
    """Hold whatever the outcome was."""
    outcome = Imported(item_id, reconciled=flags[0], duplicate=flags[1])
    (result,) = written(item_event(event_id), outcome, attempts=attempts)
    assert [] == mistakes("SucceededEvent", json.loads(result.body))


@given(
    kind=st.sampled_from(FailureKind),
    code=CODES,
    message=st.text(max_size=1500),
    status=st.none() | st.integers(100, 599),
    readable=st.booleans(),
)
def test_failed_results_and_dead_letters_are_valid_by_their_schemas(
    kind: FailureKind, code: str, message: str, status: int | None, *, readable: bool
) -> None:
    """Hold whatever the failure was."""
    event = item_event("order 1") if readable else malformed()
    result, letter = written(event, Failed(kind, code, message, status))
    assert [] == mistakes("FailedEvent", json.loads(result.body))
    assert [] == mistakes("DeadLetterHeaders", letter.properties.headers)


def test_result_schemas_can_refuse() -> None:
    """Prove that the schemas of results are not empty words."""
    for name, example in (
        ("SucceededEvent", examples.SUCCEEDED),
        ("FailedEvent", examples.FAILED),
    ):
        for member in example["data"]:
            short = {key: value for key, value in example["data"].items() if key != member}
            assert mistakes(name, {**example, "data": short}), member
    assert mistakes("SucceededEvent", examples.FAILED)
    assert mistakes("DeadLetterHeaders", {})


def test_command_prints_the_names_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Need no portal, follow the settings, and show no password."""
    monkeypatch.setenv("IMPORTER_RABBIT__URL", "amqps://u:hidden@one/v,amqps://u:hidden@two:1/v")
    monkeypatch.setenv("IMPORTER_RABBIT__SUCCEEDED_QUEUE", "my.results")
    assert 0 == cli.main(["asyncapi"])
    printed = capsys.readouterr().out
    document = json.loads(printed)
    assert "hidden" not in printed
    assert "my.results" == document["channels"]["succeeded"]["address"]
    hosts = [(each["host"], each["protocol"]) for each in document["servers"].values()]
    assert [("one:5671", "amqps"), ("two:1", "amqps")] == hosts
    assert official().is_valid(document)
