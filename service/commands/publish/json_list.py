"""Reads item events from one JSON list, on one line or many, without holding the list."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from service.commands.publish.formats import BOM
from service.commands.publish.json_lines import TOO_LONG, event_of
from service.commands.publish.records import Place, Read, RefusedLine
from service.rabbit.decoding import Decoder

_OUTSIDE = re.compile(rb'[{}\[\]",]')
_INSIDE = re.compile(rb'["\\]')
_BETWEEN = b" \t\r\n," + BOM
_OPENS = b"{["
_IN_LIST = 1
"""The nesting depth of the list's items."""


def of_json_list(
    chunks: Iterator[bytes], longest: int, decoder: Decoder, entity_type: int | None
) -> Iterator[Read]:
    """Read an item event from every item of a list; of several lists, where files were joined."""
    items = _Items(longest)
    for chunk in chunks:
        for place, text in items.cut(chunk):
            if text is None:
                yield RefusedLine(place, TOO_LONG)
            else:
                yield event_of(place, text, decoder, entity_type)
        if items.is_over:
            break
    place, text = items.left()
    if items.is_over:
        yield RefusedLine(
            place, "NOT_JSON: text after the end of the list; nothing below was read"
        )
    elif text is None or text:
        yield RefusedLine(place, "NOT_JSON: it begins here and never ends; nothing below was read")
    elif items.depth:
        yield RefusedLine(place, "NOT_JSON: the list ends too early: its ] is missing")


@dataclass(slots=True)
class _Items:
    """Finds where the items of a list end; knows text in quotes and brackets, nothing else."""

    longest: int
    is_over: bool = False
    depth: int = 0
    line: int = 1
    number: int = 0
    _is_quoted: bool = False
    _is_escaped: bool = False
    _is_too_long: bool = False
    _first: int = 1
    _held: bytearray = field(default_factory=bytearray)

    def cut(self, chunk: bytes) -> Iterator[tuple[Place, bytes | None]]:
        """Yield every item that ends in a chunk; its text is None where it was too long."""
        start = 0
        for at, token in self._tokens(chunk):
            end = at
            if token in _OPENS:
                self.depth += 1
                is_end = self.depth == _IN_LIST
                self.is_over = is_end and token != b"["
            elif token == b",":
                is_end = self.depth == _IN_LIST
            else:
                self.depth -= 1
                is_end = self.depth <= _IN_LIST
                end += self.depth == _IN_LIST
                self.is_over = self.depth < 0
            if is_end:
                yield from self._item(chunk[start:end])
                start = at + (not self.is_over)
            if self.is_over:
                return
        self._hold(chunk[start:])

    def left(self) -> tuple[Place, bytes | None]:
        """Return what was begun and has not ended."""
        for begun in self._item(b""):
            return begun
        return Place(self.line, self.line, self.number + 1), b""

    def _tokens(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield every bracket and comma that does not stand in quotes."""
        at = 0
        while at < len(chunk):
            if self._is_escaped:
                self._is_escaped, at = False, at + 1
                continue
            found = (_INSIDE if self._is_quoted else _OUTSIDE).search(chunk, at)
            if found is None:
                return
            at, token = found.end(), found[0]
            if token == b"\\":
                self._is_escaped = True
            elif token == b'"':
                self._is_quoted = not self._is_quoted
            else:
                yield found.start(), token

    def _hold(self, piece: bytes) -> None:
        """Keep the beginning of an item, but never more than an item may have."""
        self._held += piece
        if not self._is_too_long and len(self._held) > self.longest:
            self._is_too_long = True
            self._begin()
        if self._is_too_long:
            self.line += _line_ends(self._held)
            self._held.clear()

    def _begin(self) -> None:
        """Note the line on which what is held begins, and drop the blanks before."""
        blanks = len(self._held) - len(self._held.lstrip(_BETWEEN))
        self.line += _line_ends(self._held[:blanks])
        self._first = self.line
        del self._held[:blanks]

    def _item(self, piece: bytes) -> Iterator[tuple[Place, bytes | None]]:
        """Yield what was held and a last piece as one item, unless there is none."""
        self._hold(piece)
        text = None
        if not self._is_too_long:
            self._begin()
            text = bytes(self._held.rstrip(_BETWEEN))
            self.line += _line_ends(self._held)
        self._is_too_long = False
        self._held.clear()
        if text is None or text:
            self.number += 1
            last = self._first + _line_ends(text or b"")
            yield Place(self._first, last, self.number), text


def _line_ends(text: bytes | bytearray) -> int:
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")
