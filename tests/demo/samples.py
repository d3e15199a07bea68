"""Makes the sample events, and knows what must become of each."""

import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Fate = Literal["imported", "refused", "malformed"]
Fields = dict[str, Any]

SEED = 24
SOURCE = "/shop"
UNKNOWN_TYPE = 1044
NAMES = {
    2: "Deal",
    1: "Lead",
    3: "Contact",
    31: "Invoice",
    1032: "Smart process",
    UNKNOWN_TYPE: "Unknown type",
    None: "No readable type",
}
PORTAL_RULES = {
    "required": {"2": ["title"]},
    "allowed": {"1": {"stageId": ["NEW", "IN_PROCESS"]}},
}
"""The portal's own checks, which some of the samples break."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One message to publish; `key` travels with it and comes back with its outcome.

    `event_id` is what identifies the event; it is None where nobody can read one.
    """

    key: str
    entity_type: int | None
    event_id: str | None
    fate: Fate
    body: bytes
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def routing_key(self) -> str:
        """Return the key by which upstream publishes, by convention."""
        return f"item.{self.entity_type or 'unknown'}"


@dataclass(frozen=True, slots=True)
class Kind:
    """Says how many events of a type there are, and how to make good and refused fields."""

    entity_type: int
    name: str
    good: int
    refused: int
    fields: Callable[[int], Fields]
    spoil: Callable[[Fields], Fields]


def make() -> list[Sample]:
    """Return the events, mixed as they would come; the same ones in every run."""
    samples = [sample for kind in KINDS for sample in _of(kind)] + _malformed()
    random.Random(SEED).shuffle(samples)
    return samples


def _of(kind: Kind) -> list[Sample]:
    samples: list[Sample] = []
    for number in range(1, kind.good + kind.refused + 1):
        fields = kind.fields(number)
        spoiled = number > kind.good
        key = f"{kind.name}-{number:04d}"
        item: dict[str, Any] = {"entityTypeId": kind.entity_type, "fields": fields}
        if spoiled:
            item["fields"] = kind.spoil(fields)
        elif kind.name == "deal" and number % 5 == 0:
            item |= {"useOriginalUfNames": "Y", "fields": fields | {"UF_CRM_1700000001": "A-7"}}
        form = FORMS[number % len(FORMS)]
        event_id, body, properties = form(key, item)
        fate: Fate = "refused" if spoiled else "imported"
        samples.append(Sample(key, kind.entity_type, event_id, fate, body, properties))
    return samples


# ---- the forms in which an event may come ----

Form = Callable[[str, dict[str, Any]], tuple[str, bytes, dict[str, Any]]]


def _plain(key: str, item: dict[str, Any]) -> tuple[str, bytes, dict[str, Any]]:
    return key, _json({**item, "id": key}), {}


def _named_by_message(key: str, item: dict[str, Any]) -> tuple[str, bytes, dict[str, Any]]:
    return key, _json(item), {}


def _compressed(key: str, item: dict[str, Any]) -> tuple[str, bytes, dict[str, Any]]:
    return key, gzip.compress(_json({**item, "id": key})), {"content_encoding": "gzip"}


def _structured(key: str, item: dict[str, Any]) -> tuple[str, bytes, dict[str, Any]]:
    event = {**_attributes(key), "data": item}
    return f"{SOURCE} {key}", _json(event), {"content_type": "application/cloudevents+json"}


def _binary(key: str, item: dict[str, Any]) -> tuple[str, bytes, dict[str, Any]]:
    headers = {f"cloudEvents_{name}": value for name, value in _attributes(key).items()}
    return f"{SOURCE} {key}", _json(item), {"headers": headers}


def _attributes(key: str) -> dict[str, str]:
    return {"specversion": "1.0", "id": key, "source": SOURCE, "type": "shop.item"}


FORMS: Sequence[Form] = (_plain, _structured, _binary, _named_by_message, _compressed)


# ---- the items, and how to spoil them for the portal ----


def _deal(number: int) -> Fields:
    return {
        "title": f"Order {number}",
        "opportunity": 100 + number * 1.5,
        "currencyId": "EUR",
        "begindate": "2026-03-01",
        "ufCrm_1700000002": "600|USD",
        "parentId1032": number,
    }


def _lead(number: int) -> Fields:
    phone = {"VALUE": f"+49 30 {number:06d}", "VALUE_TYPE": "WORK"}
    return {"title": f"Call back {number}", "stageId": "NEW", "PHONE": [phone]}


def _contact(number: int) -> Fields:
    photo = ["face.png", "iVBORw0KGgo="]
    return {"name": "Ada", "lastName": f"Number {number}", "opened": "Y", "photo": photo}


def _invoice(number: int) -> Fields:
    return {"title": f"Invoice {number}", "opportunity": number * 9.99, "companyId": 1}


def _process(number: int) -> Fields:
    return {"title": f"Delivery {number}", "ufCrm9_1700000003": ["box", "pallet"], "parentId2": 1}


def _without_title(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name != "title"}


def _at_no_stage(fields: Fields) -> Fields:
    return fields | {"stageId": "NO_SUCH_STAGE"}


def _of_no_company(fields: Fields) -> Fields:
    return fields | {"companyId": -5}


KINDS = (
    Kind(2, "deal", 194, 8, _deal, _without_title),
    Kind(1, "lead", 118, 5, _lead, _at_no_stage),
    Kind(3, "contact", 96, 5, _contact, _of_no_company),
    Kind(31, "invoice", 58, 3, _invoice, _of_no_company),
    Kind(1032, "delivery", 58, 0, _process, dict),
    Kind(UNKNOWN_TYPE, "stray", 0, 5, _process, dict),
)


# ---- what is no item event at all ----


def _malformed() -> list[Sample]:
    deal = {"title": "Half an order"}
    bodies: list[tuple[int | None, bytes, dict[str, Any]]] = [
        (None, b"an order, please", {}),
        (None, b'{"entityTypeId": 2, "fields": {"title": "cut of', {}),
        (None, b'{"entityTypeId": 2, "fields": {"title": "twice", "title": "said"}}', {}),
        (None, b'{"entityTypeId": 2, "fields": {"opportunity": NaN}}', {}),
        (None, b'{"entityTypeId": 2, "fields": {"title": "half a pair: \\ud83d"}}', {}),
        (None, '{"entityTypeId": 2, "fields": {"title": "Größe"}}'.encode("latin-1"), {}),
        (None, _json({"fields": deal}), {}),
        (None, _json({"entityTypeId": True, "fields": deal}), {}),
        (None, _json({"entityTypeId": 2, "fields": deal}), {"content_encoding": "br"}),
        (None, _json({"entityTypeId": 2, "fields": deal}), {"content_encoding": "gzip"}),
        (None, b"[]", {"content_type": "application/cloudevents-batch+json"}),
        (None, _json({"data": {}}), {"content_type": "application/cloudevents+json"}),
        (None, b'{"fields": ' + b"[" * 80 + b"]" * 80 + b"}", {}),
        (None, _json({"entityTypeId": 2, "fields": {"title": "x" * 2_000_000}}), {}),
        (2, _json({"entityTypeId": 2, "fields": {}}), {}),
        (3, _json({"entityTypeId": "3", "fields": ["Ada"]}), {}),
    ]
    return [
        Sample(f"bad-{number:02d}", entity_type, None, "malformed", body, properties)
        for number, (entity_type, body, properties) in enumerate(bodies, start=1)
    ]


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
