"""Shows the rows of a check: a table for people, lines for logs, JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence

from service.commands.check.rows import Row, Status, document, failed, tally
from service.commands.terminal import Cell, Toned, show, table

_TONES: Mapping[Status, str] = {
    Status.OK: "good",
    Status.WARN: "warn",
    Status.FAIL: "bad",
    Status.UNKNOWN: "dim",
}
_PLAIN = frozenset({"broker.connection", "broker.management", "portal.connection", "portal.type"})
_WIDTH = max(len(status) for status in Status)


def write(rows: Sequence[Row], *, as_json: bool) -> None:
    """Write the rows to standard output."""
    if as_json:
        show(json.dumps(document(rows), ensure_ascii=False, indent=2))
        return
    if sys.stdout.isatty():
        table(
            ["", "what", "found, and what to do"], [cells for row in rows for cells in _cells(row)]
        )
    else:
        show("\n".join(line for row in rows for line in _lines(row)))
    show(summary(rows))


def summary(rows: Sequence[Row]) -> str:
    """Return the last line: whether the importer may start, and how many rows ended how."""
    counts = ", ".join(f"{number} {status}" for status, number in tally(rows).items() if number)
    verdict = "not fit" if failed(rows) else "fit"
    return f"{verdict}: {counts}"


def _cells(row: Row) -> list[list[Cell]]:
    """Return a row of the table, and one below it for what to do."""
    first: list[Cell] = [Toned(str(row.status), _TONES[row.status]), _what(row), row.found]
    return [first, ["", "", f"-> {row.remedy}"]] if row.remedy else [first]


def _lines(row: Row) -> list[str]:
    first = f"{row.status:<{_WIDTH}}  {_what(row)}: {row.found}"
    return [first, f"{'':<{_WIDTH}}  -> {row.remedy}"] if row.remedy else [first]


def _what(row: Row) -> str:
    """Name a row: its subject, and the question where the subject has several."""
    question = row.check.partition(".")[2].replace("_", " ")
    plain = row.check.startswith("topology.") or row.check in _PLAIN
    return row.subject if plain else f"{row.subject}, {question}"
