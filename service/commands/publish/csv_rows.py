"""Reads the rows of CSV with the standard reader, and says of each where it stands."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from service.commands.publish.formats import likely
from service.commands.publish.json_lines import TOO_LONG
from service.commands.publish.lines import Line, Lines
from service.commands.publish.records import Place

_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*(?:"|$)')
_SEP = re.compile(rb'^"?sep=(.)"?[,;\t|]*$', re.IGNORECASE)
_MAX_HEADER_LINES = 50
_TEXT = re.compile(r'="([^"]*)"')
"""How programs write text for Excel that shall not become a number, such as ="007"."""
_STRAY_END = (
    "a line end of another kind (CR) stands in it: put quotes around the cell that contains it"
)
_MORE_TEXT = (
    "it is not CSV: there is text after the closing quote of a cell; inside a cell, write a quote "
    'twice ("")'
)
_REASONS = (
    ("unexpected end of data", "a quoted cell begins here and never ends"),
    ("expected after", _MORE_TEXT),
    ("field larger", "a cell is larger than a message may be"),
)


@dataclass(frozen=True, slots=True)
class CsvRow:
    """The cells of a row; `is_marked`: a byte-order mark stood before it."""

    place: Place
    cells: list[str]
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What is no row, and why not."""

    place: Place
    reason: str


class _Unusable(Exception):  # noqa: N818 - never leaves this module
    """A line cannot be given to the reader; the text says why."""


def rows(lines: Lines) -> Iterator[CsvRow | Unreadable]:
    """Yield every row; where a file begins, its first row shows what parts its cells."""
    csv.field_size_limit(lines.longest + 1)
    texts, reader, usual = _Texts(lines), None, b""
    while (line := lines.peek()) is not None:
        if reader is None and line.text is not None and not line.text.strip():
            next(lines)
            continue
        if reader is None or line.is_marked or _is_directive(line):
            delimiter, spaced = _delimiter(lines)
            usual = line.end
            reader = csv.reader(texts, delimiter=delimiter, skipinitialspace=spaced, strict=True)
        texts.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Unreadable(texts.place(), _reason(error))
        except _Unusable as reason:
            yield Unreadable(texts.place(), str(reason))
        else:
            row = CsvRow(texts.place(), [_plain(cell) for cell in cells], line.is_marked)
            yield row if texts.end == usual else _whole(row, texts)


@dataclass(slots=True, eq=False)
class _Texts:
    """Gives the standard reader the lines that it asks for, and notes which a row took."""

    lines: Lines
    first: int = 0
    last: int = 0
    size: int = 0
    end: bytes = b""
    """What ends the line that was given last."""

    def begin(self) -> None:
        """Begin a row."""
        self.first = self.last = self.size = 0

    def place(self) -> Place:
        """Return which lines the row took."""
        return Place(self.first, self.last)

    def __iter__(self) -> Self:
        """Be read once."""
        return self

    def __next__(self) -> str:
        """Return the next line, with its end; raises _Unusable for one that is no text."""
        line = next(self.lines)
        self.first, self.last, self.end = self.first or line.number, line.number, line.end
        if line.text is None:
            raise _Unusable(TOO_LONG)
        self.size += len(line.text) + len(line.end)
        if self.size > self.lines.longest:
            raise _Unusable("it is longer than a message may be: is a closing quote missing?")
        if b"\0" in line.text:
            raise _Unusable("it has a NUL byte: the file is damaged, or was copied wrongly")
        try:
            return (line.text + line.end).decode()
        except UnicodeDecodeError:
            encoding = likely(line.text)
            raise _Unusable(
                "it is not UTF-8: save the file as 'CSV UTF-8'; if the whole file is like this, "
                f"try --encoding {encoding}"
            ) from None


def _whole(row: CsvRow, texts: _Texts) -> CsvRow | Unreadable:
    """Return a row that ends otherwise than its header; not one that goes on after a lone CR."""
    rest = texts.lines.peek() if texts.end == b"\r" else None
    if rest is None or rest.end in {b"\r", b""}:
        return row
    if not (rest.text or b"").strip() or (rest.text or b"").count(b'"') % 2:
        return row
    next(texts.lines)
    return Unreadable(Place(texts.first, rest.number), _STRAY_END)


def _plain(cell: str) -> str:
    text = _TEXT.fullmatch(cell)
    return text[1] if text else cell


def _is_directive(line: Line) -> bool:
    """Tell whether a line is Excel's own, such as `sep=;`: it names what parts cells."""
    return line.text is not None and _SEP.match(line.text) is not None


def _delimiter(lines: Lines) -> tuple[str, bool]:
    """Return what parts the cells of a header: the most frequent outside of quotes.

    And whether people write a space behind each, which is then no part of a cell.
    """
    header: list[Line] = []
    for line in lines:
        named = _SEP.match(line.text or b"") if not header else None
        if named is not None:
            return named[1].decode("latin-1"), False
        header.append(line)
        quotes = sum((each.text or b"").count(b'"') for each in header)
        if quotes % 2 == 0 or line.text is None or len(header) == _MAX_HEADER_LINES:
            break
    lines.put_back(*header)
    text = b"\n".join(line.text or b"" for line in header).decode("utf-8", "replace")
    plain = _QUOTED.sub("", text)
    found = max(_DELIMITERS, key=plain.count)
    return found, 0 < plain.count(found) == plain.count(f"{found} ")


def _reason(error: csv.Error) -> str:
    return next((plain for words, plain in _REASONS if words in str(error)), "it is not CSV")
