"""Shows how far the demo is: bars on a terminal, plain lines elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

WIDEST = 80
LINE_SECONDS = 5.0
RATE_SECONDS = 5.0
COLOURS = {"published": "blue", "imported": "green", "failed": "yellow", "dead-lettered": "red"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts what has happened so far; `settled` are messages that have an outcome."""

    counts: Mapping[str, int]
    settled: int
    waiting: int
    in_flight: int
    paused: bool


class Screen:
    """Prints for people; the only part of the demo that writes to the terminal."""

    def __init__(self) -> None:
        """Look at where the output goes."""
        terminal = sys.stdout.isatty()
        self.console = Console(
            force_terminal=terminal,
            width=None if terminal else WIDEST,
            highlight=False,
            soft_wrap=not terminal,
        )
        self._live = terminal and not self.console.is_dumb_terminal

    def say(self, name: str, text: str) -> None:
        """Print one named fact."""
        head = f"  [bold]{name:10}[/bold]"
        if not sys.stdout.isatty():
            self.console.print(f"{head}{escape(text)}")
            return
        fact = Table.grid()
        fact.add_row(head, escape(text))
        self.console.print(fact)

    def title(self, text: str) -> None:
        """Print a headline."""
        self.console.print(f"\n[bold]{escape(text)}[/bold]")

    def line(self, text: str) -> None:
        """Print a line that can be copied: nothing in it is wrapped."""
        self.console.print(escape(text), soft_wrap=True)

    @contextmanager
    def progress(self, totals: Mapping[str, int]) -> "Iterator[Progressing]":
        """Show the counts against their totals for the time of a `with`."""
        shown = _Bars(self.console, totals) if self._live else _Lines(self.console, totals)
        self.console.print()
        with shown.open():
            yield shown


class Progressing:
    """Takes snapshots and shows them."""

    def __init__(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._settled: deque[tuple[float, int]] = deque([(self._started, 0)])

    @contextmanager
    def open(self) -> Iterator[None]:
        """Show for the time of a `with`."""
        yield

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        """Show one snapshot."""

    def _state(self, snapshot: Snapshot) -> str:
        now = time.monotonic()
        self._settled.append((now, snapshot.settled))
        while now - self._settled[0][0] > RATE_SECONDS and len(self._settled) > 1:
            self._settled.popleft()
        since, before = self._settled[0]
        rate = (snapshot.settled - before) / (now - since) if now > since else 0.0
        state = (
            f"{now - self._started:3.0f} s   {rate:4.1f} a second now   "
            f"waiting in the queue: {snapshot.waiting}   calls in flight: {snapshot.in_flight}"
        )
        return state + ("   PAUSED" if snapshot.paused else "")


class _Bars(Progressing):
    def __init__(self, console: Console, totals: Mapping[str, int]) -> None:
        super().__init__()
        self._bars = Progress(
            TextColumn("  {task.description:14}"),
            BarColumn(bar_width=38),
            MofNCompleteColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        for name, total in totals.items():
            text = f"[{COLOURS[name]}]{name:14}[/]"
            self._tasks[name] = self._bars.add_task(text, total=total)
        self._text = Text("")
        self._group = Group(self._bars, Text(""), self._text)
        self._console = console

    @contextmanager
    def open(self) -> Iterator[None]:
        with Live(self._group, console=self._console, refresh_per_second=8):
            yield

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        for name, count in snapshot.counts.items():
            self._bars.update(self._tasks[name], completed=count)
        done = f"every message has its outcome after {time.monotonic() - self._started:.0f} s"
        self._text.plain = "  " + (done if last else self._state(snapshot))


class _Lines(Progressing):
    def __init__(self, console: Console, totals: Mapping[str, int]) -> None:
        super().__init__()
        self._console = console
        self._totals = totals
        self._next = 0.0

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        state = self._state(snapshot)
        if time.monotonic() < self._next and not last:
            return
        self._next = time.monotonic() + LINE_SECONDS
        counts = "  ".join(
            f"{name} {count}/{self._totals[name]}" for name, count in snapshot.counts.items()
        )
        self._console.print(f"  {counts}")
        self._console.print(f"  {state}")
