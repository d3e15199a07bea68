"""Reads an item event out of a message: plain JSON or CloudEvents, plain or compressed."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from service.domain.events import Identity, ItemEvent, Links, Malformed, MalformedCode, Origin
from service.domain.external_id import ExternalIds
from service.domain.foreign import looks_like
from service.domain.links import MAX_ENTITY_TYPE, LinksError, Own, entity_type_of, links_of
from service.domain.members import NO_ID, notes_on
from service.domain.witnessing import profile_of
from service.rabbit.bodies import (
    Unreadable,
    plain_body,
    see_whole_numbers,
    strict_json,
    uncollected,
    unmarked,
)
from service.rabbit.raw_json import without

MAX_ID = 1000
STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
MAX_TIME = 64
MAX_TRACE = 8192
"""Characters of a trace's state that are passed on, many times what its standard asks for."""
_ATTRIBUTE = re.compile(r"^cloudevents[_:](?P<name>[a-z0-9]+)$", re.IGNORECASE)
_Raw = bytes | memoryview
_BINARY_MARKS = frozenset({"id", "source", "specversion", "type"})
_ENVELOPE_MARKS = frozenset({"id", "source", "specversion"})


@dataclass(frozen=True, slots=True)
class Incoming:
    """What of a message decides its content."""

    body: bytes
    headers: Mapping[str, Any]
    content_type: str | None = None
    content_encoding: str | None = None
    message_id: str | None = None
    correlation_id: str | None = None


class _Plain(msgspec.Struct):
    fields: msgspec.Raw


class _Structured(msgspec.Struct):
    data: msgspec.Raw


@dataclass(slots=True)
class _Reading:
    """What has been read so far; a malformed message is named by it."""

    body: bytes
    event_id: str | None = None
    entity_type_id: int | None = None
    notes: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """What equal bodies share."""
        return hashlib.sha256(self.body).hexdigest()


class Decoder:
    """Turns messages into item events; never raises, whatever the bytes."""

    def __init__(self, *, external_ids: ExternalIds, max_bytes: int) -> None:
        """Take the external-id rules and the size limit (bytes after decompression)."""
        self._external_ids = external_ids
        self._max_bytes = max_bytes

    def decode(self, message: Incoming) -> ItemEvent | Malformed:
        """Return the event of a message, or why it has none."""
        reading = _Reading(message.body, event_id=_redriven_id(message.headers))
        with uncollected():
            try:
                reading.body = plain_body(message.body, message.content_encoding, self._max_bytes)
                return self._event(message, reading)
            except Unreadable as unreadable:
                return _malformed(unreadable, message, reading)

    def _event(self, message: Incoming, reading: _Reading) -> ItemEvent:
        item, raw = _item(message, reading)
        reading.notes = notes_on(item)
        _name(reading, item, message)
        entity_type_id = reading.entity_type_id = _entity_type(item.get("entityTypeId"))
        original_names = _original_names(item.get("useOriginalUfNames"))
        fields = item.get("fields")
        if not isinstance(fields, dict) or not fields:
            raise _wrong("fields must be an object with at least one member")
        written = msgspec.json.decode(raw, type=_Plain).fields
        see_whole_numbers(bytes(written))
        digest = reading.digest
        # What waited is named by its header, but has no more id than when it came.
        nameless = f"sha256:{digest}"
        event_id = reading.event_id or nameless
        stamped = self._external_ids.stamp(
            entity_type_id, event_id, fields, original_names=original_names
        )
        links: Links = {}
        if item.get("links") is not None:
            identity = Identity(entity_type_id, event_id)
            own = Own(identity, fields.keys(), stamped.external_id, original_names)
            links = self._links(item["links"], own)
        return ItemEvent(
            entity_type_id=entity_type_id,
            event_id=event_id,
            fields=without(written, stamped.blank),
            original_names=original_names,
            digest=digest,
            external_id=stamped.external_id,
            stamp=stamped.stamp,
            origin=_origin(message, reading.attributes),
            notes=reading.notes if event_id != nameless else (*reading.notes, NO_ID),
            asks=profile_of(fields),
            links=links,
        )

    def _links(self, value: object, own: Own) -> Links:
        try:
            return links_of(value, own, self._external_ids)
        except LinksError as error:
            raise _wrong(str(error)) from None


def _item(message: Incoming, reading: _Reading) -> tuple[dict[str, Any], _Raw]:
    """Return the item event, read and as it was written, out of whatever envelope it came in."""
    document = strict_json(reading.body)
    raw: _Raw = unmarked(reading.body)
    kind = media_type(message.content_type)
    if is_envelope(document) or kind == STRUCTURED:
        reading.attributes = _object(document, "the CloudEvents envelope")
        reading.event_id = reading.event_id or _cloud_name(reading.attributes)
        document, raw = _data(reading.attributes, raw)
    elif kind == _BATCH:
        raise _wrong("the CloudEvents batch format is not accepted: send one event a message")
    elif attributes := _binary_attributes(message.headers):
        reading.attributes = attributes
        reading.event_id = reading.event_id or _cloud_name(attributes)
    if hint := looks_like(document):
        raise _wrong(f"the body is no item event: {hint}")
    return _object(document, "the item event"), raw


