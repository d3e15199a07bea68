"""Finds the name that was most likely meant."""

import difflib
import re
from collections.abc import Collection
from functools import lru_cache

LONGEST = 64
"""Characters of a name that is compared; the time grows with the square of the length."""
MAX_NAMES = 2000
"""Above this many names, only those that differ in case or punctuation are found."""
_LIKENESS = 0.75
_PUNCTUATION = re.compile(r"[\W_]+")


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known name that is spelt most like this one; None where none is alike.

    Names that differ only in case, blanks or punctuation come first: `TITLE` is `title`.
    """
    return _nearest(name, frozenset(known)) if len(name) <= LONGEST else None


@lru_cache(maxsize=512)
def _nearest(name: str, known: frozenset[str]) -> str | None:
    wanted = _folded(name)
    if not wanted:
        return None
    by_folded = {_folded(each): each for each in sorted(known, reverse=True)}
    if wanted in by_folded:
        return by_folded[wanted]
    if len(by_folded) > MAX_NAMES:
        return None
    found = difflib.get_close_matches(wanted, by_folded, n=1, cutoff=_LIKENESS)
    return by_folded[found[0]] if found else None


def _folded(name: str) -> str:
    return _PUNCTUATION.sub("", name).casefold()
