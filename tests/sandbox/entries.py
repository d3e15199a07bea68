"""Turns one entry of an import into a stored item, or says what is wrong with it."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.sandbox.catalogue import CUT_AT, SYSTEM_FIELDS, TITLES, Catalogue, Field
from tests.sandbox.reply import refusal
from tests.sandbox.settings import Settings
from tests.sandbox.storing import converted, is_date, iso, kept

Newest = Callable[[], datetime | None]
Exists = Callable[[int, int], bool]
REFERRED = {
    "leadId": 1,
    "dealId": 2,
    "contactId": 3,
    "contactIds": 3,
    "companyId": 4,
    "companyIds": 4,
    "mycompanyId": 4,
    "quoteId": 7,
}
"""Fields that hold items, with their type; `parentId128` and the like say it themselves."""
NOT_VALID = "CRM_FIELD_ERROR_VALUE_NOT_VALID"


class EntryRefused(Exception):  # noqa: N818 - an expected answer, not an error of this program
    """Refuses one entry; `saved` marks the errors that come after the item was stored."""

    def __init__(self, code: str | int, description: str, *, saved: bool = False) -> None:
        """Keep the answer of this entry."""
        super().__init__(description)
        self.code = code
        self.description = description
        self.saved = saved

    def answer(self) -> dict[str, object]:
        """Return the entry of the answer."""
        return {"error": self.code, "error_description": self.description}


@dataclass(frozen=True, slots=True)
class Draft:
    """Holds the fields to store and, where a file was unreadable, the error to answer."""

    fields: dict[str, Any]
    complaint: EntryRefused | None = None


class Clerk:
    """Checks entries in the portal's order: parse, permission, required fields, values, save."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        """Work under the given settings."""
        self._settings = settings
        self._catalogue = catalogue

    def draft(
        self, entity_type: int, entry: object, *, original: bool, newest: Newest, exists: Exists
    ) -> Draft:
        """Return what would be stored; raises `EntryRefused` for what is refused unsaved."""
        fields, complaint = self._parsed(entity_type, entry, original=original)
        if entity_type in self._settings.import_denied:
            raise EntryRefused("ACCESS_DENIED", "Access denied.")
        self._check_required(entity_type, fields)
        self._check_values(entity_type, fields)
        if self._settings.references == "checked":
            _check_references(fields, exists)
        self._check_system_fields(fields, newest)
        if len(str(fields.get("xmlId", ""))) > CUT_AT:
            raise refusal(400, "400", "Mysql query error: (1406) Data too long for 'XML_ID'")
        stored = {name: kept(value, self._settings) for name, value in fields.items()}
        return Draft(stored, complaint)

    def _parsed(
        self, entity_type: int, entry: object, *, original: bool
    ) -> tuple[dict[str, Any], EntryRefused | None]:
        fields: dict[str, Any] = {}
        complaint: EntryRefused | None = None
        for name, value in entry.items() if isinstance(entry, dict) else ():
            found = self._catalogue.field(entity_type, name, original=original)
            if found is None or found.name == "id":
                continue
            if found.name.startswith("ufCrm") and found.multiple:
                if not isinstance(value, list | dict):
                    raise _not_iterable(value)
            elif (
                found.multiple
                and not isinstance(value, list | dict)
                and found.type != "crm_multifield"
            ):
                value = [value]  # noqa: PLW2901 - PHP casts it to an array
            if found.type == "file" and not _readable(value, found):
                complaint = EntryRefused(0, f'Unable to upload file "{found.name}"', saved=True)
            elif found.type not in {"date", "datetime"} or is_date(value):
                fields[found.name] = converted(found, value)
        return fields, complaint

    def _check_required(self, entity_type: int, fields: Mapping[str, object]) -> None:
        for name in self._settings.required.get(entity_type, ()):
            if fields.get(name) in (None, "", [], {}):
                raise EntryRefused("CRM_FIELD_ERROR_REQUIRED", f'The "{name}" field is required')

    def _check_values(self, entity_type: int, fields: Mapping[str, object]) -> None:
        for name, allowed in self._settings.allowed.get(entity_type, {}).items():
            if name in fields and fields[name] not in allowed:
                raise _not_valid(name)
        for name in ("companyId", "contactId", "leadId", "dealId", "quoteId"):
            value = fields.get(name)
            if isinstance(value, int) and value < 0:
                raise _not_valid(name)

    def _check_system_fields(self, fields: dict[str, Any], newest: Newest) -> None:
        """Apply the rules of the six fields that only an administrator may set."""
        sent = [name for name in SYSTEM_FIELDS if name in fields]
        if not sent:
            return
        if not self._settings.admin:
            raise _not_valid(sent[0])
        now = datetime.now(UTC)
        created = moment(fields["createdTime"]) if "createdTime" in fields else now
        updated = moment(fields["updatedTime"]) if "updatedTime" in fields else now
        latest = newest()
        if created > now or (latest is not None and created < latest):
            raise _not_valid("createdTime")
        if updated > now or updated < created:
            raise _not_valid("updatedTime")
        if "movedTime" in fields and not created <= moment(fields["movedTime"]) <= updated:
            raise _not_valid("movedTime")


def _check_references(fields: Mapping[str, object], exists: Exists) -> None:
    """Refuse the number of an item that the user cannot read; nothing and 0 are no number."""
    for name, value in fields.items():
        kind = REFERRED.get(name) or _parent(name)
        for each in value if isinstance(value, list) else [value]:
            number = int(each) if isinstance(each, str) and each.isdecimal() else each
            if (
                kind is not None
                and isinstance(number, int)
                and number
                and not exists(kind, number)
            ):
                label = TITLES.get(kind, "Item")
                raise EntryRefused(0, f'Access to "[{label} #{number}]" is denied')


def _parent(name: str) -> int | None:
    digits = name.removeprefix("parentId")
    return int(digits) if digits != name and digits.isdecimal() else None


def moment(text: str) -> datetime:
    """Read a date or an instant; one without an offset is UTC."""
    found = datetime.fromisoformat(iso(text))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _not_valid(name: str) -> EntryRefused:
    return EntryRefused(NOT_VALID, f'Invalid value of the "{name}" field')


def _not_iterable(value: object) -> EntryRefused:
    kinds = {str: "string", int: "integer", float: "double", bool: "boolean"}
    kind = kinds.get(type(value), "NULL")
    return EntryRefused(100, f"Expected iterable value for multiple field, but got {kind} instead")


def _readable(value: object, found: Field) -> bool:
    pairs = value if found.multiple and isinstance(value, list) else [value]
    return all(_is_file(pair) for pair in pairs)


def _is_file(pair: object) -> bool:
    match pair:
        case [str(), str(content)]:
            return _is_base64(content)
        case _:
            return False


def _is_base64(content: str) -> bool:
    try:
        base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
