"""Reads an item event out of a message: plain JSON or CloudEvents, plain or compressed."""

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jiter
import msgspec

from service.domain.events import ItemEvent, Malformed, MalformedCode, Origin
from service.domain.external_id import ExternalIds
from service.domain.members import NO_ID, notes_on
from service.rabbit.raw_json import without

DEEPEST = 64
LARGEST_TYPE = 2_147_483_647
_PLAIN_ENCODINGS = frozenset({"", "identity", "utf-8"})
STRUCTURED = "application/cloudevents+json"
GZIP = "gzip"
_BATCH = "application/cloudevents-batch+json"
_ATTRIBUTE = re.compile(r"^cloudevents[_:](?P<name>[a-z0-9]+)$", re.IGNORECASE)
_BINARY_MARKS = frozenset({"id", "source", "specversion", "type"})


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


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, code: MalformedCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class _Reading:
    """What has been read so far; a malformed message is named by it."""

    body: bytes
    event_id: str | None = None
    entity_type_id: int | None = None
    notes: tuple[str, ...] = ()


class Decoder:
    """Turns messages into item events; never raises, whatever the bytes."""

    def __init__(self, *, external_ids: ExternalIds, max_bytes: int) -> None:
        """Take the external-id rules and the size limit (bytes after decompression)."""
        self._external_ids = external_ids
        self._max_bytes = max_bytes

    def decode(self, message: Incoming) -> ItemEvent | Malformed:
        """Return the event of a message, or why it has none."""
        reading = _Reading(message.body, event_id=_redriven_id(message.headers))
        try:
            reading.body = self._plain_body(message)
            return self._event(message, reading)
        except _Unreadable as unreadable:
            digest = hashlib.sha256(reading.body).hexdigest()
            return Malformed(
                event_id=reading.event_id or message.message_id or f"sha256:{digest}",
                entity_type_id=reading.entity_type_id,
                code=unreadable.code,
                message=str(unreadable)[:1000],
                digest=digest,
                origin=_origin(message, {}),
                notes=reading.notes,
            )

    def _plain_body(self, message: Incoming) -> bytes:
        encoding = encoding_of(message.content_encoding)
        body = message.body
        if encoding == GZIP:
            plain = unpacked(body, self._max_bytes)
            if plain is None:
                raise _Unreadable(
                    MalformedCode.UNKNOWN_ENCODING,
                    "content_encoding says gzip, but the body is not a whole gzip stream",
                )
            body = plain
        elif encoding not in _PLAIN_ENCODINGS:
            raise _Unreadable(
                MalformedCode.UNKNOWN_ENCODING,
                f"content_encoding {encoding[:50]!r} is not known: send identity or gzip",
            )
        if len(body) > self._max_bytes:
            raise _Unreadable(
                MalformedCode.MESSAGE_TOO_LARGE,
                f"the body is larger than {self._max_bytes} bytes: split it or raise "
                "RABBIT__MAX_MESSAGE_BYTES",
            )
        return body

    def _event(self, message: Incoming, reading: _Reading) -> ItemEvent:
        document = _strict_json(reading.body)
        content_type = media_type(message.content_type)
        attributes = _binary_attributes(message.headers)
        raw: bytes | memoryview = reading.body
        if content_type == _BATCH:
            raise _wrong("the CloudEvents batch format is not accepted: send one event a message")
        if content_type == STRUCTURED:
            attributes = _object(document, "the CloudEvents envelope")
            reading.event_id = reading.event_id or _cloud_id(attributes)
            document, raw = _data(attributes, reading.body)
        elif attributes:
            reading.event_id = reading.event_id or _cloud_id(attributes)
        item = _object(document, "the item event")
        reading.notes = notes_on(item)
        reading.event_id = reading.event_id or _own_id(item) or message.message_id
        reading.entity_type_id = _entity_type(item.get("entityTypeId"))
        original_names = _original_names(item.get("useOriginalUfNames"))
        fields = item.get("fields")
        if not isinstance(fields, dict) or not fields:
            raise _wrong("fields must be an object with at least one member")
        digest = hashlib.sha256(reading.body).hexdigest()
        event_id = reading.event_id or f"sha256:{digest}"
        stamped = self._external_ids.stamp(
            reading.entity_type_id, event_id, fields, original_names=original_names
        )
        return ItemEvent(
            entity_type_id=reading.entity_type_id,
            event_id=event_id,
            fields=without(msgspec.json.decode(raw, type=_Plain).fields, stamped.blank),
            original_names=original_names,
            digest=digest,
            external_id=stamped.external_id,
            stamp=stamped.stamp,
            origin=_origin(message, attributes),
            notes=reading.notes if reading.event_id else (*reading.notes, NO_ID),
        )


def _wrong(message: str) -> _Unreadable:
    return _Unreadable(MalformedCode.WRONG_SHAPE, message)


def unpacked(body: bytes, limit: int) -> bytes | None:
    """Unpack a gzip body to one byte more than the limit at most; None where it is not whole."""
    plain, rest = b"", body
    try:
        while rest and len(plain) <= limit:
            inflate = zlib.decompressobj(wbits=31)
            plain += inflate.decompress(rest, limit + 1 - len(plain))
            if not inflate.eof:
                break
            rest = inflate.unused_data
    except zlib.error:
        return None
    return plain if len(plain) > limit or (body and not rest) else None


def media_type(content_type: str | None) -> str:
    """Return a content type as it is compared: without case and parameters."""
    return (content_type or "").split(";")[0].strip().lower()


def encoding_of(content_encoding: str | None) -> str:
    """Return a content encoding as it is compared: without case."""
    return (content_encoding or "").strip().lower()


def _strict_json(body: bytes) -> object:
    try:
        document: object = jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        raise _Unreadable(
            MalformedCode.NOT_JSON, f"the body is not strict UTF-8 JSON: {error}"
        ) from None
    if body_is_deep(body, document):
        raise _wrong(f"the body is nested deeper than {DEEPEST} levels: flatten it")
    return document


def body_is_deep(body: bytes, document: object) -> bool:
    """Tell whether a document nests deeper than allowed; few brackets cannot."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    level = [document]
    for _ in range(DEEPEST):
        level = [child for each in level for child in _children(each)]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


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


def _data(envelope: Mapping[str, Any], body: bytes) -> tuple[object, bytes | memoryview]:
    """Return the item event in an envelope: parsed, and as it was written."""
    if "data" in envelope and "data_base64" not in envelope:
        return envelope["data"], memoryview(msgspec.json.decode(body, type=_Structured).data)
    encoded = envelope.get("data_base64")
    if not isinstance(encoded, str) or "data" in envelope:
        raise _wrong("the CloudEvents envelope must have either data or data_base64")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("data_base64 is not Base64") from None
    return _strict_json(raw), raw


def _own_id(item: Mapping[str, Any]) -> str | None:
    value = item.get("id")
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong("id must be a non-empty string or an integer")
    return str(value)


def _entity_type(value: object) -> int:
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) <= len(str(LARGEST_TYPE))
    ):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_TYPE:
        raise _wrong(f"entityTypeId must be an integer from 1 to {LARGEST_TYPE}")
    return value


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
        if isinstance(value, str) and value:
            trace[name] = value
    return Origin(
        correlation_id=message.correlation_id or None,
        trace=trace,
        redrive_count=count if isinstance(count, int) and count > 0 else 0,
    )
