"""Sets fields of an item event in any envelope; every other field keeps its bytes."""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from service.domain.events import Malformed, MalformedCode
from service.rabbit.bodies import GZIP, encoding_of, unmarked
from service.rabbit.cloud_events import STRUCTURED, is_envelope, media_type
from service.rabbit.letters import Letter

_REFERENCE = frozenset({"entityTypeId", "id"})
_Links = dict[str, msgspec.Raw] | None
Patch = Mapping[str, bytes]
"""The new value of each field, as JSON."""


class Unpatchable(Exception):  # noqa: N818 - reads as what it says
    """The body has no fields that could be set; the text says why."""


def patch_of(assignments: list[tuple[str, str]]) -> Patch:
    """Return the patch that FIELD=VALUE describes: VALUE is strict JSON, else a string."""
    return {field: _value(text) for field, text in assignments}


def patched(letter: Letter, patch: Patch) -> bytes:
    """Return the letter's body with the fields set; raises Unpatchable."""
    if not patch:
        return letter.body
    with _readable(letter):
        body = _unpacked(letter)
        plain = _envelope(body, patch) if _is_inside(letter, body) else _item(body, patch)
    return gzip.compress(plain, mtime=0) if _is_packed(letter) else plain


def fields_of(letter: Letter) -> Mapping[str, bytes]:
    """Return the fields that a patch could set, each value as JSON; raises Unpatchable."""
    with _readable(letter):
        body = _unpacked(letter)
        item = _data(body) if _is_inside(letter, body) else body
        members = _members(item)
        fields = _members(bytes(members["fields"])) if "fields" in members else {}
    return {name: bytes(value) for name, value in fields.items()}


@contextmanager
def _readable(letter: Letter) -> Iterator[None]:
    """Say of a body that cannot be taken apart that it has no fields; raises Unpatchable."""
    event = letter.event
    if isinstance(event, Malformed) and event.code is not MalformedCode.WRONG_SHAPE:
        raise Unpatchable(event.message)
    try:
        yield
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Unpatchable("it has no fields to set") from None


def _is_packed(letter: Letter) -> bool:
    return encoding_of(letter.properties.content_encoding) == GZIP


def _unpacked(letter: Letter) -> bytes:
    body = gzip.decompress(letter.body) if _is_packed(letter) else letter.body
    return unmarked(body)


def _is_inside(letter: Letter, body: bytes) -> bool:
    """Tell whether the item event is the data of an envelope."""
    kind = media_type(letter.properties.content_type)
    return kind == STRUCTURED or is_envelope(_members(body))


def _data(body: bytes) -> bytes:
    """Return the item event in a CloudEvents envelope, plain or in Base64."""
    members = _members(body)
    if _has_data(members):
        return bytes(members["data"])
    if "data_base64" not in members:
        raise Unpatchable("its envelope has no data")
    encoded = msgspec.json.decode(members["data_base64"], type=str)
    return unmarked(base64.b64decode(encoded, validate=True))


def _has_data(members: Mapping[str, msgspec.Raw]) -> bool:
    """Tell whether an envelope has its data in the clear; some writers put null there."""
    return "data" in members and bytes(members["data"]) != b"null"


def _envelope(body: bytes, patch: Patch) -> bytes:
    """Patch the item event in a CloudEvents envelope, plain or in Base64."""
    members, item = _members(body), _item(_data(body), patch)
    if _has_data(members):
        return _object({**members, "data": msgspec.Raw(item)})
    again = msgspec.json.encode(base64.b64encode(item).decode())
    return _object({**members, "data_base64": msgspec.Raw(again)})


def _item(body: bytes, patch: Patch) -> bytes:
    """Patch an item event; a field that is set stands in `links` no more, and the other way."""
    members = _members(body)
    fields = _members(bytes(members["fields"])) if "fields" in members else {}
    links = _links(members)
    for name, value in patch.items():
        place, other = (links, fields) if _refers(value) else (fields, links)
        place[name] = msgspec.Raw(value)
        other.pop(name, None)
    members.pop("links", None)
    changed = {**members, "fields": msgspec.Raw(_object(fields))}
    return _object({**changed, "links": msgspec.Raw(_object(links))} if links else changed)


def _links(members: Mapping[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    try:
        return dict(msgspec.json.decode(members["links"], type=_Links) or {})
    except KeyError:
        return {}
    except msgspec.ValidationError:
        raise Unpatchable(
            "its links are no object: correct the sender and publish the event again"
        ) from None


def _refers(value: bytes) -> bool:
    """Tell whether a value says which event's item a field is to hold."""
    read = msgspec.json.decode(value)
    several = read if isinstance(read, list) else [read]
    return bool(several) and all(isinstance(e, dict) and e.keys() >= _REFERENCE for e in several)


def _members(body: bytes) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(body, type=dict[str, msgspec.Raw])


def _object(members: Mapping[str, msgspec.Raw]) -> bytes:
    """Write an object of members that are written already."""
    return msgspec.json.encode(members)


def _value(text: str) -> bytes:
    try:
        json.loads(text, parse_constant=_refuse)
        written = text.encode()
    except (ValueError, RecursionError):
        written = json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
    return written


def _refuse(constant: str) -> object:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(constant)
