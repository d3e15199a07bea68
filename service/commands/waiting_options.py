"""Declares the commands about what waits: `find` and `lanes`."""

import argparse
from typing import TypeAlias

from service.commands import help_texts, option_values

Parsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - typeshed


def find(commands: Parsers) -> None:
    """Declare `find`."""
    find = commands.add_parser(
        "find",
        help="show where one event is now",
        description="Show where one event is now: imported (with its item in the portal), "
        "dead-lettered and why, waiting and why, or not found. Changes nothing. Exits 0 if it "
        "was found, else 1.",
        epilog=help_texts.FIND,
        formatter_class=help_texts.Layout,
    )
    find.add_argument(
        "id",
        type=option_values.event_id,
        metavar="ID",
        help="the event id; of a CloudEvent 'SOURCE ID'",
    )
    find.add_argument(
        "--type", type=option_values.entity_type, metavar="N", help="entity type, where known"
    )
    find.add_argument("--json", action="store_true", help="print JSON instead of the table")


def lanes(commands: Parsers) -> None:
    """Declare `lanes` and its actions."""
    top = commands.add_parser(
        "lanes",
        help="show closed lanes and waiting events; retry, return or end them",
        description="Without an action: which entity types flow and which wait, why, since when, "
        "and how many of their events wait. Exits 0, or 1 on failure.",
        epilog=help_texts.LANES,
        formatter_class=help_texts.Layout,
    )
    top.add_argument("--json", action="store_true", help="print JSON instead of the table")
    actions = top.add_subparsers(dest="action", metavar="{retry,return,fail}")
    retry = _action(actions, "retry", "try a closed lane at once")
    back = _action(
        actions,
        "return",
        "send parked and doubtful events back to the intake queue. Use it before a roll-back "
        "to a version without lanes, with the importer stopped",
    )
    back.add_argument(
        "--links",
        action="store_true",
        help="also events that wait for linked items; a version that does not know `links` "
        "would import them without their links",
    )
    back.add_argument("--yes", action="store_true", help="do not ask for confirmation of --links")
    fail = _action(
        actions,
        "fail",
        "end the waiting events of a type as failed, with results and dead letters: as "
        "rejected with the code ENDED_BY_OPERATOR, or as ambiguous if a call may have sent "
        "them",
    )
    fail.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    for action, required in ((retry, True), (back, False), (fail, True)):
        action.add_argument(
            "--type",
            type=option_values.entity_type,
            required=required,
            metavar="N",
            help="entity type" if required else "only events of this entity type",
        )


def _action(actions: Parsers, name: str, text: str) -> argparse.ArgumentParser:
    return actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
