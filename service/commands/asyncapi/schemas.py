"""Describes item events, result events and dead letters as JSON Schemas."""

from collections.abc import Mapping
from typing import Any

from service.domain.outcomes import FailureKind
from service.rabbit.bodies import MAX_DEPTH
from service.rabbit.copies import SHORT_STRING
from service.rabbit.decoding import MAX_ENTITY_TYPE, MAX_ID
from service.rabbit.encoding import TEXT_LIMIT, WARNINGS_LIMIT

Schema = dict[str, Any]

_ID: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_ID}
_TIME: Schema = {
    "type": "string",
    "format": "date-time",
    "description": "RFC 3339, UTC, milliseconds",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
}
_TRACE: Schema = {"type": "string", "description": "W3C trace context, as the item event had it"}


def schemas() -> dict[str, Schema]:
    """Return every schema by its name among the components."""
    return {
        "ItemEvent": _item(),
        "ItemCloudEvent": _cloud_item(),
        "ItemCloudEventHeaders": _cloud_headers(),
        "SucceededEvent": _result("succeeded", _succeeded()),
        "FailedEvent": _result("failed", _failed()),
        "DeadLetterHeaders": _dead_letter(),
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
            "entityTypeId": {
                "description": "Entity type of the CRM: 1 lead, 2 deal, 3 contact, 4 company, "
                "31 invoice, 128 and up smart processes.",
                "oneOf": [
                    {"type": "integer", "minimum": 1, "maximum": MAX_ENTITY_TYPE},
                    {"type": "string", "pattern": f"^({_up_to(MAX_ENTITY_TYPE)})$"},
                ],
            },
            "fields": {
                "description": "The item's fields, handed to the portal as they are.",
                "type": "object",
                "minProperties": 1,
            },
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


def _result(outcome: str, data: Schema) -> Schema:
    return {
        "title": f"Item {outcome}",
        "description": "CloudEvents 1.0, structured mode. Events with one id say the same: keep "
        "the first. Ignore members that are not described here: some may be added.",
        "type": "object",
        "required": [
            "specversion",
            "id",
            "source",
            "type",
            "subject",
            "time",
            "datacontenttype",
            "data",
        ],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "source": {"type": "string", "pattern": "^/crm-importer/.+"},
            "type": {"const": f"crm.item.import.{outcome}.v1"},
            "subject": {
                "type": "string",
                "description": "`<entityTypeId>/<event id>`; `unknown/…` where it is unreadable",
            },
            "time": _TIME,
            "datacontenttype": {"const": "application/json"},
            "traceparent": _TRACE,
            "tracestate": _TRACE,
            "data": data,
        },
    }


def _succeeded() -> Schema:
    return _data(
        "Item succeeded data",
        "importedAt",
        {
            "entityTypeId": _type(),
            "itemId": {
                "type": "integer",
                "minimum": 1,
                "description": "id of the item in the CRM",
            },
            "reconciled": {
                "type": "boolean",
                "description": "found in the CRM by asking, rather than answered by the import",
            },
            "duplicate": {
                "type": "boolean",
                "description": "this event had been imported before",
            },
        },
    )


def _failed() -> Schema:
    error: Schema = {
        "title": "Item failed error",
        "type": "object",
        "required": ["kind", "code", "message", "httpStatus"],
        "properties": {
            "kind": _kind(),
            "code": {"type": "string", "description": "the portal's own code, or ours"},
            "message": {"type": "string", "maxLength": TEXT_LIMIT},
            "httpStatus": {"type": ["integer", "null"], "description": "null: no call was made"},
        },
    }
    only: dict[str, Schema] = {"entityTypeId": _type(nullable=True), "error": error}
    return _data("Item failed data", "failedAt", only)


def _data(title: str, moment: str, more: Mapping[str, Schema]) -> Schema:
    """Return the `data` of a result: what both have, and what only one has."""
    warnings: Schema = {
        "type": "array",
        "items": {"type": "string"},
        "description": "what of the event was ignored, or is likely to have been dropped or "
        "changed by the portal: the member or field, what became of it, and the remedy. Absent "
        "where there is nothing to say.",
    }
    common: dict[str, Schema] = {
        "eventId": {"type": "string"},
        moment: _TIME,
        "attempts": {
            "type": "integer",
            "minimum": 0,
            "description": "calls that carried the item",
        },
        "batchId": {
            "type": ["string", "null"],
            "description": "the last of them; null: no call was made",
        },
    }
    required = {**common, **more}
    return {
        "title": title,
        "type": "object",
        "required": list(required),
        "properties": {**required, "warnings": warnings},
    }


def _dead_letter() -> Schema:
    """Describe our headers; letters that the broker itself put there have none of them."""
    text: Schema = {"type": "string", "maxLength": TEXT_LIMIT}
    required: dict[str, Schema] = {
        "import_error_kind": _kind(),
        "import_error_code": {"type": "string", "maxLength": SHORT_STRING},
        "import_error_message": text,
        "import_attempts": {"type": "integer", "minimum": 0},
        "import_failed_at": _TIME,
        "import_original_exchange": {"type": "string"},
        "import_original_routing_key": {"type": "string"},
        "import_redrive_count": {"type": "integer", "minimum": 0},
    }
    optional: dict[str, Schema] = {
        "import_http_status": {"type": "integer"},
        "import_event_id": text,
        "import_batch_id": {"type": "string"},
        "import_warnings": {
            "type": "string",
            "maxLength": WARNINGS_LIMIT,
            "description": "the warnings of the failed event, a line each",
        },
        "import_original_message_id": {"type": "string"},
        "import_dropped_headers": {
            **text,
            "description": "what of the original is not here as it came, such as headers that fit "
            "no frame; `body` where the broker takes none so large",
        },
    }
    return {
        "title": "Why an event failed",
        "description": "Beside the headers of the original. A letter without them was put there "
        "by the broker, after too many deliveries: `x-death` says so.",
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
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


def _kind() -> Schema:
    return {
        "enum": [str(kind) for kind in FailureKind],
        "description": "malformed: unreadable; rejected: refused for its own content; "
        "unsupported: the portal does not import this type; ambiguous: may be in the CRM, look",
    }


def _type(*, nullable: bool = False) -> Schema:
    if not nullable:
        return {"type": "integer", "minimum": 1, "maximum": MAX_ENTITY_TYPE}
    return {
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": MAX_ENTITY_TYPE,
        "description": "null where it is unreadable",
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
