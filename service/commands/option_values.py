"""Reads the values of options; argparse reports mistakes."""

import argparse
import codecs
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

UNKNOWN = "unknown"
"""Selects the letters whose entity type cannot be read, where a type is to be named."""
UNREADABLE = 0
"""Stands for their type; those of the portal begin with 1."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def checked(meaning: str) -> Callable[[Callable[[str], object]], Callable[[str], object]]:
    """Turn an error of an option's reader into a sentence that says what is expected."""

    def decorate(read: Callable[[str], object]) -> Callable[[str], object]:
        def reader(text: str) -> object:
            try:
                return read(text)
            except (ValueError, LookupError, OverflowError):
                raise argparse.ArgumentTypeError(f"{text!r} is not {meaning}") from None

        return reader

    return decorate


def _entity_type(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 2_147_483_647:  # noqa: PLR2004 - the largest there is
        raise ValueError
    return number


@checked("an entity type: a number, such as 2 for deals")
def entity_type(text: str) -> int:
    """Read an entity type."""
    return _entity_type(text)


@checked(f"an entity type: a number, such as 2 for deals, or {UNKNOWN}")
def type_of_letters(text: str) -> int:
    """Read the entity type of dead letters."""
    return UNREADABLE if text == UNKNOWN else _entity_type(text)


@checked("an event id: a text in UTF-8")
def event_id(text: str) -> str:
    """Read an event id."""
    if not text.encode():
        raise ValueError
    return text


@checked("an encoding, such as windows-1251")
def encoding(text: str) -> str:
    """Read the name of an encoding."""
    name = codecs.lookup(text).name
    ";".encode(name)
    return "utf-8" if name == "utf-8-sig" else name


@checked("a number of at least 1")
def positive(text: str) -> int:
    """Read a count."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


@checked("a time, such as 2026-03-01T12:00Z, nor an age, such as 2h")
def since(text: str) -> datetime:
    """Read a time, or how long ago it was."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _age(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@checked("an age: a number and one of s, m, h, d, w, such as 12h")
def ago(text: str) -> datetime:
    """Read how long ago something was."""
    return _age(text)


def _age(text: str) -> datetime:
    number = text.removesuffix("ago").strip()
    age = timedelta(seconds=float(number[:-1]) * _UNITS[number[-1]])
    if age < timedelta():
        raise ValueError(text)
    return datetime.now(UTC) - age


@checked("FIELD=VALUE")
def assignment(text: str) -> tuple[str, str]:
    """Read a field and its value."""
    field, equals, value = text.partition("=")
    if not field or not equals:
        raise ValueError
    return field, value
