"""Works on dead letters: lists, shows, redrives and purges them, while the service runs."""

import argparse

from service.dead_letters.listing import listing
from service.dead_letters.purging import purging
from service.dead_letters.redriving import redriving
from service.dead_letters.showing import showing
from service.errand import run


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
