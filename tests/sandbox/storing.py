"""Keeps a value as the portal does: what PHP makes of it, and what the database holds of that."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tests.sandbox.catalogue import CUT_AT, CUT_FIELDS, Field
from tests.sandbox.settings import Settings

TRUE = frozenset({"true", "y", "Y"})
LARGEST = 2**63 - 1
_FOUR_BYTES = re.compile("[\U00010000-\U0010ffff]")
_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)
_POINTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(.*)", re.DOTALL)
_ID_KINDS = "integer user crm_company crm_contact crm_lead crm_deal crm_quote"
_IDS = frozenset(_ID_KINDS.split())


def converted(found: Field, value: Any) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Return what PHP makes of a value for a field."""
    if found.type == "crm_multifield":
        return _multifield(value)
    if isinstance(value, list):
        return [converted(found, one) for one in value]
    convert = _CONVERTED.get(found.type)
    stored = value if convert is None else convert(value)
    return stored[:CUT_AT] if found.name in CUT_FIELDS and isinstance(stored, str) else stored


def kept(value: Any, settings: Settings) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Return what a column keeps: all of it, or a text cut, or stripped."""
    if not isinstance(value, str):
        return value
    if settings.columns == "utf8mb3":
        # Without strict mode MySQL ends a text before the first character it cannot hold.
        value = _FOUR_BYTES.split(value, maxsplit=1)[0]
    return value.strip() if settings.trims else value


def is_date(value: object) -> bool:
    """Tell whether the simulated portal reads a date: ISO, or the day first with points."""
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(iso(value))
    except ValueError:
        return False
    return True


def iso(value: str) -> str:
    """Return a date with points as ISO 8601 writes it; anything else as it is."""
    match = _POINTED.fullmatch(value)
    if match is None:
        return value
    day, month, year, rest = match.groups()
    return f"{year}-{month:0>2}-{day:0>2}{rest}"


def _day(value: str) -> str:
    """Return the day in the zone of the server, which is UTC."""
    moment = datetime.fromisoformat(iso(value))
    return (moment.astimezone(UTC) if moment.tzinfo else moment).strftime("%Y-%m-%d")


def _number(text: str) -> float:
    """Return the number that a text begins with, as `doubleval` does."""
    match = _NUMBER.match(text)
    number = float(match[1]) if match else 0.0
    return int(number) if number.is_integer() else number


def _boolean(value: object) -> str:
    return "Y" if value is True or (isinstance(value, str) and value in TRUE) else "N"


def _text(value: Any) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Return a number as a text; what is no 64-bit integer is a float to PHP."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return str(value) if isinstance(value, int) and _fits(value) else f"{float(value):.14G}"


def _fits(number: int) -> bool:
    return -LARGEST - 1 <= number <= LARGEST


def _multifield(value: Any) -> list[object]:  # noqa: ANN401 - JSON in
    """Return what is kept of PHONE and the like: objects with a value and its kind."""
    several = value.values() if isinstance(value, dict) else value
    return [
        one
        for one in (several if isinstance(value, list | dict) else ())
        if isinstance(one, dict) and one.get("VALUE") and one.get("VALUE_TYPE")
    ]


_CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    "boolean": _boolean,
    "string": _text,
    "double": lambda value: _number(value) if isinstance(value, str) else value,
    "date": lambda value: _day(value) if isinstance(value, str) else value,
    **dict.fromkeys(_IDS, lambda value: int(_number(value)) if isinstance(value, str) else value),
}