def _name(reading: _Reading, item: Mapping[str, Any], message: Incoming) -> None:
    """Find the event's id; raises Unreadable, also for one that is too long."""
    try:
        if reading.attributes:
            reading.event_id = reading.event_id or _cloud_id(reading.attributes)
        reading.event_id = reading.event_id or _own_id(item) or message.message_id
        if len(reading.event_id or "") > MAX_ID:
            raise _wrong(f"the event id has more than {MAX_ID:,} characters: send a short one")
    except Unreadable:
        # What fails without a readable id still tells its type.
        reading.entity_type_id = entity_type_of(item.get("entityTypeId"))
        raise


def _malformed(why: Unreadable, message: Incoming, reading: _Reading) -> Malformed:
    digest = reading.digest
    name = reading.event_id or message.message_id or ""
    return Malformed(
        event_id=name if 0 < len(name) <= MAX_ID else f"sha256:{digest}",
        entity_type_id=reading.entity_type_id,
        code=why.code,
        message=str(why)[:1000],
        digest=digest,
        origin=_origin(message, reading.attributes),
        notes=reading.notes,
    )


def is_envelope(document: object) -> bool:
    """Tell a structured CloudEvent by its members, whatever the content type says."""
    return (
        isinstance(document, dict)
        and document.keys() >= _ENVELOPE_MARKS
        and not document.keys().isdisjoint({"data", "data_base64"})
        and "entityTypeId" not in document
    )


def _wrong(message: str) -> Unreadable:
    return Unreadable(MalformedCode.WRONG_SHAPE, message)


def media_type(content_type: str | None) -> str:
    """Return a content type as it is compared: without case and parameters."""
    return (content_type or "").split(";")[0].strip().lower()


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"{name} must be a JSON object")
    return value


def _binary_attributes(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the CloudEvents attributes among the headers; empty where it is no CloudEvent."""
    found: dict[str, Any] = {}
    for name, value in headers.items():
        match = _ATTRIBUTE.match(name)
        if match is not None:
            found[match["name"].lower()] = _text(value)
    return found if found.keys() & _BINARY_MARKS else {}


def _text(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else value


def _cloud_id(attributes: Mapping[str, Any]) -> str:
    for name in ("source", "id"):
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise _wrong(f"the CloudEvents attribute {name} must be a non-empty string")
    return f"{attributes['source']} {attributes['id']}"


def _cloud_name(attributes: Mapping[str, Any]) -> str | None:
    with suppress(Unreadable):
        return _cloud_id(attributes)
    return None


def _data(
    envelope: Mapping[str, Any], body: bytes | memoryview
) -> tuple[object, bytes | memoryview]:
    """Return the item event in an envelope: parsed, and as it was written.

    Writers put null for what is not there.
    """
    data, encoded = envelope.get("data"), envelope.get("data_base64")
    if "data" in envelope and encoded is None:
        return data, memoryview(msgspec.json.decode(body, type=_Structured).data)
    if not isinstance(encoded, str) or data is not None:
        raise _wrong("the CloudEvents envelope must have either data or data_base64")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("data_base64 is not Base64") from None
    return strict_json(raw), unmarked(raw)


def _own_id(item: Mapping[str, Any]) -> str | None:
    value = item.get("id")
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong("id must be a non-empty string or an integer")
    return str(value)


def _entity_type(value: object) -> int:
    found = entity_type_of(value)
    if found is None:
        raise _wrong(f"entityTypeId must be an integer from 1 to {MAX_ENTITY_TYPE}")
    return found


def _original_names(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if value in {"Y", "N"} if isinstance(value, str) else False:
        return value == "Y"
    raise _wrong('useOriginalUfNames must be "Y", "N", true or false')


def _redriven_id(headers: Mapping[str, Any]) -> str | None:
    value = _text(headers.get("import_event_id"))
    return value if isinstance(value, str) and value else None


def _origin(message: Incoming, attributes: Mapping[str, Any]) -> Origin:
    count = message.headers.get("import_redrive_count")
    trace = {}
    for name in ("traceparent", "tracestate"):
        value = _text(message.headers.get(name) or attributes.get(name))
        if isinstance(value, str) and 0 < len(value) <= MAX_TRACE:
            trace[name] = value
    return Origin(
        correlation_id=message.correlation_id or None,
        trace=trace,
        redrive_count=count if isinstance(count, int) and count > 0 else 0,
        time=_time(attributes.get("time")),
    )


def _time(value: object) -> str | None:
    """Return the event's own time as it was written; what is too long can be none."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) and len(value) <= MAX_TIME else None
