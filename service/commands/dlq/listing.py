"""Lists dead letters: how many of which kind and code, since when."""

import argparse
import sys

from service.commands import terminal
from service.commands.dlq.groups import Groups
from service.commands.dlq.opening import Reading, opened
from service.commands.dlq.selection import Selection
from service.commands.dlq.showing import how_to_show
from service.commands.runtime import command_runtime


async def listing(options: argparse.Namespace) -> int:
    """Show the groups of the selected letters; every letter stays."""
    groups, selection = Groups(), Selection.of(options)
    async with command_runtime("dlq list") as work, opened(work) as reading:
        await grouped(reading, selection, groups)
    show = _show_json if options.json else _show
    show(reading, groups)
    return 1 if reading.ended_early else 0


async def grouped(
    reading: Reading, selection: Selection, groups: Groups, what: str = "reading"
) -> None:
    """Count the selected letters into groups; every letter stays."""
    async for window in reading.windows(what):
        for letter in filter(selection.holds, window):
            groups.add(letter)
        await reading.snapshot.keep(window)


def _show(reading: Reading, groups: Groups) -> None:
    queue, depth = reading.snapshot.queue, reading.snapshot.depth
    if groups.count:
        groups.show()
    if reading.ended_early:
        terminal.show(f"{reading.interrupted}; {groups.count:,} of these match")
    elif not depth and reading.snapshot.others:
        terminal.show(
            f"no dead letters to be seen in queue {queue}: another program may hold some now"
        )
    elif not depth:
        terminal.show(f"no dead letters in queue {queue}")
    elif groups.count == depth:
        terminal.show(f"{terminal.many(depth, 'dead letter')} in queue {queue}")
    else:
        terminal.show(
            f"{groups.count:,} of {terminal.many(depth, 'dead letter')} in queue {queue} match"
        )
    for group in list(groups)[:1] if sys.stdout.isatty() else []:
        terminal.show(f"look at one: {how_to_show(group.sample)}")


def _show_json(reading: Reading, groups: Groups) -> None:
    document = {
        "queue": reading.snapshot.queue,
        "letters": reading.snapshot.depth,
        "lookedAt": reading.looked,
        "matching": groups.count,
        "groups": [group.as_json() for group in groups],
    }
    terminal.show_json(document)
