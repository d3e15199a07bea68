"""Converts values as PHP 8 does, which the portal is written in.

JSON numbers come as `int` or `Decimal`, so that no digit of theirs is lost before it is looked at.
"""

import re
from decimal import Decimal

_NUMBER = re.compile(
    r"[ \t\n\r\v\f]*(?P<n>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
)
_DIGITS = re.compile(r"[+-]?[0-9]+")
LARGEST = 2**63 - 1
SMALLEST = -(2**63)
_WRAPS = 2**64
_PRECISION = 14
"""Significant digits of a float as text (PHP's setting `precision`)."""
JsonNumber = int | Decimal


def is_whole(number: JsonNumber) -> bool:
    """Tell whether PHP keeps a JSON number as an integer; all others become floats."""
    return isinstance(number, int) and SMALLEST <= number <= LARGEST


def double_of(value: str | JsonNumber) -> float:
    """Return `doubleval`: of a text the number at its start, else 0."""
    if not isinstance(value, str):
        return _float(value)
    match = _NUMBER.match(value)
    return float(match["n"]) if match is not None else 0.0


def integer_of(value: str | JsonNumber) -> int:
    """Return `intval`: the number at a text's start without its fraction; floats wrap around."""
    if isinstance(value, str):
        match = _NUMBER.match(value)
        if match is None:
            return 0
        if _DIGITS.fullmatch(match["n"]) and len(match["n"]) <= len(str(SMALLEST)):
            return _within(int(match["n"]))
        number = float(match["n"])
        return _within(int(number)) if abs(number) < float("inf") else 0
    if is_whole(value):
        return int(value)
    number = _float(value)
    if abs(number) == float("inf"):
        return 0
    wrapped = int(number) % _WRAPS
    return wrapped - _WRAPS if wrapped > LARGEST else wrapped


def text_of(number: JsonNumber) -> str:
    """Return `strval` of a JSON number."""
    if is_whole(number):
        return str(number)
    value = _float(number)
    if abs(value) == float("inf"):
        return "INF" if value > 0 else "-INF"
    text = f"{value:.{_PRECISION}G}"
    if "E" not in text:
        return text
    digits, exponent = text.split("E")
    return f"{digits if '.' in digits else digits + '.0'}E{exponent[0]}{int(exponent[1:])}"


def _within(number: int) -> int:
    return max(SMALLEST, min(LARGEST, number))


def _float(number: JsonNumber) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
