"""Shows tables and progress to people, asks them, and writes plain lines for everybody else."""

import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TextIO

from service.commands import text_layout

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn, TaskID

PLAIN_SECONDS = 5.0
"""Seconds between two lines of progress without a terminal."""
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
"""Control characters, line ends, characters that change the direction of text, and invisible
ones."""
_TONES: Mapping[str, str] = MappingProxyType(
    {"good": "32", "bad": "1;31", "warn": "33", "dim": "2", "head": "1"}
)
"""Colours of a terminal, by name."""


@dataclass(frozen=True, slots=True)
class Toned:
    """A cell with a tone that a terminal shows as a colour: good, bad, warn, dim, head."""

    text: str
    tone: str


Cell = str | int | Toned


class Unwritable(Exception):  # noqa: N818 - reads as what it says
    """Standard output takes nothing; the text says why."""


def clean(text: str) -> str:
    """Return a text without what could move the cursor or hide other text."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def command(words: str, **values: str) -> str:
    """Return a command that can be pasted: each name of `values` becomes its value, quoted."""
    filled = ["crm-importer"]
    for word in words.split():
        option, equals, name = word.rpartition("=")
        # A value that begins with a dash would be read as an option.
        ends = "-- " if not equals and values.get(name, "").startswith("-") else ""
        filled.append(f"{ends}{option}{equals}{quoted(values[name])}" if name in values else word)
    return " ".join(filled)


def quoted(word: str) -> str:
    """Return any word quoted for a shell."""
    if clean(word) == word:
        return shlex.quote(word)
    escaped = word.encode("unicode_escape", "surrogatepass").decode("ascii")
    return "$'" + escaped.replace("'", "\\'") + "'"


def many(count: int, noun: str) -> str:
    """Return a number of things in words, such as `1 letter` or `2,000 letters`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def say(text: str) -> None:
    """Write a line to standard error: notes, progress, questions."""
    _write(text, sys.stderr)


def show(text: str = "") -> None:
    """Write lines to standard output: what was asked for."""
    _write(text, sys.stdout)


def line(*pieces: Cell) -> None:
    """Write a line to standard output, its toned pieces coloured on a terminal."""
    paints = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    written = (_painted(each) if paints else _text(each) for each in pieces)
    put("".join(written).rstrip() + "\n", sys.stdout)


def show_json(document: object) -> None:
    """Write a document to standard output; in an encoding that lacks letters, with escapes."""
    escapes = "utf" not in (sys.stdout.encoding or "utf-8").lower()
    lines = json.dumps(document, ensure_ascii=escapes, indent=2).split("\n")
    put("".join(f"{_CONTROL.sub(_escape, line)}\n" for line in lines), sys.stdout)


def _escape(sign: re.Match[str]) -> str:
    return json.dumps(sign[0])[1:-1]


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Write a table to standard output: no wider than a terminal, else in plain columns.

    What finds no room beside the rest stands below its row, whole.
    """
    width = columns_of(sys.stdout)
    texts = [[_text(cell) for cell in row] for row in rows]
    beside, below = text_layout.split(columns, texts, width)
    widths = [max(text_layout.cells(each[at]) for each in (columns, *texts)) for at in beside]
    is_number = [bool(rows) and all(isinstance(row[at], int) for row in rows) for at in beside]

    def row(cells: Sequence[str]) -> str:
        found = zip(beside, widths, is_number, strict=True)
        return text_layout.GAP.join(
            text_layout.padded(cells[at], size, right=number and width is not None)
            for at, size, number in found
        )

    line(Toned(row(columns), "head"))
    for cells in texts:
        line(row(cells))
        for at in below:
            line(text_layout.GAP, Toned(columns[at], "dim"), text_layout.GAP, cells[at])


def columns_of(stream: TextIO) -> int | None:
    """Return how wide a terminal is; None where it is none, and nothing is bent to a width."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def paragraph(text: str, *, first: str = "", rest: str = "") -> None:
    """Write a text to standard output; on a terminal broken between words, indented as told."""
    width = columns_of(sys.stdout)
    for each in text_layout.wrapped(text, width, first=first, rest=rest):
        show(each)


def can_ask() -> bool:
    """Tell whether a person can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, answer: str) -> bool:
    """Ask for a word to be typed, and tell whether it was; Ctrl-C is a no, however early."""
    try:
        put(f"{clean(question)} ", sys.stderr)
        return sys.stdin.readline().strip() == answer
    except (KeyboardInterrupt, UnicodeDecodeError):
        say("")  # the answer to come stands on a line of its own
        return False


class Progress(Protocol):
    """How far a piece of work has come."""

    def advance(self, steps: int = 1) -> None:
        """Count steps as done."""

    def tell(self, text: str) -> None:
        """Show a word beside the steps, such as a rate, until there is another."""


@contextmanager
def progress(what: str, total: int | None, *, unit: str = "") -> Iterator[Progress]:
    """Show progress of `total` steps on standard error; None: unknown.

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
        yield _Bar(trip, trip.add_task(encodable(clean(what), sys.stderr), total=total, told=""))


class _Bar:
    """A bar that moves."""

    def __init__(self, trip: "Bar", task: "TaskID") -> None:
        self._bar, self._task = trip, task

    def advance(self, steps: int = 1) -> None:
        self._bar.advance(self._task, steps)

    def tell(self, text: str) -> None:
        self._bar.update(self._task, told=encodable(clean(text), sys.stderr))


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


def _text(cell: Cell) -> str:
    match cell:
        case Toned():
            return clean(cell.text)
        case int():
            return f"{cell:,}"
        case _:
            return clean(cell)


def _painted(cell: Cell) -> str:
    tone = _TONES[cell.tone] if isinstance(cell, Toned) else ""
    return f"\x1b[{tone}m{_text(cell)}\x1b[0m" if tone else _text(cell)


@contextmanager
def writing(stream: TextIO) -> Iterator[None]:
    """Write to a stream and flush it; raises Unwritable, except for notes."""
    try:
        yield
        stream.flush()
    except OSError as error:
        mute(stream)
        if stream is not sys.stderr:
            if isinstance(error, BrokenPipeError):
                raise
            why = error.strerror or "closed"
            raise Unwritable(f"standard output cannot be written: {why}") from None


def mute(stream: TextIO) -> None:
    """Discard what a stream still holds, so that the interpreter's last flush cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _write(text: str, stream: TextIO) -> None:
    """Write lines, each cleaned."""
    put("\n".join(clean(line) for line in text.split("\n")) + "\n", stream)


def put(text: str, stream: TextIO) -> None:
    """Write a text in the stream's encoding."""
    with writing(stream):
        stream.write(encodable(text, stream))


def encodable(text: str, stream: TextIO) -> str:
    """Return a text with escapes for what a stream cannot encode."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
