"""Foresees what the portal will refuse of an item, as far as its list of fields tells.

What it refuses for reasons of its own shows only when it is asked to import: a right, a pipeline,
a currency, a stage that demands a field, a value that must be unique.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from service.domain import php, strtotime
from service.domain.external_id import MAX_LENGTH, original_name
from service.domain.fields import SET_BY_ADMINISTRATORS, Field

REQUIRED = "CRM_FIELD_ERROR_REQUIRED"
NOT_VALID = "CRM_FIELD_ERROR_VALUE_NOT_VALID"
NO_LIST = "100"
TOO_LONG = "400"
_RELATED = frozenset({"companyId", "contactId", "leadId", "dealId", "quoteId"})
_EMPTY: tuple[object, ...] = (None, "", [], {})
_SHAPES = {str: "a text", bool: "true or false", int: "a number", type(None): "null"}
_SOONER = "leave the times out, or send them oldest first while no other program makes items"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """One field for which the portal will refuse an item; not `sure`: for which it may."""

    code: str
    field: str
    text: str
    remedy: str
    sure: bool = True


def foreseen(
    fields: Mapping[str, object], known: Mapping[str, Field], *, admin: bool | None, now: datetime
) -> list[Foreseen]:
    """Return what of an item the portal will refuse, by its field list `known`.

    `admin`: whether the credentials are an administrator's, None where nobody could tell. Source:
    `bitrix/README.md` and the portal's documentation of imports.
    """
    return [
        *_required(fields, known),
        *_no_lists(fields, known),
        *_references(fields),
        *_system_fields(fields, admin=admin, now=now),
        *_too_long(fields),
    ]


def needs_admin(fields: Mapping[str, object]) -> bool:
    """Tell whether an item sets what only administrators may set."""
    return not SET_BY_ADMINISTRATORS.isdisjoint(fields)


def _required(fields: Mapping[str, object], known: Mapping[str, Field]) -> Iterator[Foreseen]:
    """Yield what is missing; the portal fills yes-or-no fields itself, though it lists them.

    Own fields are demanded of imports only where the portal's option `rest_enable_req_uf_check`
    is set, which nobody can read.
    """
    for name, field in known.items():
        if not field.required or field.kind == "boolean" or field.read_only:
            continue
        own = name.startswith(("ufCrm", "UF_"))
        given = [fields.get(each) for each in _spellings(name, fields)]
        if all(value in _EMPTY for value in given):
            text = "is missing, but the portal's field list says that it is required"
            yield Foreseen(REQUIRED, name, text, f"send {name}", sure=not own)


def _spellings(name: str, fields: Mapping[str, object]) -> list[str]:
    """Return the names by which a field may be given."""
    if not name.startswith("UF_"):
        return [name]
    return [each for each in fields if original_name(each) == name] or [name]


def _no_lists(fields: Mapping[str, object], known: Mapping[str, Field]) -> Iterator[Foreseen]:
    for name, value in fields.items():
        field = known.get(name)
        if field is None and name.startswith("ufCrm"):
            field = known.get(original_name(name))
        own = name.startswith(("ufCrm", "UF_"))
        if field is None or not own or not field.multiple or isinstance(value, list | dict):
            continue
        shape = _SHAPES.get(type(value), "a number")
        text = f"takes several values but has {shape}, which the portal refuses"
        yield Foreseen(NO_LIST, name, text, "send a list, even for one value")


def _references(fields: Mapping[str, object]) -> Iterator[Foreseen]:
    for name in sorted(_RELATED & fields.keys()):
        value = fields[name]
        if isinstance(value, bool) or not isinstance(value, str | int):
            continue
        if php.integer_of(value) < 0:
            # What PHP makes of a number beyond 64 bits depends on its version.
            sure = isinstance(value, str) or php.is_whole(value)
            text = "is below zero: no item has it"
            yield Foreseen(NOT_VALID, name, text, "send an item id", sure=sure)


def _system_fields(
    fields: Mapping[str, object], *, admin: bool | None, now: datetime
) -> Iterator[Foreseen]:
    """Yield what is wrong with the fields that only administrators may set."""
    sent = sorted(SET_BY_ADMINISTRATORS & fields.keys())
    times = {name: _moment(fields[name]) for name in sent if name.endswith("Time")}
    if not sent:
        return
    if admin is not True:
        text = "can be set only by administrators"
        unread = all(times.get(name, now) is None for name in sent)
        sure = admin is False and not unread
        yield Foreseen(NOT_VALID, sent[0], text, f"leave {', '.join(sent)} out", sure=sure)
        return
    if (odd := next((name for name in times if _is_odd(fields[name])), None)) is not None:
        text = "is not an ISO 8601 time: only the import shows whether the portal accepts it"
        remedy = "send a time such as 2026-01-31T10:00:00+00:00"
        yield Foreseen(NOT_VALID, odd, text, remedy, sure=False)
    else:
        yield from _times(times, now)


def _times(times: Mapping[str, datetime | None], now: datetime) -> Iterator[Foreseen]:
    """Yield what is wrong with times that an administrator sets."""
    created = times.get("createdTime") or now
    updated = times.get("updatedTime") or now
    moved = times.get("movedTime")
    if created > now:
        yield Foreseen(NOT_VALID, "createdTime", "lies in the future", "send an earlier time")
    elif updated > now:
        yield Foreseen(NOT_VALID, "updatedTime", "lies in the future", "send an earlier time")
    elif updated < created:
        yield Foreseen(NOT_VALID, "updatedTime", "is earlier than createdTime", "send a later one")
    elif moved is not None and not created <= moved <= updated:
        text = "does not lie between createdTime and updatedTime"
        yield Foreseen(NOT_VALID, "movedTime", text, "send a time between them")
    elif times.get("createdTime") is not None:
        text = "is refused if any item of this type was created later"
        yield Foreseen(NOT_VALID, "createdTime", text, _SOONER, sure=False)


def _moment(value: object) -> datetime | None:
    """Return a time in ISO 8601, in UTC where it names no zone; None for anything else."""
    try:
        found = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _is_odd(value: object) -> bool:
    """Tell whether the portal reads a time that `_moment` does not."""
    if not isinstance(value, str) or _moment(value) is not None:
        return False
    return strtotime.read(value) is not None


def _too_long(fields: Mapping[str, object]) -> Iterator[Foreseen]:
    value = fields.get("xmlId")
    if isinstance(value, str) and len(value) > MAX_LENGTH:
        text = f"is longer than {MAX_LENGTH} characters, which some databases refuse"
        yield Foreseen(TOO_LONG, "xmlId", text, "leave it out: the importer sets it", sure=False)
