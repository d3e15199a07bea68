"""Reads answers, whatever their shape: an import's into a report, a description into fields."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from service.bitrix.errors import classify_item
from service.domain.fields import Field
from service.domain.outcomes import MISSING, Accepted, RefusalKind, Report, Verdict

_KEY = re.compile(r"m([0-9]{2})")
_MARKS = re.compile(rb"(?:\s*\xef\xbb\xbf){1,64}")
_DIGITS = re.compile(r"[0-9]{1,18}")
MAX_PARTS = 200_000
"""Most members and elements of an answer; each takes some hundred bytes as a Python object."""
MAX_ID = 2**63 - 1
"""Largest number of an item; the portal's database has no larger ones."""
MAX_CHOICES = 1000
"""Enumerations with more choices are not kept in memory; their values are not checked."""


def json_object(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object of an answer; None where it is none, or of far too many parts.

    A script of the portal that was saved with a byte order mark puts it before the answer.
    """
    if sum(map(content.count, (b",", b"{", b"["))) > MAX_PARTS:
        return None
    begin = _MARKS.match(content)
    try:
        document = msgspec.json.decode(content[begin.end() :] if begin else content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def read_report(answer: Mapping[str, Any], size: int) -> Report:
    """Return one verdict per item sent; what the answer does not tell stays unclear.

    A list is matched by position, and only if it has an entry for each item: with a wrong count
    nobody knows which one is missing.
    """
    result = answer.get("result")
    items = result.get("items") if isinstance(result, dict) else None
    verdicts: dict[int, Verdict] = {}
    if isinstance(items, list) and len(items) == size:
        verdicts = {position: _verdict(entry) for position, entry in enumerate(items)}
    elif isinstance(items, dict):
        for key, entry in items.items():
            match = _KEY.fullmatch(key)
            if match is not None:
                verdicts[int(match[1])] = _verdict(entry)
    return Report(size, _once(verdicts))


def read_types(answer: Mapping[str, Any]) -> list[int] | None:
    """Return the entity types that `crm.type.list` names; None where it names none.

    One for each row, so that a whole page is known: 0 where a row makes no sense.
    """
    result = answer.get("result")
    rows = result.get("types") if isinstance(result, dict) else None
    if not isinstance(rows, list):
        return None
    told = (row.get("entityTypeId") if isinstance(row, dict) else None for row in rows)
    return [positive_id(each) or 0 for each in told]


def read_fields(answer: Mapping[str, Any]) -> dict[str, Field] | None:
    """Return the fields that `crm.item.fields` describes, by name; None where it does not."""
    result = answer.get("result")
    told = result.get("fields") if isinstance(result, dict) else None
    if not isinstance(told, dict) or not told:
        return None
    return {name: _field(each) for name, each in told.items()}


def _field(told: object) -> Field:
    """Return a field; of what cannot be read only that there is one."""
    if not isinstance(told, dict):
        return Field("")
    return Field(
        str(told.get("type")),
        told.get("isMultiple") is True,
        _choices(told),
        told.get("isReadOnly") is True,
        told.get("isRequired") is True,
    )


def _choices(told: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the ids of an enumeration; None where not all of them are told, or too many."""
    listed = told.get("items")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_CHOICES:
        return None
    ids = [each.get("ID") for each in listed if isinstance(each, dict)]
    return frozenset(map(str, ids)) if len(ids) == len(listed) and None not in ids else None


def _verdict(entry: object) -> Verdict:
    if not isinstance(entry, dict):
        return MISSING
    item = entry.get("item")
    item_id = positive_id(item.get("id")) if isinstance(item, dict) else None
    if "error" in entry:
        refused = classify_item(entry["error"], entry.get("error_description"))
        # An entry that names an item as well may have saved it.
        return replace(refused, refusal_kind=RefusalKind.REFUSED_UNCLEAR) if item_id else refused
    return Accepted(item_id) if item_id else MISSING


def positive_id(value: object) -> int | None:
    """Return an item id as the portal writes it, a number or its digits; None if it is none."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= MAX_ID else None


def _once(verdicts: Mapping[int, Verdict]) -> dict[int, Verdict]:
    """Believe an item id only where it is named once: one item settles one event."""
    named = [verdict.item_id for verdict in verdicts.values() if isinstance(verdict, Accepted)]
    return {
        position: MISSING
        if isinstance(verdict, Accepted) and named.count(verdict.item_id) > 1
        else verdict
        for position, verdict in verdicts.items()
    }
