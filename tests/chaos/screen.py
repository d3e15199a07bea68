"""Shows how far the long run is: one bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.chaos.cells import Cell
from tests.chaos.kept import HEADS
from tests.chaos.trial import Audit

WIDEST = 100
LOG_LINES = 25
ALL_HEADS = ("fault", *HEADS)


class Screen:
    """Prints for people; the only part of the runner that writes to the terminal."""

    def __init__(self, seconds: float) -> None:
        """Look at where the output goes."""
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, width=WIDEST, soft_wrap=True)
        self._seconds = seconds
        self._since = time.monotonic()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show a bar for the time of a `with`, if there is a terminal."""
        self._since = time.monotonic()
        if not self._console.is_terminal:
            yield
            return
        columns = (BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=self._console, transient=True) as progress:
            self._progress, self._task = progress, progress.add_task("", total=self._seconds)
            yield
        self._progress = None

    def starts(self, name: str) -> None:
        """Say what is running."""
        if self._progress is not None and self._task is not None:
            spent = min(time.monotonic() - self._since, self._seconds)
            self._progress.update(self._task, completed=spent, description=escape(name))

    def ended(self, cell: Cell, seed: int, audit: Audit) -> None:
        """Say what came of a run; a terminal shows only what went wrong."""
        spent = time.monotonic() - self._since
        if self._progress is None or not audit.clean:
            mark = "ok" if audit.clean else "void" if audit.verdict.void else "BROKEN"
            figures = f"{audit.verdict.events:4} events {audit.seconds:6.1f} s"
            self._console.print(
                f"{spent:6.0f} s  {escape(str(cell)):50} {figures}  seed {seed:6}  {mark}"
            )
        if not audit.clean:
            self._console.print(escape(audit.complaint()), style="red")
            self._console.print(escape("\n".join(audit.log.splitlines()[-LOG_LINES:])))

    def table(self, rows: Sequence[Sequence[str]], seed: int) -> None:
        """Print the result."""
        if self._console.is_terminal:
            table = Table(*ALL_HEADS)
            for column in table.columns[1:]:
                column.justify = "right"
            for row in rows:
                table.add_row(*(escape(cell) for cell in row))
            self._console.print(table)
        else:
            self._console.print(f"| {' | '.join(ALL_HEADS)} |")
            self._console.print(f"|---|{'---:|' * (len(HEADS))}")
            for row in rows:
                self._console.print(f"| {escape(' | '.join(row))} |")
        self._console.print("heals in: median from the last fault's end to the last result")
        self._console.print("at most: share of runs that may break a promise, by 95 % confidence")
        self._console.print(f"seed: {seed}")
