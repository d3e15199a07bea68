"""Works on dead letters: lists, shows, redrives and purges them, while the service runs."""

import argparse

from service.commands.dlq.listing import listing
from service.commands.dlq.purging import purging
from service.commands.dlq.redriving import redriving
from service.commands.dlq.showing import showing
from service.commands.runtime import run


def main(options: argparse.Namespace) -> int:
    """Run a `dlq` command and return its exit code."""
    match options.action:
        case "list":
            return run(listing(options))
        case "show":
            return run(showing(options))
        case "redrive":
            return redriving(options)
        case _:
            return purging(options)
