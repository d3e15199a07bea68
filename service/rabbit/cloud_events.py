"""Reads CloudEvents: which messages are some, their attributes, and the item event in one."""

import base64
import binascii
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from service.rabbit.bodies import Unreadable, strict_json, unmarked, wrong_shape

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_ATTRIBUTE = re.compile(r"^cloudevents[_:](?P<name>[a-z0-9]+)$", re.IGNORECASE)
_BINARY_MARKS = frozenset({"id", "source", "specversion", "type"})
_ENVELOPE_MARKS = frozenset({"id", "source", "specversion"})


class _Structured(msgspec.Struct):
    data: msgspec.Raw


def is_envelope(document: object) -> bool:
    """Tell a structured CloudEvent by its members, whatever the content type says."""
    return (
        isinstance(document, dict)
        and document.keys() >= _ENVELOPE_MARKS
        and not document.keys().isdisjoint({"data", "data_base64"})
        and "entityTypeId" not in document
    )


def media_type(content_type: str | None) -> str:
    """Return a content type as it is compared: without case and parameters."""
    return (content_type or "").split(";")[0].strip().lower()


def binary_attributes(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the CloudEvents attributes among the headers; empty where it is no CloudEvent."""
    found: dict[str, Any] = {}
    for name, value in headers.items():
        match = _ATTRIBUTE.match(name)
        if match is not None:
            found[match["name"].lower()] = text_of(value)
    return found if found.keys() & _BINARY_MARKS else {}


def text_of(value: object) -> object:
    """Return a header as text where it is written as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else value


def event_id(attributes: Mapping[str, Any]) -> str:
    """Return the id of an event; raises Unreadable where it has none."""
    for name in ("source", "id"):
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise wrong_shape(f"the CloudEvents attribute {name} must be a non-empty string")
    return f"{attributes['source']} {attributes['id']}"


def event_name(attributes: Mapping[str, Any]) -> str | None:
    """Return the id of an event, if it can be read."""
    with suppress(Unreadable):
        return event_id(attributes)
    return None


def data_of(
    envelope: Mapping[str, Any], body: bytes | memoryview
) -> tuple[object, bytes | memoryview]:
    """Return the item event in an envelope: parsed, and as it was written.

    Writers put null for what is not there.
    """
    data, encoded = envelope.get("data"), envelope.get("data_base64")
    if "data" in envelope and encoded is None:
        return data, memoryview(msgspec.json.decode(body, type=_Structured).data)
    if not isinstance(encoded, str) or data is not None:
        raise wrong_shape("the CloudEvents envelope must have either data or data_base64")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise wrong_shape("data_base64 is not Base64") from None
    return strict_json(raw), unmarked(raw)
