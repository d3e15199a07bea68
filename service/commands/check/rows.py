"""Holds what a check found: a row for each thing, and what follows from all of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from service import __version__

SCHEMA = 1
"""Version of the JSON. Members may be added under the same number; none is removed or renamed."""


class RowStatus(StrEnum):
    """How a row ended; only `fail` fails the check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was checked.

    `check` is a stable name of the question, `subject` what it was asked about, `found` the
    answer for people, `remedy` what to do about it; empty where there is nothing to do.
    `command` does it, where one command can; it can be pasted.
    """

    check: str
    subject: str
    status: RowStatus
    found: str
    remedy: str = ""
    command: str = ""


def ok(check: str, subject: str, found: str) -> Row:
    """Return a row that is as it should be."""
    return Row(check, subject, RowStatus.OK, found)


def warn(check: str, subject: str, found: str, remedy: str, command: str = "") -> Row:
    """Return a row that works, at a price."""
    return Row(check, subject, RowStatus.WARN, found, remedy, command)


def fail(check: str, subject: str, found: str, remedy: str, command: str = "") -> Row:
    """Return a row that keeps the importer from its work or its promises."""
    return Row(check, subject, RowStatus.FAIL, found, remedy, command)


def unknown(check: str, subject: str, found: str, remedy: str = "") -> Row:
    """Return a row that could not be checked."""
    return Row(check, subject, RowStatus.UNKNOWN, found, remedy)


def failed(rows: Iterable[Row]) -> bool:
    """Tell whether a row failed."""
    return any(row.status is RowStatus.FAIL for row in rows)


def tally(rows: Iterable[Row]) -> dict[str, int]:
    """Count the rows by status; every status is there."""
    counted = Counter(row.status for row in rows)
    return {str(status): counted[status] for status in RowStatus}


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the rows as the members of the JSON."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "passed": not failed(rows),
        "counts": tally(rows),
        "rows": [
            {
                "check": row.check,
                "subject": row.subject,
                "status": str(row.status),
                "found": row.found,
                "remedy": row.remedy or None,
                "command": row.command or None,
            }
            for row in rows
        ],
    }
