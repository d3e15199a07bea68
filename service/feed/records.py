"""Turns lines of JSON Lines and CSV into item events, or says why a line is none."""

import csv
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from service.domain.events import ItemEvent, Malformed
from service.feed.source import Line
from service.parts import CannotStart
from service.rabbit.decoder import STRUCTURED, Decoder, Incoming

JSON = "application/json"
_BOM = b"\xef\xbb\xbf"
_UTF_16 = b"\xff\xfe", b"\xfe\xff"
_DELIMITERS = ",;\t"
_QUOTED = re.compile(r'"[^"]*(?:"|$)')


@dataclass(frozen=True, slots=True)
class Record:
    """An item event of the file: where it stands, how large that was, and what it says."""

    line: int
    size: int
    body: bytes
    content_type: str
    event: ItemEvent


@dataclass(frozen=True, slots=True)
class Refused:
    """What is no item event, and why not."""

    line: int
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class Blank:
    """What says nothing, such as an empty line."""

    size: int


Read = Record | Refused | Blank


async def of_json_lines(
    lines: AsyncIterator[Line], decoder: Decoder, entity_type: int | None
) -> AsyncIterator[Read]:
    """Read an item event, plain or a CloudEvent, from every line."""
    async for line in lines:
        text = line.text
        if text is None:
            yield Refused(line.number, line.size, "it is longer than any message may be")
            continue
        text = text.removeprefix(_BOM) if line.number == 1 else text
        if not text.strip():
            yield Blank(line.size)
            continue
        body, content_type = _event_of(text.strip(), entity_type)
        yield _judged(line, body, content_type, decoder)


async def of_csv(
    lines: AsyncIterator[Line], decoder: Decoder, entity_type: int, id_column: str | None
) -> AsyncIterator[Read]:
    """Read an item from every row; the header names its fields. Raises CannotStart for that."""
    columns: _Columns | None = None
    async for line, row in _rows(lines):
        if isinstance(row, str):
            if columns is None:
                raise CannotStart(f"the header of the CSV cannot be read: {row}")
            yield Refused(line.number, line.size, row)
        elif not any(row):
            yield Blank(line.size)
        elif columns is None:
            columns = _Columns.of(row, id_column)
            yield Blank(line.size)
        else:
            body = columns.event(row, entity_type)
            if isinstance(body, str):
                yield Refused(line.number, line.size, body)
            else:
                yield _judged(line, body, JSON, decoder)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The header of a CSV."""

    names: Sequence[str]
    id_column: str | None

    @classmethod
    def of(cls, row: Sequence[str], id_column: str | None) -> "_Columns":
        names = [name.strip() for name in row]
        if "" in names:
            raise CannotStart(f"column {names.index('') + 1} of the CSV has no name in the header")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CannotStart(f"the header of the CSV names {', '.join(twice)} more than once")
        if id_column is not None and id_column not in names:
            raise CannotStart(f"the CSV has no column {id_column}; it has: {', '.join(names)}")
        return cls(names, id_column)

    def event(self, row: Sequence[str], entity_type: int) -> bytes | str:
        """Return the item event of a row, or why it is none; empty cells are left out."""
        if len(row) != len(self.names):
            return f"it has {len(row)} cells, the header has {len(self.names)}"
        fields = {name: cell for name, cell in zip(self.names, row, strict=True) if cell}
        event: dict[str, object] = {"entityTypeId": entity_type}
        if self.id_column is not None:
            if self.id_column not in fields:
                return f"it has no id in column {self.id_column}"
            event["id"] = fields.pop(self.id_column)
        return msgspec.json.encode({**event, "fields": fields})


async def _rows(lines: AsyncIterator[Line]) -> AsyncIterator[tuple[Line, list[str] | str]]:
    """Yield each row with the line it begins on, or why it cannot be read."""
    begun: Line | None = None
    delimiter, last = "", 0
    async for line in lines:
        whole, last = _joined(begun, line), line.number
        text = _decoded(whole)
        if text is None:
            begun = None
            yield whole, _unreadable(whole) + _range(whole, last)
            continue
        # Only a line with a quote can end a cell that spans lines; parsing others is idle.
        if begun is not None and b'"' not in (line.text or b""):
            begun = whole
            continue
        parted_by = delimiter or _delimiter(text)
        try:
            row = next(csv.reader([text], delimiter=parted_by, strict=True), [])
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                begun = whole
                continue
            yield whole, f"it is not CSV: {error}{_range(whole, last)}"
        else:
            delimiter = parted_by if any(row) else delimiter
            yield whole, row
        begun = None
    if begun is not None:
        yield begun, f"a quoted cell begins there and never ends{_range(begun, last)}"


def _delimiter(header: str) -> str:
    """Return what parts the cells of a header: the most frequent outside of quotes."""
    return max(_DELIMITERS, key=_QUOTED.sub("", header).count)


def _range(begun: Line, last: int) -> str:
    """Name the lines that an open quote took along."""
    return f": lines {begun.number} to {last} were not read" if last > begun.number else ""


def _joined(begun: Line | None, line: Line) -> Line:
    """Return a row that spans lines as one, under the number of its first."""
    if begun is None:
        text = line.text
        if text is not None and line.number == 1:
            text = text.removeprefix(_BOM)
        return Line(line.number, text, line.size)
    whole = None if line.text is None else (begun.text or b"") + b"\n" + line.text
    if whole is not None and len(whole) > csv.field_size_limit():
        whole = None
    return Line(begun.number, whole, begun.size + line.size)


def _decoded(line: Line) -> str | None:
    try:
        return None if line.text is None else line.text.decode()
    except UnicodeDecodeError:
        return None


def _unreadable(line: Line) -> str:
    if line.text is None:
        return "it is longer than any message may be"
    if line.text.startswith(_UTF_16):
        return "it is UTF-16: save the file as UTF-8"
    return "it is not UTF-8: save the file as UTF-8"


def _event_of(text: bytes, entity_type: int | None) -> tuple[bytes, str]:
    """Return the body that a line stands for, and its content type."""
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text, JSON
    is_wrapped = "source" in members and ("data" in members or "data_base64" in members)
    if "fields" not in members and ("specversion" in members or is_wrapped):
        return text, STRUCTURED
    if entity_type is None or "entityTypeId" in members:
        return text, JSON
    named = msgspec.Raw(str(entity_type).encode())
    return msgspec.json.encode({"entityTypeId": named, **members}), JSON


def _judged(line: Line, body: bytes, content_type: str, decoder: Decoder) -> Read:
    """Ask the importer's own decoder what it will think of a message."""
    event = decoder.decode(Incoming(body=body, headers={}, content_type=content_type))
    if isinstance(event, Malformed):
        return Refused(line.number, line.size, f"{event.code}: {event.message}")
    return Record(line.number, line.size, body, content_type, event)
