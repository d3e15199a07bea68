"""Judges whether the portal keeps what one value says.

The portal reads numbers with PHP's `doubleval` and `intval`, texts with `strval`, dates with
`strtotime` (its module `crm`, `Item::set` and the casts of its ORM fields; module `rest`,
`CRestUtil::unConvertDate`), and says nothing of what they leave out.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from service.domain import php, strtotime
from service.domain.strtotime import Reading


class Flaw(StrEnum):
    """What the portal would do without a word (label of `importer_field_complaints_total`)."""

    UNKNOWN = "unknown"
    """Ignores the field."""
    READ_ONLY = "read_only"
    """Ignores the field, which cannot be written."""
    BOOLEAN = "boolean"
    """Reads the value as no, or stores 1 for true."""
    DATE = "date"
    """Skips the field, or keeps another day."""
    NUMBER = "number"
    """Keeps another number, or other digits."""
    REFERENCE = "reference"
    """Keeps 0, or a part, where an id belongs."""
    CHOICE = "choice"
    """Stores or drops a value that means nothing."""
    MULTIFIELD = "multifield"
    """Keeps none, or not all, of PHONE, EMAIL, WEB or IM."""
    FILE = "file"
    """Stores a damaged file."""
    LIST = "list"
    """Cannot read the value's shape."""
    LENGTH = "length"
    """Cuts the value off."""


Found = Iterator[tuple[Flaw, str]]
_ID_KINDS = (
    "user employee crm_company crm_contact crm_lead crm_deal crm_quote crm_entity crm_category "
    "iblock_element iblock_section hlblock"
)
IDS = frozenset(_ID_KINDS.split())
"""Kinds whose value is the number of something else."""
TEXTS = frozenset({"string", "text", "char", "url", "crm_status", "crm_currency"})
MANY_DIGITS = 15
"""Significant digits that a float always keeps."""
MAX_SHOWN = 5
"""Ids of choices that a complaint lists."""
_NO = frozenset({"", "0", "0.0", "n", "no", "f", "false", "off", "none", "null", "нет"})
_YES = frozenset({"true", "y", "Y"})
_USUAL_BOOLEANS = frozenset({"Y", "N"})
_PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
_SHORT_NUMBER = re.compile(r"-?(?=.{1,15}$)[0-9]+(?:\.[0-9]+)?")
_MONEY = re.compile(r"-?[0-9]+\.?[0-9]*(?:\|[A-Z]{3})?")
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-9]{2})?)?"
)
_NEGATIVE_SECONDS = re.compile(r"[+-][0-9]{5,}")
_TWO_DIGIT_DASHES = re.compile(r"(?P<d>\d\d)-(?P<m>\d\d)-(?P<y>\d\d)(?!\d)")
_LAST_DAY, _LAST_MONTH = 31, 12
_ISO_DATE = "send a date such as 2026-01-31"
_ZONED = (
    "has a time zone, and the portal keeps the day in its own zone: send only a date, "
    "such as 2026-01-31"
)
_ISO_TIME = "send a time such as 2026-01-31T10:00:00+00:00"


def is_empty(value: object) -> bool:
    """Tell whether PHP calls a value empty: the portal stores nothing for it, as was meant."""
    return value in (None, "", "0") or (not isinstance(value, str) and not value)


def is_usual(kind: str, value: object) -> bool:
    """Tell, quickly, whether this is a usual value of a kind: `judge` has nothing to say of it."""
    if type(value) is int:
        return kind in _KEEP_INTEGERS and -_SAFE <= value <= _SAFE
    if type(value) is str:
        if kind in TEXTS or kind not in JUDGED:
            return True
        if kind == "boolean":
            return value in _USUAL_BOOLEANS
        return kind == "datetime" and _is_iso(value)
    if type(value) is bool:
        return kind == "boolean"
    return type(value) is Decimal and kind == "double" and _is_short(value)


def judge(kind: str, value: object, choices: frozenset[str] | None) -> Found:
    """Yield what the portal would do to one value that is no list and no object."""
    if type(value) is int and kind in _KEEP_INTEGERS and -_SAFE <= value <= _SAFE:
        return
    if kind == "boolean":
        yield from _boolean(value)
    elif is_empty(value):
        return
    elif kind == "enumeration" and choices is not None:
        if _shown(value) not in choices:
            some = ", ".join(sorted(choices, key=lambda each: (len(each), each))[:MAX_SHOWN])
            yield (
                Flaw.CHOICE,
                f"is not the id of a choice, the portal keeps none: send one of {some}",
            )
    elif kind in IDS or kind == "enumeration":
        yield from _reference(value)
    else:
        yield from _BY_KIND.get(kind, _other)(value)


def _boolean(value: object) -> Found:
    """Exactly four values mean yes; what does not mean no either is lost."""
    if value is True or (isinstance(value, str) and value in _YES):
        return
    if not (value.strip().lower() in _NO if isinstance(value, str) else not value):
        yield Flaw.BOOLEAN, 'becomes no; only true, "true", "y" and "Y" mean yes: send "Y" or "N"'


def _is_iso(value: object) -> bool:
    """Tell, quickly, whether this is a date or an instant as ISO 8601 writes it."""
    if not isinstance(value, str) or not _ISO.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _date(value: object) -> Found:
    if isinstance(value, str) and len(value) == len("2026-01-31") and _is_iso(value):
        return
    for why in _misread(value, _ISO_DATE):
        yield Flaw.DATE, why
        return
    reading = strtotime.read(_shown(value))
    if reading is not None and reading.zones:
        yield Flaw.DATE, _ZONED


