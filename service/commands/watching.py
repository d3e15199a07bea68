"""Reports the progress of reading messages, to a terminal or a page."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from service.commands import terminal
from service.commands.runtime import stoppable


class Walk(Protocol):
    """The progress of reading messages, as an observer sees it."""

    @property
    def stopped(self) -> bool:
        """Whether it is to end after the present window."""

    def advance(self, steps: int) -> None:
        """Count messages as passed."""


class Watcher(Protocol):
    """Whoever waits for a walk."""

    def watching(self, what: str, depth: int) -> AbstractContextManager[Walk]:
        """Follow a walk through this many messages to its end."""

    def note(self, text: str) -> None:
        """Take a note."""


@dataclass(slots=True)
class _WalkAtTerminal:
    progress: terminal.Progress
    stop: asyncio.Event

    @property
    def stopped(self) -> bool:
        return self.stop.is_set()

    def advance(self, steps: int) -> None:
        self.progress.advance(steps)


@dataclass(frozen=True, slots=True)
class AtTerminal:
    """Shows progress at the terminal, in a unit such as letters; Ctrl-C ends the walk."""

    unit: str

    @contextmanager
    def watching(self, what: str, depth: int) -> Iterator[Walk]:
        """Show how far it is."""
        with stoppable() as stop, terminal.progress(what, depth, unit=self.unit) as progress:
            yield _WalkAtTerminal(progress, stop)

    def note(self, text: str) -> None:
        """Write it to standard error."""
        terminal.say(text)
