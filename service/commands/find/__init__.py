"""Runs `find`: where one event is now."""

import argparse

from service.commands.find.looking import look
from service.commands.find.showing import show, show_json
from service.commands.runtime import command_runtime, run


def main(options: argparse.Namespace) -> int:
    """Look for an event; 0 where it was found, else 1."""
    return run(_find(options))


async def _find(options: argparse.Namespace) -> int:
    async with command_runtime("find") as work:
        found = await look(work, options.id, options.type)
    (show_json if options.json else show)(found)
    return 0 if found.is_found else 1
