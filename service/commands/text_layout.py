"""Lays out tables and texts for a terminal: whole words, whole ids, nothing cut without a mark."""

import textwrap
import unicodedata
from collections.abc import Sequence

GAP = "  "
MARK = "…"


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(map(_cells, text))


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a text with blanks up to a width."""
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def shortened(text: str, width: int) -> str:
    """Return a text that fits a width, cut with a mark."""
    if cells(text) <= width:
        return text
    room, kept = width - cells(MARK), ""
    for each in text:
        room -= _cells(each)
        if room < 0:
            break
        kept += each
    return kept + MARK


def wrapped(text: str, width: int | None, *, first: str = "", rest: str = "") -> list[str]:
    """Return a text in lines of a width, broken between words; a longer word stays whole."""
    if width is None:
        return [first + text]
    return textwrap.wrap(
        text,
        max(width, len(rest) + 20),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first]


def split(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> tuple[list[int], list[int]]:
    """Return which columns stand side by side, and which below them for lack of room.

    The widest go below, a line each, so that every value can be read and copied whole.
    """
    widths = [
        max(cells(name), *(cells(row[at]) for row in rows)) for at, name in enumerate(columns)
    ]
    beside = list(range(len(columns)))
    if width is None:
        return beside, []
    while len(beside) > 1 and sum(widths[at] for at in beside) + 2 * (len(beside) - 1) > width:
        beside.remove(max(beside[1:], key=lambda at: widths[at]))
    return beside, [at for at in range(len(columns)) if at not in beside]


def _cells(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(sign) in {"W", "F"} else 1
