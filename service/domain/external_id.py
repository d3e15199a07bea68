"""Decides which CRM field carries an event's identity, and with which value."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from service.domain.events import ExternalId

MAX_LENGTH = 255
"""Characters. The portal cuts longer values without an error."""
_LAST_OF_THREE_BYTES = "\uffff"
"""MySQL's `utf8` stores three bytes a character, and cuts a text at the first longer one."""

_WITH_ORIGINATOR = frozenset({1, 2, 3, 4})
_WITH_XML_ID = frozenset({31})
_FIRST_SMART_PROCESS = 128
_USER_FIELD = re.compile(r"^ufCrm(?P<type>\d*)_?(?P<rest>.*)$")


def shorten(value: str, limit: int = MAX_LENGTH) -> str:
    """Return the value, or `sha256:<hex>` of it where it is longer than the limit."""
    if len(value) <= limit:
        return value
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()


def may_change(value: str) -> bool:
    """Tell whether a store may keep something else than this text.

    Columns of three-byte UTF-8 end before a character beyond U+FFFF; control characters and
    white space at either end are stripped or ignored by forms, filters and databases.
    """
    if value.isascii() and value.isprintable():
        # Most are; printable ASCII has no other white space than the space itself.
        return value[:1] == " " or value[-1:] == " "
    return value != value.strip() or any(
        each > _LAST_OF_THREE_BYTES or unicodedata.category(each) == "Cc" for each in value
    )


def storable(event_id: str) -> str:
    """Return the event id as it is stamped: itself, or a digest where it may not be kept."""
    return shorten(event_id, 0) if may_change(event_id) else shorten(event_id)


def original_name(name: str) -> str:
    """Return the `UF_CRM_…` spelling of a camelCase user field; other names stay."""
    match = _USER_FIELD.match(name)
    if match is None:
        return name
    rest = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", match["rest"]).upper()
    return "_".join(part for part in ("UF_CRM", match["type"], rest) if part)


@dataclass(frozen=True, slots=True)
class Stamped:
    """The outcome of stamping.

    `external_id` is what to look up later, `stamp` the JSON members to add, `blank` the names of
    the event's own members that are empty and must give way to them.
    """

    external_id: ExternalId | None
    stamp: bytes
    blank: frozenset[str] = frozenset()


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

    def of(
        self, entity_type_id: int, event_id: str, originator: str | None = None
    ) -> ExternalId | None:
        """Return what the item of an event carries that brings no external id of its own.

        `originator`: who imported it, None for ourselves. None where its type has no such field.
        """
        ids = self if originator is None else replace(self, originator=originator)
        return ids.stamp(entity_type_id, event_id, {}, original_names=False).external_id

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
        # A call with original names takes camelCase as well: the portal converts what is not UF_.
        spellings = [original_name(name), name] if original_names else [name]
        parts = [_Part.of(fields, spellings, storable(event_id))]
        if name == "originId":
            parts.append(_Part.of(fields, ["originatorId"], self.originator))
        return Stamped(
            _external_id(name, parts),
            _members({part.name: part.value or "" for part in parts if not part.brought}),
            frozenset(name for part in parts for name in part.blank),
        )


class _Part(NamedTuple):
    """One field of an external id: the value that the item will carry, None where not known."""

    name: str
    value: str | None
    brought: bool
    blank: frozenset[str] = frozenset()

    @classmethod
    def of(cls, fields: Mapping[str, object], spellings: list[str], ours: str) -> "_Part":
        """Return what the event brings under one of the spellings, else ours under the first."""
        named = [name for name in spellings if name in fields]
        if not named:
            return cls(spellings[0], ours, brought=False)
        brought = [name for name in named if not _is_blank(fields[name])]
        blank = frozenset(named) - frozenset(brought)
        if not brought:
            return cls(spellings[0], ours, brought=False, blank=blank)
        # Of two spellings the portal keeps the one that comes last in the event.
        last = max(brought, key=list(fields).index)
        return cls(last, _comparable(fields[last]), brought=True, blank=blank)


def _external_id(name: str, parts: list[_Part]) -> ExternalId | None:
    """Return what can be asked for; None where the portal keeps a value that is not known."""
    values = [part.value for part in parts if part.value is not None]
    if len(values) < len(parts):
        return None
    exact = not any(map(may_change, values))
    return ExternalId(name, values[0], values[1] if len(values) > 1 else None, exact=exact)


def _is_blank(value: object) -> bool:
    """Tell whether a brought value says nothing; the portal stores nothing for it either."""
    return not (value.strip() if isinstance(value, str) else value)


def _comparable(value: object) -> str | None:
    """Return a brought value as the portal will store it; None where that is not known."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    fits = isinstance(value, str) or -(2**63) <= value < 2**63
    return text if fits and len(text) <= MAX_LENGTH else None


def _members(added: Mapping[str, str]) -> bytes:
    """Write the added fields as JSON members, each followed by a comma."""
    return "".join(f'"{name}":{_quoted(value)},' for name, value in added.items()).encode()


_quoted = json.encoder.encode_basestring
