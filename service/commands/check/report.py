"""Shows the rows of a check: a table for people, lines for logs, JSON for programs."""

import sys
from collections.abc import Mapping, Sequence

from service.commands import terminal, text_layout
from service.commands.check.rows import Row, RowStatus, document, failed, tally
from service.commands.terminal import Toned, show

_TONES: Mapping[RowStatus, str] = {
    RowStatus.OK: "good",
    RowStatus.WARN: "warn",
    RowStatus.FAIL: "bad",
    RowStatus.UNKNOWN: "dim",
}
_PLAIN = frozenset({"broker.connection", "broker.management", "portal.connection", "portal.type"})
_ORDER = (RowStatus.OK, RowStatus.UNKNOWN, RowStatus.WARN, RowStatus.FAIL)
"""A reader looks at the last lines first."""
_INDENT = " " * (max(len(status) for status in RowStatus) + 2)


def write(rows: Sequence[Row], *, as_json: bool) -> None:
    """Write the rows to standard output, those that are not right last."""
    if as_json:
        terminal.show_json(document(rows))
        return
    width = terminal.columns_of(sys.stdout)
    for row in sorted(rows, key=lambda each: _ORDER.index(each.status)):
        _write_row(row, width)
    terminal.paragraph(summary(rows), rest=_INDENT)


def _write_row(row: Row, width: int | None) -> None:
    """Write a row, on a terminal of a width: one that is right takes a line, cut with a mark."""
    status = Toned(f"{row.status:<{len(_INDENT)}}", _TONES[row.status])
    text = f"{_what(row)}: {row.found}"
    if width is not None and row.status is RowStatus.OK:
        terminal.line(status, text_layout.shortened(text, width - len(_INDENT)))
        return
    first, *more = text_layout.wrapped(text, width and width - len(_INDENT))
    terminal.line(status, first)
    for each in more:
        terminal.line(_INDENT, each)
    if row.remedy:
        terminal.paragraph(row.remedy, first=f"{_INDENT}-> ", rest=f"{_INDENT}   ")
    if row.command:
        show(f"{_INDENT}   {row.command}")


def summary(rows: Sequence[Row]) -> str:
    """Return the last line: whether the importer may start, the rows by status, what failed."""
    counts = ", ".join(f"{number} {status}" for status, number in tally(rows).items() if number)
    verdict = "not fit" if failed(rows) else "fit"
    wrong = "; ".join(_what(row) for row in rows if row.status is RowStatus.FAIL)
    return f"{verdict}: {counts}" + (f": {wrong}" if wrong else "")


def _what(row: Row) -> str:
    """Name a row: its subject, and the question where the subject has several."""
    question = row.check.partition(".")[2].replace("_", " ")
    plain = row.check.startswith("topology.") or row.check in _PLAIN
    plain = plain or question in {"", row.subject}
    return row.subject if plain else f"{row.subject}, {question}"
