"""Declares the command line: commands, options and their help."""

import argparse
import sys
from typing import Any, NoReturn, TypeAlias

from service import __version__
from service.commands import help_texts, option_values, waiting_options
from service.commands.terminal import clean, put

_DESCRIPTION = "Imports item events from RabbitMQ into one Bitrix24 portal, in batches."

Parsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - typeshed


class _Parser(argparse.ArgumentParser):
    """Repeats what was typed, or pasted, without what could move the cursor."""

    def error(self, message: str) -> NoReturn:
        super().error(clean(message))

    def _print_message(self, message: str, file: Any = None) -> None:  # noqa: ANN401 - typeshed
        if message:
            put(message, sys.stdout if file is sys.stdout else sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; `command` is the command's name."""
    top: argparse.ArgumentParser = _Parser(
        prog="crm-importer",
        description=_DESCRIPTION,
        epilog=help_texts.TOP,
        formatter_class=help_texts.Layout,
    )
    top.add_argument("--version", action="version", version=f"crm-importer {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser(
        "run",
        help="consume until SIGTERM (the default)",
        description="Consume item events until SIGTERM or SIGINT, then drain. Exits 0 after a "
        "clean drain, 2 on bad settings, 1 on anything else.",
    )
    _check(commands)
    _publish(commands)
    _dead_letters(commands)
    waiting_options.find(commands)
    waiting_options.lanes(commands)
    commands.add_parser(
        "console",
        help="serve a web page for operators",
        description="Serve a web page for operators until SIGTERM or SIGINT: state, dead "
        "letters, waiting events. It needs the extra `console` and listens on "
        "IMPORTER_CONSOLE__HOST and __PORT (127.0.0.1:8081). Exits as `run`.",
    )
    _settings(commands)
    commands.add_parser(
        "asyncapi",
        help="print the AsyncAPI document",
        description="Print the AsyncAPI 3 document of all channels and messages, as JSON, with "
        "the names that the settings give them.",
    )
    top.set_defaults(command="run")
    return top


def _check(commands: Parsers) -> None:
    check = commands.add_parser(
        "check",
        help="check that the broker, the portal and the settings work",
        description="Check the settings, the broker and the portal, and print a table with "
        "what to do. Changes nothing and imports nothing; only the tokens of an OAuth "
        "application may be renewed, and then the token file keeps them. Exits 0 when nothing "
        "failed, 1 when a row failed, 2 on bad settings.",
    )
    check.add_argument("--json", action="store_true", help="print JSON instead of the table")


def _publish(commands: Parsers) -> None:
    publish = commands.add_parser(
        "publish",
        help="publish item events from a file",
        description="Publish item events from JSON or CSV into the intake exchange, each "
        "confirmed by the broker. Exits 0, or 1 if any line was refused.",
        epilog=help_texts.PUBLISH,
        formatter_class=help_texts.Layout,
    )
    publish.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="the file; - (the default): stdin"
    )
    publish.add_argument(
        "--format",
        choices=("auto", "jsonl", "csv"),
        default="auto",
        help="auto (the default): what the file's first characters and its name say",
    )
    publish.add_argument(
        "--encoding",
        type=option_values.encoding,
        metavar="NAME",
        help="encoding of the file, such as windows-1251; UTF-8 and UTF-16 are recognised",
    )
    publish.add_argument(
        "--entity-type",
        type=option_values.entity_type,
        metavar="N",
        help="entity type of every row of CSV, and of plain JSON lines without entityTypeId",
    )
    publish.add_argument(
        "--id-column",
        metavar="NAME",
        help="column of CSV that is the event id (and not a field)",
    )
    _how_to_publish(publish)


def _how_to_publish(publish: argparse.ArgumentParser) -> None:
    publish.add_argument(
        "--after",
        metavar="ID",
        help="skip all events up to and including this event id: continues an earlier run",
    )
    publish.add_argument(
        "--rehearse",
        action="store_true",
        help="publish nothing and import nothing: say for every line what its import would "
        "do, and how long the whole import takes (needs the portal's settings, no broker)",
    )
    publish.add_argument("--json", action="store_true", help="print what was done as JSON")


