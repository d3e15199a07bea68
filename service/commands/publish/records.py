"""Says what a reader of a file finds, and asks the importer's own decoder about it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from service.commands.publish.documented import value_warnings
from service.domain.events import ItemEvent, Malformed
from service.rabbit.decoding import Decoder, Incoming

JSON = "application/json"
_AT = re.compile(r"^(?P<words>.*?) at line (?P<line>\d+) column (?P<column>\d+)$", re.DOTALL)
_NAMED_TWICE = re.compile(r'^Detected duplicate key (?P<name>".*")$', re.DOTALL)
_PLAIN_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "expected ident": "this is not JSON: write text in double quotes",
        "expected value": "here a JSON value is missing: write text in double quotes",
        "key must be a string": 'here a name in double quotes is missing, such as "title"',
        "trailing comma": "a comma with nothing after it",
        "trailing characters": "more text after the end of the JSON",
        "expected `:`": "here a colon is missing",
        "expected `,` or `}`": "here a comma or } is missing",
        "expected `,` or `]`": "here a comma or ] is missing",
        "invalid escape": "an unknown escape: a backslash is written \\\\",
        "unexpected end of hex escape": "half a character: \\ud8… needs its second half",
        "lone leading surrogate in hex escape": "half a character: \\ud8… needs its second half",
        "invalid unicode code point": "no UTF-8: save the file as UTF-8, or name its --encoding",
        "invalid number": "no number: write 1200.50",
        "number out of range": "a number that is too long",
        "recursion limit exceeded": "nested too deeply: flatten it",
    }
)
_BEGINNINGS = (
    ("EOF while parsing", "it ends too early: a quote, a bracket or a value is missing"),
    ("control character", "a line break or another control character in a text: write \\n"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: from line `first` to `last`; `item` counts those of a list."""

    first: int
    last: int
    item: int | None = None

    @classmethod
    def at(cls, line: int) -> "Place":
        """Return the place of one line."""
        return cls(line, line)

    def __str__(self) -> str:
        """Return the line where it begins, and its number in a list."""
        return f"line {self.first}" + (f" (item {self.item} of the list)" if self.item else "")


@dataclass(frozen=True, slots=True)
class Record:
    """An item event of the file; `warnings` tell what is likely not meant so.

    `documented` does so of its values, by the portal's documentation instead of the portal.
    """

    place: Place
    body: bytes
    content_type: str
    event: ItemEvent
    warnings: tuple[str, ...] = ()
    documented: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """What is no item event, and why not."""

    place: Place
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know about the file; nothing is refused for it."""

    text: str


Read = Record | RefusedLine | Note


def judged(
    place: Place, body: bytes, content_type: str, decoder: Decoder, warnings: tuple[str, ...] = ()
) -> Record | RefusedLine:
    """Ask the importer's own decoder what it will think of a message."""
    event = decoder.decode(Incoming(body=body, headers={}, content_type=content_type))
    if isinstance(event, Malformed):
        return RefusedLine(place, f"{event.code}: {in_plain_words(event.message, place, body)}")
    values = value_warnings(event.entity_type_id, event.fields)
    return Record(place, body, content_type, event, (*warnings, *event.notes), values)


def in_plain_words(message: str, place: Place, body: bytes) -> str:
    """Return what the decoder says of a body, with the place in the file and without jargon."""
    found = _AT.match(message.rpartition("JSON: ")[2])
    if found is None:
        return message
    words, row, column = found["words"], int(found["line"]), int(found["column"])
    where = f"column {_characters(body, row, column)}"
    if place.first != place.last:
        where = f"line {place.first + row - 1}, {where}"
    return f"{where}: {_plain(words)}"


def _plain(words: str) -> str:
    twice = _NAMED_TWICE.match(words)
    if twice is not None:
        return f"the name {twice['name']} occurs twice"
    for beginning, plain in _BEGINNINGS:
        if words.startswith(beginning):
            return plain
    return _PLAIN_WORDS.get(words, "no strict JSON")


def _characters(body: bytes, row: int, column: int) -> int:
    """Return a column in characters, as an editor counts; the decoder counts bytes."""
    line = body.split(b"\n", row)[row - 1] if row <= body.count(b"\n") + 1 else b""
    return len(line[:column].decode("utf-8", "replace")) or column
