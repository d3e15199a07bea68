"""Opens the dead letters for a command, and reads them with a look at how far it is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.commands.runtime import CommandRuntime
from service.commands.terminal import many
from service.commands.watching import AtTerminal, Walk, Watcher
from service.rabbit.letters import Letter
from service.rabbit.snapshot import Snapshot, open_snapshot

__all__ = ["AT_TERMINAL", "Reading", "Walk", "Watcher", "opened"]

AT_TERMINAL = AtTerminal("letters")


@dataclass(slots=True, eq=False)
class Reading:
    """A walk through the dead letters: `looked` at this many, or `ended_early`."""

    snapshot: Snapshot
    watcher: Watcher = AT_TERMINAL
    looked: int = 0
    enough: bool = False
    ended_early: bool = False

    async def windows(self, what: str) -> AsyncIterator[list[Letter]]:
        """Yield the letters in windows until their end, until `enough`, or a signal."""
        with self.watcher.watching(what, self.snapshot.depth) as walk:
            async for window in self.snapshot.windows():
                yield window
                self.looked += len(window)
                walk.advance(len(window))
                self.ended_early = walk.stopped
                if self.enough or self.ended_early:
                    return

    @property
    def interrupted(self) -> str:
        """How far it came, in words; for a walk that ended early."""
        return f"interrupted: {self.looked:,} of {self.snapshot.depth:,} looked at"


@asynccontextmanager
async def opened(work: CommandRuntime, watcher: Watcher = AT_TERMINAL) -> AsyncIterator[Reading]:
    """Open the queue of dead letters; says when others hold some of them."""
    queue = work.settings.rabbit.dead_letter_queue
    async with open_snapshot(work.session, queue, work.decoder) as snapshot:
        if snapshot.others:
            watcher.note(
                f"note: others read queue {queue}, too ({many(snapshot.others, 'consumer')}): "
                "letters that they hold are not shown here"
            )
        yield Reading(snapshot, watcher)
    if snapshot.unkept:
        watcher.note(
            f"warning: {snapshot.unkept} letters have been returned often and could not be "
            f"put into queue {queue} again (is it full?). RabbitMQ 4 drops a letter at its "
            f"21st "
            "return unless the queue has a higher delivery limit"
        )
