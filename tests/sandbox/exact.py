"""Cuts the exact JSON text of entries out of a request, digits and escapes untouched."""

import json
import re
from collections.abc import Iterator

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def entry_texts(body: str) -> list[str]:
    """Return the text of every entry of the top-level member `data`, in order."""
    spans = dict(_members(body, 0))
    if "data" not in spans:
        return []
    start = spans["data"][0]
    if body[start] not in "{[":
        return []
    return [body[first:end] for _, (first, end) in _members(body, start)]


def _members(text: str, start: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the name and the span of every member of the object or array at `start`."""
    at = _skip_space(text, start)
    keyed = text[at] == "{"
    closing = "}" if keyed else "]"
    at = _skip_space(text, at + 1)
    number = 0
    while text[at] != closing:
        name = str(number)
        if keyed:
            name, at = _DECODER.raw_decode(text, at)
            at = _skip_space(text, _skip_space(text, at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        yield name, (at, end)
        at = _skip_space(text, end)
        if text[at] == ",":
            at = _skip_space(text, at + 1)
        number += 1


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
