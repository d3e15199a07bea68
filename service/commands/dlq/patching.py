"""Sets fields of an item event, whatever its envelope; every other field keeps its bytes."""

import base64
import gzip
import json
from collections.abc import Mapping

import msgspec

from service.domain.events import Malformed, MalformedCode
from service.rabbit.bodies import BOM, GZIP, encoding_of
from service.rabbit.decoding import STRUCTURED, is_envelope, media_type
from service.rabbit.letters import Letter

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
    event = letter.event
    if isinstance(event, Malformed) and event.code is not MalformedCode.WRONG_SHAPE:
        raise Unpatchable(event.message)
    is_packed = encoding_of(letter.properties.content_encoding) == GZIP
    kind = media_type(letter.properties.content_type)
    body = gzip.decompress(letter.body) if is_packed else letter.body
    try:
        body = body.removeprefix(BOM)
        is_inside = kind == STRUCTURED or is_envelope(_members(body))
        plain = _envelope(body, patch) if is_inside else _item(body, patch)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Unpatchable("it has no fields that could be set") from None
    return gzip.compress(plain, mtime=0) if is_packed else plain


def _envelope(body: bytes, patch: Patch) -> bytes:
    """Patch the item event in a CloudEvents envelope, plain or in Base64."""
    members = _members(body)
    if "data" in members:
        return _object({**members, "data": msgspec.Raw(_item(bytes(members["data"]), patch))})
    if "data_base64" not in members:
        raise Unpatchable("its envelope has no data")
    encoded = msgspec.json.decode(members["data_base64"], type=str)
    item = _item(base64.b64decode(encoded, validate=True).removeprefix(BOM), patch)
    again = msgspec.json.encode(base64.b64encode(item).decode())
    return _object({**members, "data_base64": msgspec.Raw(again)})


def _item(body: bytes, patch: Patch) -> bytes:
    members = _members(body)
    fields = _members(bytes(members["fields"])) if "fields" in members else {}
    changed = {**fields, **{name: msgspec.Raw(value) for name, value in patch.items()}}
    return _object({**members, "fields": msgspec.Raw(_object(changed))})


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
