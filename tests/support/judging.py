"""Compares our judgement with what PHP's answer alone says of a value."""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

import jiter

from service.domain import php, strtotime
from service.domain.values import is_empty, judge
from tests.support.php import Answer

FLOAT_DIGITS = 15
ROUNDED = Decimal("1e-13")
"""PHP writes 14 digits of a float."""
MAX_EXPONENT = 308
SMALLEST = Decimal("1e-300")
Rows = Iterable[tuple[str, Answer]]


def number_of(value: object) -> Decimal | None:
    """Return the number that a reader sees in a value; None where he sees none, or more."""
    text = str(value).strip()
    if not text.isascii() or "_" in text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def keeps_double(value: object, answer: Answer) -> bool:
    """Tell whether `doubleval` keeps the number, to the digits that a float holds for certain."""
    meant = number_of(value)
    if meant is None or answer.double in {"INF", "-INF"}:
        return False
    if meant.adjusted() > MAX_EXPONENT:
        return not meant
    digits = "".join(map(str, meant.as_tuple().digits)).strip("0")
    if meant == meant.to_integral_value() and len(digits) > FLOAT_DIGITS:
        return False
    if not meant:
        return True
    return abs(Decimal(answer.double) - meant) <= max(abs(meant) * ROUNDED, SMALLEST)


def keeps_integer(value: object, answer: Answer) -> bool:
    """Tell whether `intval` keeps the number."""
    return number_of(value) == answer.integer


def keeps_text(value: object, answer: Answer) -> bool:
    """Tell whether `strval` keeps the digits of a JSON number."""
    if isinstance(value, int):
        return str(value) == answer.text
    return "E" not in answer.text and Decimal(answer.text) == Decimal(str(value))


def disagreements(rows: Rows) -> list[tuple[str, str, object, Answer]]:
    """Return what we convert, or judge, otherwise than PHP does."""
    found: list[tuple[str, str, object, Answer]] = []
    for document, answer in rows:
        value = jiter.from_json(document.encode(), float_mode="decimal")
        converted = _double(value), php.integer_of(value), _text(value)
        if converted != (Decimal(answer.double), answer.integer, answer.text):
            found.append((document, "converted", converted, answer))
        if is_empty(value):
            continue
        expected = {
            "double": keeps_double(value, answer),
            "integer": keeps_integer(value, answer),
            "user": keeps_integer(value, answer),
            "string": isinstance(value, str) or keeps_text(value, answer),
        }
        for kind, keeps in expected.items():
            complaints = list(judge(kind, value, None))
            if keeps == bool(complaints):
                found.append((document, kind, complaints, answer))
    return found


def misreadings(rows: Rows) -> list[tuple[str, object, Answer]]:
    """Return the texts that we take for another day than PHP does, or for a day at all."""
    found: list[tuple[str, object, Answer]] = []
    for document, answer in rows:
        reading = strtotime.read(_text(jiter.from_json(document.encode(), float_mode="decimal")))
        day = reading.kept() if reading is not None else None
        is_read = (reading is None) == (answer.day is None)
        # Words move the day, and 24 o'clock and zones may: only what is written can be compared.
        moved = reading is None or reading.relative or reading.zones or "24" in document
        if not is_read or (day is not None and not moved and str(day) != answer.day):
            found.append((document, reading, answer))
    return found


def misjudged_days(
    rows: Iterable[tuple[tuple[str, str], Answer]],
) -> list[tuple[str, object, str]]:
    """Return the dates that are complained of although PHP keeps their day, and the others."""
    found: list[tuple[str, object, str]] = []
    for (text, day), answer in rows:
        complaints = list(judge("datetime", text, None))
        if (answer.day == day) == bool(complaints):
            found.append((text, complaints, str(answer.day)))
    return found


def _double(value: php.JsonNumber | str) -> Decimal:
    """Return a float as PHP writes it, infinite or with 14 digits."""
    number = php.double_of(value)
    return Decimal(number) if abs(number) == float("inf") else Decimal(f"{number:.14g}")


def _text(value: php.JsonNumber | str) -> str:
    return value if isinstance(value, str) else php.text_of(value)