def _date_time(value: object) -> Found:
    if _is_iso(value):
        return
    for why in _misread(value, _ISO_TIME):
        yield Flaw.DATE, why


def _misread(value: object, remedy: str) -> Iterator[str]:
    """Yield how the portal reads a date otherwise than it is written."""
    text = _shown(value)
    reading = strtotime.read(text)
    if reading is None or _NEGATIVE_SECONDS.fullmatch(text.strip()):
        yield f"is not a date that the portal reads, the field is skipped: {remedy}"
    elif not reading.relative and not reading.written:
        what = "a time of day" if reading.times else "no day"
        yield f"is read as {what}, the portal keeps the day of the import: {remedy}"
    elif reading.lost_year:
        yield f"is read without its year, the portal keeps the current year: {remedy}"
    elif not (reading.exact or _counted(reading)) or _is_day_first(text):
        yield f"is read as {reading.kept() or 'another day'}: {remedy}"


def _counted(reading: Reading) -> bool:
    """Tell whether words or a bare week move the day on purpose."""
    return reading.relative and reading.weekday is None


def _is_day_first(text: str) -> bool:
    """Tell whether this looks like 31-12-26, which PHP reads as the year 2031."""
    match = _TWO_DIGIT_DASHES.match(text.strip())
    if match is None or match["d"] == match["y"]:
        return False
    return 1 <= int(match["d"]) <= _LAST_DAY and 1 <= int(match["m"]) <= _LAST_MONTH


def _double(value: object) -> Found:
    if isinstance(value, bool) or _is_short(value):
        return
    number = _number(value)
    if number is None:
        return
    meant, kept = _meant(value), php.double_of(number)
    if meant is None:
        text = f"is not a plain number, the portal keeps {_float(kept)}"
        yield Flaw.NUMBER, f"{text}: send a number such as 1200.50"
    elif abs(kept) == float("inf") or _digits_lost(meant, kept):
        kept_text = f"has more digits than a number can hold, the portal keeps {_float(kept)}"
        yield Flaw.NUMBER, f"{kept_text}: send it to a text field"


def _is_short(value: object) -> bool:
    return _SHORT_NUMBER.fullmatch(str(value)) is not None


def _digits_lost(meant: Decimal, kept: float) -> bool:
    """Tell whether digits before the point are lost; those far behind it nobody misses."""
    if float(meant) != kept:
        return True
    digits = "".join(map(str, meant.as_tuple().digits)).strip("0")
    return len(digits) > MANY_DIGITS and meant == meant.to_integral_value()


def _integer(value: object) -> Found:
    number = _number(value)
    if number is None or isinstance(value, bool):
        return
    meant, kept = _meant(value), php.integer_of(number)
    if meant is None or meant != kept:
        yield Flaw.NUMBER, f"is not a whole number of 64 bits, the portal keeps {kept}: send one"


def _reference(value: object) -> Found:
    number = int(value) if isinstance(value, bool) else _number(value)
    if number is None:
        return
    meant, kept = _meant(value), php.integer_of(number)
    if meant is None or meant != kept or isinstance(value, bool):
        yield Flaw.REFERENCE, f"takes an id, the portal keeps {kept}: send the number, such as 17"


def _text(value: object) -> Found:
    if isinstance(value, bool):
        yield Flaw.BOOLEAN, 'is a text field, the portal keeps "1" for true: send "true" in quotes'
    elif isinstance(value, int | float | Decimal):
        number = _exact(value)
        kept = php.text_of(number)
        if not php.is_whole(number) and ("E" in kept or "INF" in kept or Decimal(kept) != number):
            yield Flaw.NUMBER, f"is a long number, the portal keeps {kept}: send it in quotes"


def _other(value: object) -> Found:
    """Whatever the field, PHP has no integers beyond 64 bits."""
    if isinstance(value, int) and not php.is_whole(value):
        yield from _text(value)


def _money(value: object) -> Found:
    if not _MONEY.fullmatch(_shown(value)):
        text = "is not an amount that the portal reads, it keeps none"
        yield Flaw.NUMBER, f"{text}: send an amount such as 1200.50|EUR"


def _number(value: object) -> str | php.JsonNumber | None:
    if isinstance(value, str):
        return value
    return _exact(value) if isinstance(value, int | float | Decimal) else None


def _exact(value: float | Decimal) -> php.JsonNumber:
    """Return a number whose digits can be compared; a float stands for its shortest digits."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def _meant(value: object) -> Decimal | None:
    """Return the number that a reader sees; None where that is no plain number."""
    if isinstance(value, str):
        text = value.strip()
        if not _PLAIN.fullmatch(text):
            return None
    else:
        text = str(value)
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _shown(value: object) -> str:
    """Return a value as PHP turns it into a text."""
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, int | float | Decimal):
        return php.text_of(_exact(value))
    return str(value)


def _float(number: float) -> str:
    return php.text_of(Decimal(repr(number)))


_BY_KIND: Mapping[str, Callable[[object], Found]] = {
    "date": _date,
    "datetime": _date_time,
    "double": _double,
    "integer": _integer,
    "money": _money,
    **dict.fromkeys(TEXTS, _text),
}
_KEEP_INTEGERS = frozenset({"double", "integer", *IDS, *TEXTS})
_SAFE = 10**MANY_DIGITS
JUDGED = frozenset({"boolean", "enumeration", *IDS, *_BY_KIND})
"""Kinds of which a single value is checked."""
