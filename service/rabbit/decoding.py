"""Reads an item event out of a message: plain JSON or CloudEvents, plain or compressed."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from service.domain.events import Identity, ItemEvent, Links, Malformed, Origin
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
    wrong_shape,
)
from service.rabbit.cloud_events import (
    BATCH,
    STRUCTURED,
    binary_attributes,
    data_of,
    event_name,
    is_envelope,
    media_type,
    text_of,
)
from service.rabbit.cloud_events import event_id as cloud_id
from service.rabbit.raw_json import without

MAX_ID = 1000
MAX_TIME = 64
MAX_TRACE = 8192
"""Characters of a trace's state that are passed on, many times what its standard asks for."""
_Raw = bytes | memoryview


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
        if hint := looks_like(item):
            with suppress(Unreadable):
                _name(reading, item, message)
            raise wrong_shape(f"the body is no item event: {hint}")
        reading.notes = notes_on(item)
        _name(reading, item, message)
        digest = reading.digest
        # What waited is named by its header, but has no more id than when it came.
        nameless = f"sha256:{digest}"
        event_id = reading.event_id or nameless
        if event_id == nameless:
            reading.notes += (NO_ID,)
        entity_type_id = reading.entity_type_id = _entity_type(item.get("entityTypeId"))
        original_names = _original_names(item.get("useOriginalUfNames"))
        fields = item.get("fields")
        if not isinstance(fields, dict) or not fields:
            raise wrong_shape("fields must be an object with at least one member")
        written = msgspec.json.decode(raw, type=_Plain).fields
        see_whole_numbers(bytes(written))
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
            notes=reading.notes,
            asks=profile_of(fields),
            links=links,
        )

    def _links(self, value: object, own: Own) -> Links:
        try:
            return links_of(value, own, self._external_ids)
        except LinksError as error:
            raise wrong_shape(str(error)) from None


def _item(message: Incoming, reading: _Reading) -> tuple[dict[str, Any], _Raw]:
    """Return the item event, read and as it was written, out of whatever envelope it came in."""
    document = strict_json(reading.body)
    raw: _Raw = unmarked(reading.body)
    kind = media_type(message.content_type)
    if is_envelope(document) or kind == STRUCTURED:
        reading.attributes = _object(document, "the CloudEvents envelope")
        reading.event_id = reading.event_id or event_name(reading.attributes)
        document, raw = data_of(reading.attributes, raw)
    elif kind == BATCH:
        raise wrong_shape("the CloudEvents batch format is not accepted: send one event a message")
    elif attributes := binary_attributes(message.headers):
        reading.attributes = attributes
        reading.event_id = reading.event_id or event_name(attributes)
    if not isinstance(document, dict) and (hint := looks_like(document)):
        raise wrong_shape(f"the body is no item event: {hint}")
    return _object(document, "the item event"), raw


def _name(reading: _Reading, item: Mapping[str, Any], message: Incoming) -> None:
    """Find the event's id; raises Unreadable, also for one that is too long."""
    try:
        if reading.attributes:
            reading.event_id = reading.event_id or cloud_id(reading.attributes)
        reading.event_id = reading.event_id or _own_id(item) or message.message_id
        if len(reading.event_id or "") > MAX_ID:
            raise wrong_shape(
                f"the event id has more than {MAX_ID:,} characters: send a short one"
            )
    except Unreadable:
        # What fails without a readable id still tells its type.
        reading.entity_type_id = entity_type_of(item.get("entityTypeId"))
        raise


def _malformed(why: Unreadable, message: Incoming, reading: _Reading) -> Malformed:
    digest = reading.digest
    attributes = reading.attributes
    if not attributes and media_type(message.content_type) != STRUCTURED:
        # The headers can be read whatever the body is.
        attributes = binary_attributes(message.headers)
    name = reading.event_id or event_name(attributes) or message.message_id or ""
    return Malformed(
        event_id=name if 0 < len(name) <= MAX_ID else f"sha256:{digest}",
        entity_type_id=reading.entity_type_id,
        code=why.code,
        message=str(why)[:1000],
        digest=digest,
        origin=_origin(message, attributes),
        notes=reading.notes,
    )


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong_shape(f"{name} must be a JSON object")
    return value


def _own_id(item: Mapping[str, Any]) -> str | None:
    value = item.get("id")
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise wrong_shape("id must be a non-empty string or an integer")
    return str(value)


def _entity_type(value: object) -> int:
    found = entity_type_of(value)
    if found is None:
        raise wrong_shape(f"entityTypeId must be an integer from 1 to {MAX_ENTITY_TYPE}")
    return found


def _original_names(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if value in {"Y", "N"} if isinstance(value, str) else False:
        return value == "Y"
    raise wrong_shape('useOriginalUfNames must be "Y", "N", true or false')


def _redriven_id(headers: Mapping[str, Any]) -> str | None:
    value = text_of(headers.get("import_event_id"))
    return value if isinstance(value, str) and value else None


def _origin(message: Incoming, attributes: Mapping[str, Any]) -> Origin:
    count = message.headers.get("import_redrive_count")
    trace = {}
    for name in ("traceparent", "tracestate"):
        value = text_of(message.headers.get(name) or attributes.get(name))
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
