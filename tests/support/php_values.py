"""Makes the table of values by which our judgement and PHP's are compared."""

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

_LISTS: dict[str, list[str]] = json.loads(Path(__file__).with_suffix(".json").read_text())
FORMATS = _LISTS["formats"]
"""How programs and people write dates; each is meant as the day that it was made of."""


def days(count: int, chance: random.Random) -> Iterator[datetime]:
    """Yield moments of the century that PHP reads years of two digits in.

    Not its first years: their seconds since 1970 have eight digits, like a day.
    """
    for _ in range(count):
        yield datetime(1974, 1, 1) + timedelta(  # noqa: DTZ001 - a day of the calendar
            days=chance.randrange(34_900), seconds=chance.randrange(86_400)
        )


def formatted(count: int, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Yield dates as people write them, each with the day that is meant."""
    for moment in days(count, chance):
        for form in FORMATS:
            yield moment.strftime(form), moment.strftime("%Y-%m-%d")


def mutated(text: str, chance: random.Random) -> str:
    """Return a text with one character changed, added or left out."""
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(" 0123456789.-/:TZ") + text[at + chance.randrange(2) :]


def numbers(count: int, chance: random.Random) -> Iterator[str]:
    """Yield JSON texts that look like numbers, more or less."""
    for _ in range(count):
        parts = chance.choices(_LISTS["number_parts"], k=chance.randrange(1, 6))
        yield json.dumps("".join(parts))
        digits = str(chance.randrange(10 ** chance.randrange(1, 25)))
        tail = chance.choice(["", "", f".{chance.randrange(10**8)}", "e5", "E-7", "e22"])
        yield chance.choice(["", "-"]) + digits + tail


def table() -> list[str]:
    """Return the recorded values as JSON texts: the same in every run."""
    chance = random.Random(2026)
    dates = [text for text, _ in formatted(6, chance)]
    written = [json.dumps(text) for text in [*_LISTS["numbers"], *_LISTS["dates"], *dates]]
    return list(dict.fromkeys([*written, *_LISTS["digits"], *numbers(60, chance)]))
