"""Has a closed lane tried at once: adds a note to the memory, which the active process reads."""

import argparse

from service.commands import terminal
from service.commands.inner_queues import memory_of
from service.commands.runtime import command_runtime
from service.rabbit.memory_visit import NoMemoryError
from service.rabbit.notes import NoteKind
from service.settings.environment import load


async def retrying(options: argparse.Namespace) -> int:
    """Ask for a trial of one lane; without a memory it is tried at its next interval."""
    async with command_runtime("lanes retry", load()) as work:
        try:
            async with memory_of(work) as memory:
                noted = await memory.tell(NoteKind.TRY_LANE, options.type)
        except NoMemoryError as why:
            terminal.show(
                f"the importer cannot be told: {why}; lane {options.type} is tried at its next "
                "interval"
            )
            return 0
    if not noted:
        terminal.say("the broker did not confirm the note: run it again")
        return 1
    terminal.show(f"lane {options.type} is tried at once, if it is closed")
    terminal.show(f"what became of it: {terminal.command('lanes')}")
    return 0
