"""Decides which CRM field carries an event's identity, and with which value."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.events import ExternalId

MAX_LENGTH = 255
"""The portal cuts longer values without a word (`bitrix24.md` §6.1)."""

_WITH_ORIGINATOR = frozenset({1, 2, 3, 4})
_WITH_XML_ID = frozenset({31})
_FIRST_SMART_PROCESS = 128
_USER_FIELD = re.compile(r"^ufCrm(?P<type>\d*)_?(?P<rest>.*)$")


def shorten(value: str, limit: int = MAX_LENGTH) -> str:
    """Return the value, or `sha256:<hex>` of it where it is longer than the limit."""
    if len(value) <= limit:
        return value
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()


def original_name(name: str) -> str:
    """Return the `UF_CRM_…` spelling of a camelCase user field; other names stay."""
    match = _USER_FIELD.match(name)
    if match is None:
        return name
    rest = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", match["rest"]).upper()
    return "_".join(part for part in ("UF_CRM", match["type"], rest) if part)


@dataclass(frozen=True, slots=True)
class Stamped:
    """The outcome of stamping: what to look up later, and the JSON members to add."""

    external_id: ExternalId | None
    stamp: bytes


@dataclass(frozen=True, slots=True)
class ExternalIds:
    """Knows the field of each entity type: built in, overridden or added by settings."""

    originator: str
    overrides: Mapping[int, str] = field(default_factory=dict)

    def field_of(self, entity_type_id: int) -> str | None:
        """Return the camelCase field that carries the external id; None where there is none."""
        if entity_type_id in self.overrides:
            return self.overrides[entity_type_id]
        if entity_type_id in _WITH_ORIGINATOR:
            return "originId"
        if entity_type_id in _WITH_XML_ID or entity_type_id >= _FIRST_SMART_PROCESS:
            return "xmlId"
        return None

    def stamp(
        self,
        entity_type_id: int,
        event_id: str,
        fields: Mapping[str, object],
        *,
        original_names: bool,
    ) -> Stamped:
        """Return the external id of an event and the members that must be added for it."""
        name = self.field_of(entity_type_id)
        if name is None:
            return Stamped(None, b"")
        wire = original_name(name) if original_names else name
        added: dict[str, str] = {}
        value = _own_or(fields, wire, shorten(event_id), added)
        originator: str | None = None
        if name == "originId":
            originator = _own_or(fields, "originatorId", self.originator, added)
            if originator is None:
                return Stamped(None, _members(added))
        if value is None:
            return Stamped(None, _members(added))
        return Stamped(ExternalId(name, value, originator), _members(added))


def _own_or(
    fields: Mapping[str, object], name: str, ours: str, added: dict[str, str]
) -> str | None:
    """Return the value the item will carry; note ours as added where the event has none."""
    if name not in fields:
        added[name] = ours
        return ours
    return _comparable(fields[name])


def _comparable(value: object) -> str | None:
    """Return a brought value as the portal will store it; None where that is not known."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text if text.strip() and len(text) <= MAX_LENGTH else None


def _members(added: Mapping[str, str]) -> bytes:
    """Write the added fields as JSON members, each followed by a comma."""
    return "".join(f'"{name}":{_quoted(value)},' for name, value in added.items()).encode()


_quoted = json.JSONEncoder(ensure_ascii=False).encode
