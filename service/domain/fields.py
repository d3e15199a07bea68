"""Judges what an item says against what the portal knows of its fields."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

Policy = Literal["off", "warn", "reject"]
"""The setting `VALIDATION`: look at no field, warn of what would be lost, or refuse the item."""
LONGEST = 255
MOST_COMPLAINTS = 20
SIZED = frozenset({"title", "originId", "originatorId", "xmlId"})
MULTIFIELDS = frozenset({"PHONE", "EMAIL", "WEB", "IM"})
"""Imports read these, and not the `fm` that `crm.item.fields` lists (`bitrix24.md` §1)."""
_PARENT = re.compile(r"parentId\d+")
_YES_OR_NO = frozenset({"", "0", "n", "no", "false", "y", "true"})
_SINGLE = frozenset(
    {
        "string",
        "text",
        "integer",
        "double",
        "boolean",
        "date",
        "datetime",
        "enumeration",
        "money",
        "url",
        "user",
        "crm_status",
    }
)
"""Kinds of which one value is never a list; others, such as files, may be."""
_JUDGED = frozenset({"boolean", "date", "datetime", "enumeration"})
"""Kinds of which one value may be wrong."""


class Flaw(StrEnum):
    """What the portal would do without a word (label of `importer_field_complaints_total`)."""

    UNKNOWN = "unknown"
    """Ignores the field."""
    BOOLEAN = "boolean"
    """Reads the value as no."""
    DATE = "date"
    """Skips the field."""
    CHOICE = "choice"
    """Stores or drops a value that means nothing."""
    LIST = "list"
    """Cannot read the value's shape."""
    LENGTH = "length"
    """Cuts the value off."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field as the portal describes it; `choices` are the ids of an enumeration, if told."""

    kind: str
    multiple: bool = False
    choices: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Complaint:
    """One field whose value would be lost or changed; never shows the value."""

    flaw: Flaw
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field} {self.text}"


def complaints(
    fields: Mapping[str, object], known: Mapping[str, Field], *, original_names: bool = False
) -> list[Complaint]:
    """Return what of an item's fields the portal would drop or change in silence.

    Facts: `bitrix24.md` §7.3. Empty values are let through: they say "nothing", and get it.
    `original_names`: own fields are known as `UF_CRM_…`; the portal reads the other spelling,
    too, so that it goes unjudged.
    """
    found: list[Complaint] = []
    for name, value in fields.items():
        if original_names and name.startswith("ufCrm"):
            continue
        if _is_plain(name, value, known.get(name)):
            continue
        for flaw, text in _of(name, value, known):
            found.append(Complaint(flaw, name[:LONGEST], text))
            if len(found) == MOST_COMPLAINTS:
                return found
    return found


def _is_plain(name: str, value: object, field: Field | None) -> bool:
    """Tell, quickly, whether this is the usual case: one value in a field that takes any."""
    return (
        field is not None
        and not field.multiple
        and field.kind not in _JUDGED
        and (type(value) is not str or len(value) <= LONGEST or name not in SIZED)
        and type(value) is not list
        and type(value) is not dict
        and name != "fm"
    )


def _of(name: str, value: object, known: Mapping[str, Field]) -> Iterator[tuple[Flaw, str]]:
    field = known.get(name)
    if name == "fm":
        yield Flaw.UNKNOWN, "is not read by imports: send PHONE, EMAIL, WEB and IM"
        return
    if field is None:
        if name not in MULTIFIELDS and not _PARENT.fullmatch(name):
            yield Flaw.UNKNOWN, "is unknown to the portal, which ignores it: look at its spelling"
        return
    if name in SIZED and isinstance(value, str) and len(value) > LONGEST:
        yield Flaw.LENGTH, f"is longer than {LONGEST} characters: the portal cuts it off"
    if value is None or value == "":
        return
    shape = _shape(name, value, field)
    if shape is not None:
        yield Flaw.LIST, shape
    elif field.multiple or not isinstance(value, list | dict):
        several = value if isinstance(value, list) else [value]
        yield from dict.fromkeys(flaw for one in several for flaw in _value(field, one))


def _shape(name: str, value: object, field: Field) -> str | None:
    """Return what is wrong with giving one value or several."""
    several = isinstance(value, list | dict)
    if several and not field.multiple and field.kind in _SINGLE:
        return f"is a list or an object, but the portal takes one {field.kind}"
    if field.multiple and not several and name.startswith(("ufCrm", "UF_")):
        return "takes several values: send a list, even for one"
    return None


def _value(field: Field, value: object) -> Iterator[tuple[Flaw, str]]:
    match field.kind:
        case "boolean" if not _is_yes_or_no(value):
            yield Flaw.BOOLEAN, 'becomes no: only true, "true" and "Y" mean yes to the portal'
        case "date" | "datetime" if not _is_date(value):
            yield (
                Flaw.DATE,
                "is no ISO date (2026-01-31, 2026-01-31T10:00:00+00:00): it is skipped",
            )
        case "enumeration" if field.choices is not None and str(value) not in field.choices:
            yield Flaw.CHOICE, "is none of the ids that the portal lists for this field"
        case _:
            pass


def _is_yes_or_no(value: object) -> bool:
    """Tell whether a value is read as it was meant; the number 1 is read as no."""
    if isinstance(value, str):
        return value.lower() in _YES_OR_NO
    return isinstance(value, bool) or value in (None, 0)


def _is_date(value: object) -> bool:
    if not isinstance(value, str) or not value[:4].isdigit() or value[4:5] != "-":
        return value in (None, "")
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
