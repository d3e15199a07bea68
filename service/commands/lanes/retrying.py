"""Has a closed lane tried at once: adds a note to the memory, which the active process reads."""

import argparse
from dataclasses import dataclass

from service.commands import terminal
from service.commands.inner_queues import memory_of
from service.commands.runtime import CommandRuntime, command_runtime
from service.rabbit.memory_visit import NoMemoryError
from service.rabbit.notes import NoteKind
from service.settings.environment import load


async def retrying(options: argparse.Namespace) -> int:
    """Ask for a trial of one lane; without a memory it is tried at its next interval."""
    async with command_runtime("lanes retry", load()) as work:
        told = await told_to_try(work, options.type)
    if not told.noted and not told.why:
        terminal.say("the broker did not confirm the note: run it again")
        return 1
    terminal.show(told.words)
    if told.noted:
        terminal.show(f"see the result: {terminal.command('lanes')}")
    return 0


@dataclass(frozen=True, slots=True)
class Told:
    """Whether a note asked the importer to try a lane; `why`: why no note can be written."""

    entity_type_id: int
    noted: bool
    why: str = ""

    @property
    def words(self) -> str:
        """What follows, in a sentence."""
        if self.noted:
            return f"lane {self.entity_type_id} is tried at once, if it is closed"
        if self.why:
            return (
                f"the note cannot be written: {self.why}; lane {self.entity_type_id} is tried at "
                "its next interval"
            )
        return "the broker did not confirm the note: do it again"


async def told_to_try(work: CommandRuntime, entity_type_id: int) -> Told:
    """Leave a note that a lane is to be tried at once."""
    try:
        async with memory_of(work) as memory:
            return Told(entity_type_id, await memory.tell(NoteKind.TRY_LANE, entity_type_id))
    except NoMemoryError as why:
        return Told(entity_type_id, noted=False, why=str(why))
