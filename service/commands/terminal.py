"""Shows tables and progress to people, asks them, and writes plain lines for everybody else."""

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn, TaskID

PLAIN_SECONDS = 5.0
"""Between two lines of progress where there is no terminal."""
UNBROKEN = 30
"""Characters of a column that a terminal does not break, such as a code."""
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
"""Control characters, and those that end a line, turn the direction of text, or cannot be seen."""
_TONES: Mapping[str, str] = MappingProxyType(
    {"good": "green", "bad": "bold red", "warn": "yellow", "dim": "dim"}
)


@dataclass(frozen=True, slots=True)
class Toned:
    """A cell with a tone that a terminal shows as a colour: good, bad, warn, dim."""

    text: str
    tone: str


Cell = str | int | Toned


class Unwritable(Exception):  # noqa: N818 - reads as what it says
    """Standard output takes nothing; the text says why."""


def clean(text: str) -> str:
    """Return a text without what could move the cursor or hide other text."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def many(count: int, noun: str) -> str:
    """Return a number of things in words, such as `1 letter` or `2,000 letters`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def say(text: str) -> None:
    """Write a line to standard error: notes, progress, questions."""
    _write(text, sys.stderr)


def show(text: str = "") -> None:
    """Write lines to standard output: what was asked for."""
    _write(text, sys.stdout)


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Write a table to standard output: ruled on a terminal, else columns of plain text."""
    if sys.stdout.isatty():
        _ruled(columns, rows)
        return
    lines = [list(columns), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        show("  ".join(cells).rstrip())


def can_ask() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, answer: str) -> bool:
    """Ask for a word to be typed, and tell whether it was."""
    sys.stderr.write(f"{clean(question)} ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == answer


class Progress(Protocol):
    """How far a piece of work has come."""

    def advance(self, steps: int = 1) -> None:
        """Count steps as done."""

    def tell(self, text: str) -> None:
        """Show a word beside the steps, such as a rate, until there is another."""


@contextmanager
def progress(what: str, total: int | None, *, unit: str = "") -> Iterator[Progress]:
    """Show on standard error how far a work of `total` steps is; None: nobody knows.

    A bar on a terminal; elsewhere a line every few seconds, none for work that is short. The
    unit `bytes` is shown as such.
    """
    if not sys.stderr.isatty():
        yield _Lines(what, total, unit)
        return
    from rich.console import Console  # noqa: PLC0415 - only people at a terminal wait for it
    from rich.progress import Progress as Bar  # noqa: PLC0415 - as above

    screen = Console(stderr=True)
    with Bar(*_columns(unit), console=screen, transient=True) as trip:
        yield _Bar(trip, trip.add_task(clean(what), total=total, told=""))


class _Bar:
    """A bar that moves."""

    def __init__(self, trip: "Bar", task: "TaskID") -> None:
        self._bar, self._task = trip, task

    def advance(self, steps: int = 1) -> None:
        self._bar.advance(self._task, steps)

    def tell(self, text: str) -> None:
        self._bar.update(self._task, told=clean(text))


class _Lines:
    """A line now and then."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._done, self._told = 0, ""
        self._next = time.monotonic() + PLAIN_SECONDS

    def tell(self, text: str) -> None:
        self._told = text

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PLAIN_SECONDS
        of = "" if self._total is None else f" of {self._total:,}"
        told = f", {self._told}" if self._told else ""
        say(f"{self._what}: {self._done:,}{of} {self._unit}".rstrip() + told)


def _columns(unit: str) -> "list[ProgressColumn]":
    from rich import progress as parts  # noqa: PLC0415 - only people at a terminal wait for it

    count: ProgressColumn = parts.MofNCompleteColumn()
    if unit == "bytes":
        count = parts.DownloadColumn()
    return [
        parts.TextColumn("{task.description}", markup=False),
        parts.BarColumn(),
        count,
        parts.TextColumn("" if unit == "bytes" else unit, markup=False),
        parts.TextColumn("{task.fields[told]}", markup=False),
        parts.TimeRemainingColumn(),
    ]


def _ruled(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - only people at a terminal wait for it
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    ruled = Table(box=SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[position], int) for row in rows)
        short = max((len(_text(row[position])) for row in rows), default=0) <= UNBROKEN
        ruled.add_column(
            name, justify="right" if numbers else "left", overflow="fold", no_wrap=short
        )
    for row in rows:
        ruled.add_row(*(Text(_text(cell), style=_style(cell)) for cell in row))
    with writing(sys.stdout):
        Console(file=sys.stdout).print(ruled)


def _text(cell: Cell) -> str:
    match cell:
        case Toned():
            return clean(cell.text)
        case int():
            return f"{cell:,}"
        case _:
            return clean(cell)


def _style(cell: Cell) -> str:
    return _TONES[cell.tone] if isinstance(cell, Toned) else ""


@contextmanager
def writing(stream: TextIO) -> Iterator[None]:
    """Write to a stream and flush it; raises Unwritable, but for notes that nobody can read."""
    try:
        yield
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        mute(stream)
        if stream is not sys.stderr:
            why = error.strerror or "closed"
            raise Unwritable(f"standard output cannot be written: {why}") from None


def mute(stream: TextIO) -> None:
    """Send what a stream still holds nowhere, lest the interpreter's last flush fails."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _write(text: str, stream: TextIO) -> None:
    """Write lines in whatever the stream can encode."""
    encoding = stream.encoding or "utf-8"
    lines = "\n".join(clean(line) for line in text.split("\n"))
    with writing(stream):
        stream.write(lines.encode(encoding, "backslashreplace").decode(encoding) + "\n")
