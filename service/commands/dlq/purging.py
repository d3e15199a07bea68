"""Removes dead letters for good, after somebody has said how many."""

import argparse
from datetime import datetime

from service.commands import runtime, terminal
from service.commands.dlq.groups import Groups
from service.commands.dlq.opening import opened
from service.commands.dlq.selection import Selection
from service.factories import CannotStart
from service.rabbit.letters import Letter


def purging(options: argparse.Namespace) -> int:
    """Count the selected letters, ask, and remove no more than were counted."""
    if not (options.yes or options.dry_run or terminal.can_ask()):
        raise CannotStart("nobody can be asked here: purge needs --yes (or --dry-run)")
    groups = Groups()
    if runtime.run(_count(Selection.of(options), groups)):
        return 1
    if groups.count:
        groups.show()
    if not groups.count:
        terminal.show("nothing to remove")
        return 0
    if options.dry_run:
        terminal.show(f"{terminal.many(groups.count, 'dead letter')} would be removed")
        return 0
    if not options.yes and not _confirmed(groups.count):
        terminal.say("nothing was removed")
        return 1
    newest = max((group.newest for group in groups if group.newest), default=None)
    return runtime.run(_remove(Selection.of(options), groups.count, newest))


def _confirmed(count: int) -> bool:
    terminal.say("This cannot be undone: nobody keeps another copy.")
    return terminal.confirm(
        f"Type {count} to remove {terminal.many(count, 'dead letter')}:", str(count)
    )


async def _count(selection: Selection, groups: Groups) -> int:
    async with runtime.command_runtime("dlq purge") as work, opened(work) as reading:
        async for window in reading.windows("counting"):
            for letter in filter(selection.holds, window):
                groups.add(letter)
            await reading.snapshot.keep(window)
    if reading.ended_early:
        terminal.say(f"{reading.interrupted}; nothing was removed")
    return 1 if reading.ended_early else 0


async def _remove(selection: Selection, most: int, newest: datetime | None) -> int:
    """Remove what was counted; a letter that came meanwhile is younger than all of it."""

    def counted(letter: Letter) -> bool:
        young = letter.failed_at and newest and letter.failed_at > newest
        return selection.holds(letter) and not young

    removed = 0
    async with runtime.command_runtime("dlq purge") as work, opened(work) as reading:
        async for window in reading.windows("removing"):
            chosen = list(filter(counted, window))[: most - removed]
            await reading.snapshot.settle(window, chosen)
            removed += len(chosen)
            reading.enough = removed >= most
    terminal.show(f"{terminal.many(removed, 'dead letter')} removed")
    if reading.ended_early and removed < most:
        terminal.say(f"{reading.interrupted}; the rest stays where it is")
    return 0 if removed == most else 1
