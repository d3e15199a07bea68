"""Reads an item event from every row of CSV, also where several files were joined to one."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

from service.commands.publish.csv_rows import CsvRow, Unreadable, rows
from service.commands.publish.header import Header, Table
from service.commands.publish.lines import Lines
from service.commands.publish.records import JSON, Note, Read, Record, RefusedLine, judged
from service.domain.members import NO_ID
from service.factories import CannotStart
from service.rabbit.decoding import Decoder

_MARK = "\ufeff"


def of_csv(lines: Lines, decoder: Decoder, table: Table) -> Iterator[Read]:
    """Read an item from every row; the header names its fields. Raises CannotStart for that."""
    header: Header | None = None
    for found in rows(lines):
        if isinstance(found, Unreadable):
            if header is None:
                raise CannotStart(f"the header of the CSV cannot be read: {found.reason}")
            yield RefusedLine(found.place, found.reason)
            continue
        for row in _parted(found, header):
            if not any(cell.strip() for cell in row.cells):
                continue
            if header is not None and not header.is_repeated_by(row.cells):
                yield _of_row(row, header, decoder)
                continue
            if header is not None:
                yield Note(f"{row.place} is a header again: it is skipped")
            is_first, header = header is None, Header.of(row.cells, table)
            yield from map(Note, header.notes() if is_first else ())


def _parted(row: CsvRow, header: Header | None) -> Iterator[CsvRow]:
    """Part a row at the point where the next file was joined to it without a line end."""
    if header is None:
        yield row
        return
    cells = row.cells
    before = [*takewhile(lambda cell: _MARK not in cell, cells)]
    if len(before) < len(cells):
        last, _, first = cells[len(before)].partition(_MARK)
        behind = [first, *cells[len(before) + 1 :]]
        if header.is_repeated_by(behind):
            yield CsvRow(row.place, [*before, last])
            yield CsvRow(row.place, behind)
            return
    if row.is_marked and not header.is_repeated_by(cells):
        raise CannotStart(
            f"{row.place}: another file begins here (byte-order mark), and its header differs "
            f"from the one above: publish the files one by one"
        )
    yield row


def _of_row(row: CsvRow, header: Header, decoder: Decoder) -> Read:
    body = header.event(row.cells)
    if isinstance(body, str):
        return RefusedLine(row.place, body)
    read = judged(row.place, body, JSON, decoder, header.warnings(row.cells))
    if isinstance(read, Record) and header.table.id_column is None:
        # That rows have no id is said once, not with each of them.
        return replace(read, warnings=tuple(each for each in read.warnings if each != NO_ID))
    return read