def _dead_letters(commands: Parsers) -> None:
    dlq = commands.add_parser(
        "dlq",
        help="list, show, redrive or purge dead letters",
        description="Dead letters: the originals of failed events, each with its reason. Works "
        "while the service runs. Exits 0, or 1 on failure.",
        epilog=help_texts.DLQ,
        formatter_class=help_texts.Layout,
    )
    several = "{list,show,redrive,purge}"
    actions = dlq.add_subparsers(dest="action", metavar=several, required=True)
    listing = _action(actions, "list", "count dead letters by kind and code")
    _filters(listing)
    listing.add_argument("--json", action="store_true", help="print JSON instead of the table")

    show = _action(actions, "show", "show every dead letter of one event in full")
    show.add_argument("id", metavar="ID", help="the event id; with … at its end, its beginning")
    show.add_argument("--json", action="store_true", help="print JSON instead")

    _redrive(actions)
    purge = _action(actions, "purge", "remove dead letters for ever: all, or the selected ones")
    _filters(purge)
    purge.add_argument(
        "--older-than", type=option_values.ago, metavar="AGE", help="older than 12h, 30d, 4w"
    )
    purge.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    purge.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    purge.add_argument("--json", action="store_true", help="print JSON; needs --yes or --dry-run")


def _redrive(actions: Parsers) -> None:
    redrive = _action(
        actions,
        "redrive",
        "send dead letters back to the intake: all, or the selected ones; malformed ones stay "
        "unless --kind or --id names them or --set corrects them",
    )
    _filters(redrive)
    redrive.add_argument(
        "--limit", type=option_values.positive, metavar="N", help="at most this many letters"
    )
    redrive.add_argument("--dry-run", action="store_true", help="only show what would be sent")
    redrive.add_argument(
        "--yes", action="store_true", help="do not ask before sending more than 100 letters"
    )
    redrive.add_argument(
        "--json", action="store_true", help="print JSON; at a terminal it needs --yes or --dry-run"
    )
    redrive.add_argument(
        "--set",
        action="append",
        default=[],
        type=option_values.assignment,
        metavar="FIELD=VALUE",
        dest="patch",
        help="set a field of every item first (VALUE is JSON, else a string); repeatable",
    )
    redrive.add_argument(
        "--resend-ambiguous",
        action="store_true",
        help="import ambiguous and undelivered events again if one look-up does not find "
        "their items; needed for types without external id, whose items may be doubled",
    )


def _settings(commands: Parsers) -> None:
    settings = commands.add_parser(
        "settings",
        help="list every setting",
        description="List every setting: name, type, default, meaning. The table also shows "
        "which settings are given here, from where (secrets stay hidden), and what is wrong "
        "with them.",
    )
    settings.add_argument(
        "--format",
        choices=("table", "markdown", "env", "json"),
        default="table",
        help="table for reading (the default), markdown for a page, env for a file to fill in, "
        "json for programs",
    )


def _action(actions: Parsers, name: str, text: str) -> argparse.ArgumentParser:
    return actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")


def _filters(command: argparse.ArgumentParser) -> None:
    select = command.add_argument_group(
        "which", "With several filters, a letter must match all of them."
    )
    select.add_argument(
        "--kind",
        choices=("malformed", "rejected", "unsupported", "ambiguous", "undelivered"),
        metavar="KIND",
        help="malformed, rejected, unsupported, ambiguous or undelivered",
    )
    select.add_argument("--code", metavar="CODE", help="code of the failure")
    select.add_argument(
        "--type",
        type=option_values.type_of_letters,
        metavar="N",
        help="entity type; unknown: it cannot be read",
    )
    select.add_argument(
        "--since",
        type=option_values.since,
        metavar="TIME",
        help="failed after 2026-03-01T12:00Z, or within 2h, 30m, 7d",
    )
    select.add_argument(
        "--id", action="append", default=[], metavar="ID", help="event id; repeatable"
    )
