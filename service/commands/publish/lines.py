"""Cuts text into lines, however they end, without ever holding a line that is too long."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from service.commands.publish.formats import BOM
from service.rabbit.bodies import unmarked

DOS_END = b"\x1a"
"""Old programs write it behind the last line of a text."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line and what ends it; `text` is None where it was too long to be held.

    `is_marked`: a byte-order mark stood at its beginning, as at that of a file.
    """

    number: int
    text: bytes | None
    end: bytes = b"\n"
    is_marked: bool = False


@dataclass(slots=True, eq=False)
class Lines:
    """Yields lines of at most `longest` bytes; they end with LF, CRLF or CR."""

    chunks: Iterator[bytes]
    longest: int
    number: int = 0
    _ready: deque[Line] = field(default_factory=deque)
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0
    _carry: bytes = b""

    def __iter__(self) -> Self:
        """Be read once."""
        return self

    def __next__(self) -> Line:
        """Return the next line."""
        while not self._ready:
            self._read()
        return self._ready.popleft()

    def peek(self) -> Line | None:
        """Return the next line and keep it; None at the end."""
        line = next(self, None)
        if line is not None:
            self.put_back(line)
        return line

    def put_back(self, *lines: Line) -> None:
        """Have lines returned once more."""
        self._ready.extendleft(reversed(lines))

    def _read(self) -> None:
        """Cut one more chunk; raises StopIteration at the end."""
        chunk = next(self.chunks, None)
        if chunk is None:
            if self._parts == [DOS_END]:
                self._parts, self._size = [], 0
            if not self._size and not self._carry:
                raise StopIteration
            self._close(self._carry)
            self._carry = b""
            return
        chunk = self._carry + chunk
        # Whether CR ends a line alone, or CRLF together, shows only in the next chunk.
        chunk, self._carry = (chunk[:-1], b"\r") if chunk.endswith(b"\r") else (chunk, b"")
        for part in chunk.splitlines(keepends=True):
            text = part.rstrip(b"\r\n")
            self._add(text)
            if len(text) < len(part):
                self._close(part[len(text) :])

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self.longest:
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def _close(self, end: bytes) -> None:
        self.number += 1
        text = None if self._size > self.longest else b"".join(self._parts)
        is_marked = text is not None and text.startswith(BOM)
        plain = None if text is None else unmarked(text)
        self._ready.append(Line(self.number, plain, end, is_marked))
        self._size = 0
        self._parts.clear()
