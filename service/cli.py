"""Reads the command line, calls, prints; nothing else."""

import argparse
import os
import sys
from collections.abc import Sequence

from service import __version__
from service.settings import reference
from service.settings.environment import SettingsInvalid, injected, load

BAD_SETTINGS = 2

_DESCRIPTION = "Imports item events from RabbitMQ into one Bitrix24 portal, in batches."
_EPILOG = """\
Settings come from the environment (IMPORTER_*). The least that `run` needs:

  IMPORTER_RABBIT__URL=amqp://user:password@broker:5672/
  IMPORTER_BITRIX__WEBHOOK_URL=https://portal.bitrix24.com/rest/1/secret/

Any setting may be given as a file instead (mounted secrets): NAME_FILE=/path.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _settings(options.format) if options.command == "settings" else _run()
    except SettingsInvalid as invalid:
        for mistake in invalid.mistakes:
            _complain(mistake)
        return BAD_SETTINGS
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crm-importer",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"crm-importer {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser(
        "run",
        help="consume until SIGTERM (the default)",
        description="Consume item events until SIGTERM or SIGINT, then drain. Exits 0 after a "
        "clean drain, 2 on bad settings, 1 on anything else.",
    )
    settings = commands.add_parser(
        "settings",
        help="list every setting",
        description="List every setting: name, type, default, meaning. Reads no environment.",
    )
    settings.add_argument(
        "--format",
        choices=("table", "markdown", "env"),
        default="table",
        help="table for reading (the default), markdown for a page, env for a file to fill in",
    )
    parser.set_defaults(command="run")
    return parser


def _run() -> int:
    from service import app  # noqa: PLC0415 - other commands start without the service's parts
    from service.telemetry.logs import configure_logs  # noqa: PLC0415 - as above
    from service.telemetry.metrics import Metrics  # noqa: PLC0415 - as above

    settings = load()
    metrics = Metrics()
    configure_logs(
        level=settings.log.level,
        style=settings.log.format,
        secrets=app.secrets(settings),
        metrics=metrics,
    )
    for name in injected(os.environ):
        app.log.warning("setting ignored: injected by Kubernetes", extra={"name_of_setting": name})
    try:
        app.run(settings, metrics)
    except app.CannotStart as reason:
        _complain(str(reason))
        return 1
    return 0


def _settings(style: reference.Style) -> int:
    sys.stdout.write(reference.write(style) + "\n")
    return 0


def _complain(text: str) -> None:
    sys.stderr.write(f"error: {text}\n")
