"""Describes item events, result events and dead letters as JSON Schemas."""

from typing import Any

import msgspec

from service.domain.links import MAX_ENTITY_TYPE
from service.rabbit.bodies import MAX_DEPTH
from service.rabbit.decoding import MAX_ID
from service.rabbit.result_events import DeadLetterHeaders, FailedEvent, SucceededEvent

Schema = dict[str, Any]

_ID: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_ID}
_WRITTEN = (SucceededEvent, FailedEvent, DeadLetterHeaders)


def schemas() -> dict[str, Schema]:
    """Return every schema by its name among the components."""
    return {
        "ItemEvent": _item(),
        "Reference": _reference(),
        "ItemCloudEvent": _cloud_item(),
        "ItemCloudEventHeaders": _cloud_headers(),
        **_written(),
    }


def _written() -> dict[str, Schema]:
    """Return the schemas of what we write, made from the shapes that write it."""
    _, found = msgspec.json.schema_components(_WRITTEN, ref_template="#/components/schemas/{name}")
    return {
        name: {**schema, "description": " ".join(str(schema["description"]).split())}
        for name, schema in found.items()
    }


def _item() -> Schema:
    return {
        "title": "Item event",
        "description": f"One CRM item to import. Strict JSON in UTF-8: no repeated member names, "
        f"no NaN, at most {MAX_DEPTH} levels deep. Other members are ignored, and the result's "
        "`warnings` name them.",
        "type": "object",
        "required": ["entityTypeId", "fields"],
        "properties": {
            "entityTypeId": _TYPE,
            "fields": {
                "description": "The item's fields, sent to the portal unchanged.",
                "type": "object",
                "minProperties": 1,
            },
            "links": _links(),
            "useOriginalUfNames": {
                "description": "Y or true: user fields are spelt UF_CRM_…; else ufCrm…",
                "oneOf": [{"type": "string", "enum": ["Y", "N"]}, {"type": "boolean"}],
                "default": "N",
            },
            "id": {
                "description": "The event's id: events of one type with one id are one event. "
                "Without it the AMQP message_id, else a digest of the body.",
                "oneOf": [_ID, {"type": "integer"}],
            },
        },
    }


def _links() -> Schema:
    return {
        "description": "Fields that get the item ids of other events: one reference or a "
        "list. The event waits until every item exists. A field may stand here or in "
        "`fields`, not in both.",
        "type": ["object", "null"],
        "minProperties": 1,
        "additionalProperties": {
            "oneOf": [
                _ref("Reference"),
                {"type": "array", "minItems": 1, "items": _ref("Reference")},
            ]
        },
    }


def _reference() -> Schema:
    return {
        "title": "Reference to another event",
        "description": "The event that imports the item, by entity type and event id; or an "
        "item from elsewhere, by its external id.",
        "type": "object",
        "required": ["entityTypeId", "id"],
        "additionalProperties": False,
        "properties": {
            "entityTypeId": _TYPE,
            "id": {
                "description": "The id of that event.",
                "oneOf": [_ID, {"type": "integer"}],
            },
            "source": {
                "description": "Its `source`, where it is a CloudEvent.",
                "type": ["string", "null"],
                "minLength": 1,
            },
            "originatorId": {
                "description": "The originator of the item, if another program imported it.",
                "type": ["string", "null"],
                "minLength": 1,
            },
        },
    }


def _cloud_item() -> Schema:
    return {
        "title": "Item event as a CloudEvent",
        "description": "CloudEvents 1.0, structured mode. The event id is `<source> <id>`.",
        "type": "object",
        "required": ["id", "source"],
        "properties": {
            **{name: {"type": "string", "minLength": 1} for name in ("id", "source")},
            "specversion": {"const": "1.0"},
            "type": {"type": "string"},
            "traceparent": {"type": "string"},
            "tracestate": {"type": "string"},
            "data": _ref("ItemEvent"),
            "data_base64": {"type": "string", "description": "the item event, as Base64"},
        },
        "oneOf": [{"required": ["data"]}, {"required": ["data_base64"]}],
    }


def _cloud_headers() -> Schema:
    attributes = ("id", "source", "specversion", "type", "traceparent", "tracestate")
    return {
        "title": "Attributes of a CloudEvent in binary mode",
        "description": "The prefix `cloudEvents:` is understood, too.",
        "type": "object",
        "required": ["cloudEvents_id", "cloudEvents_source"],
        "properties": {
            f"cloudEvents_{name}": {"type": "string", "minLength": 1} for name in attributes
        },
    }


def _up_to(largest: int) -> str:
    """Return the pattern of decimal numbers from 1 to the largest, without leading zeros."""
    digits = str(largest)
    parts = [f"[1-9][0-9]{{0,{len(digits) - 2}}}"]
    for place, digit in enumerate(digits):
        least, after = (0 if place else 1), len(digits) - place - 1
        if int(digit) > least:
            lower = f"[{least}-{int(digit) - 1}]" if int(digit) > least + 1 else str(least)
            parts.append(digits[:place] + lower + f"[0-9]{{{after}}}" * bool(after))
    return "|".join([*parts, digits])


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_TYPE: Schema = {
    "description": "Entity type of the CRM: 1 lead, 2 deal, 3 contact, 4 company, 31 invoice, "
    "128 and up smart processes.",
    "oneOf": [
        {"type": "integer", "minimum": 1, "maximum": MAX_ENTITY_TYPE},
        {"type": "string", "pattern": f"^({_up_to(MAX_ENTITY_TYPE)})$"},
    ],
}
