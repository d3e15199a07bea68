"""Opens the dead letters for the console, one reading at a time, and follows it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from service.commands.dlq.opening import Reading, Walk, opened
from service.commands.runtime import CommandRuntime, command_runtime
from service.factories import CannotStart
from service.rabbit.rights import Rights, of_operator
from service.rabbit.topology import Topology
from service.settings.environment import SettingsInvalid, load

MAX_NOTES = 20


@dataclass(slots=True, eq=False)
class Follow:
    """How far a walk through the dead letters has come, for a page; a page may stop it.

    `waits`: it waits for its turn, since another reading of ours holds the letters.
    """

    passed: int = 0
    total: int = 0
    waits: bool = False
    stopped: bool = False
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def watching(self, what: str, depth: int) -> Iterator[Walk]:  # noqa: ARG002 - pages have words of their own
        """Follow the reading of this many letters."""
        self.passed, self.total = 0, depth
        yield self

    def advance(self, steps: int) -> None:
        """Count letters as passed."""
        self.passed += steps

    def note(self, text: str) -> None:
        """Keep a note for the page."""
        if len(self.notes) < MAX_NOTES:
            self.notes.append(text)


class DeadLetters:
    """The queue of dead letters, as this console reads it.

    Whoever reads holds what he has passed, so two readings of ours at once would each see a part.
    """

    def __init__(self) -> None:
        """Start with no reader."""
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def reading(self, follow: Follow) -> AsyncIterator[tuple[CommandRuntime, Reading]]:
        """Open the dead letters when it is our turn; raises what `runtime.ENDS` names."""
        async with self.turn(follow) as work, opened(work, follow) as reading:
            yield work, reading

    @asynccontextmanager
    async def turn(self, follow: Follow) -> AsyncIterator[CommandRuntime]:
        """Connect to the broker when it is our turn; raises what `runtime.ENDS` names."""
        follow.waits = True
        async with self._turn:
            follow.waits = False
            async with self.beside(follow) as work:
                yield work

    @asynccontextmanager
    async def beside(
        self, follow: Follow, *, needs: Callable[[Topology], Rights] = of_operator
    ) -> AsyncIterator[CommandRuntime]:
        """Connect to the broker for what leaves the dead letters alone; raises as `reading`.

        The settings are read again: secrets in files may have changed. `needs`: the rights that
        the work takes.
        """
        try:
            settings = load(portal=False)
        except SettingsInvalid as wrong:
            raise CannotStart(str(wrong)) from None
        async with command_runtime("console", settings, follow.note, needs=needs) as work:
            yield work
