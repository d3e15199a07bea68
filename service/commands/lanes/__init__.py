"""Works on lanes: shows which wait and why, has one tried, sends back or ends what waits."""

import argparse

from service.commands.lanes.failing import failing
from service.commands.lanes.retrying import retrying
from service.commands.lanes.returning import returning
from service.commands.lanes.showing import showing
from service.commands.runtime import run


def main(options: argparse.Namespace) -> int:
    """Run a `lanes` command and return its exit code."""
    match options.action:
        case None:
            return run(showing(options))
        case "retry":
            return run(retrying(options))
        case "return":
            return returning(options)
        case _:
            return failing(options)
