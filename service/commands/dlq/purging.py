"""Removes dead letters for ever, after a person has confirmed how many."""

import argparse
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from service.commands import runtime, terminal
from service.commands.dlq.groups import Groups
from service.commands.dlq.listing import grouped
from service.commands.dlq.opening import Reading, opened
from service.commands.dlq.selection import JSON_ASKS_NOBODY, Selection
from service.commands.record import acted
from service.factories import CannotStart
from service.rabbit.letters import Letter


@dataclass(slots=True)
class Purge:
    """The removal of what was counted, at most `most`; what came meanwhile is younger and stays.

    `newest` is when the youngest of them failed.
    """

    selection: Selection
    most: int
    newest: datetime | None
    removed: int = 0

    @classmethod
    def of(cls, selection: Selection, groups: Groups) -> Self:
        """Return the removal of letters that were counted into groups."""
        newest = max((group.newest for group in groups if group.newest), default=None)
        return cls(selection, groups.count, newest)

    async def walk(self, reading: Reading) -> None:
        """Remove them window by window."""
        async for window in reading.windows("removing"):
            chosen = list(filter(self._was_counted, window))[: self.most - self.removed]
            await reading.snapshot.settle(window, chosen)
            self.removed += len(chosen)
            reading.enough = self.removed >= self.most

    def _was_counted(self, letter: Letter) -> bool:
        young = letter.failed_at and self.newest and letter.failed_at > self.newest
        return self.selection.holds(letter) and not young


def purging(options: argparse.Namespace) -> int:
    """Count the selected letters, ask, and remove no more than were counted."""
    if not (options.yes or options.dry_run):
        _refuse_unasked(as_json=options.json)
    groups = Groups()
    if runtime.run(_count(Selection.of(options), groups)):
        return 1
    purge = Purge.of(Selection.of(options), groups)
    if options.json:
        code = 0 if options.dry_run or not groups.count else runtime.run(_remove(purge))
        terminal.show_json(_document(purge, groups, dry_run=options.dry_run))
        return code
    if not groups.count:
        terminal.show("nothing to remove")
        return 0
    groups.show()
    if options.dry_run:
        terminal.show(f"{terminal.many(groups.count, 'dead letter')} would be removed")
        return 0
    if not options.yes and not _confirmed(groups.count):
        terminal.say("nothing was removed")
        return 1
    code = runtime.run(_remove(purge))
    terminal.show(f"{terminal.many(purge.removed, 'dead letter')} removed")
    return code


def _refuse_unasked(*, as_json: bool) -> None:
    """Raise CannotStart if there is no terminal to ask at."""
    if as_json:
        raise CannotStart(JSON_ASKS_NOBODY)
    if not terminal.can_ask():
        raise CannotStart("there is no terminal to ask at: purge needs --yes (or --dry-run)")


def _document(purge: Purge, groups: Groups, *, dry_run: bool) -> dict[str, object]:
    """Return what was removed, or would be, as `--json` shows it."""
    return {
        "dryRun": dry_run,
        "matching": groups.count,
        "removed": purge.removed,
        "groups": [group.as_json() for group in groups],
    }


def _confirmed(count: int) -> bool:
    terminal.say("This cannot be undone: there is no other copy.")
    return terminal.confirm(
        f"Type {count} to remove {terminal.many(count, 'dead letter')}:", str(count)
    )


async def _count(selection: Selection, groups: Groups) -> int:
    async with runtime.command_runtime("dlq purge") as work, opened(work) as reading:
        await grouped(reading, selection, groups, "counting")
    if reading.ended_early:
        terminal.say(f"{reading.interrupted}; nothing was removed")
    return 1 if reading.ended_early else 0


async def _remove(purge: Purge) -> int:
    async with runtime.command_runtime("dlq purge") as work, opened(work) as reading:
        try:
            await purge.walk(reading)
        finally:
            if purge.removed:
                told = f"{terminal.many(purge.removed, 'dead letter')} removed"
                acted(work.settings, "remove", purge.selection.words, told)
    if reading.ended_early and purge.removed < purge.most:
        terminal.say(f"{reading.interrupted}; the rest stays where it is")
    return 0 if purge.removed == purge.most else 1
