"""Runs the command that the command line names; nothing else."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from service.commands import terminal
from service.commands.arguments import parser
from service.settings import reference
from service.settings.cautions import cautions
from service.settings.environment import SettingsInvalid, injected, load
from service.settings.in_force import Given, given, mistakes
from service.telemetry.tracebacks import without_values

FAILED = 1
BAD_SETTINGS = 2
_COMMANDS = {
    "check": "service.commands.check",
    "publish": "service.commands.publish",
    "dlq": "service.commands.dlq",
    "find": "service.commands.find",
    "lanes": "service.commands.lanes",
    "console": "service.commands.console",
    "asyncapi": "service.commands.asyncapi",
}
"""Commands beside the service. Each module has `main(options)`, which returns the exit code.
A module is imported when its command is called, so that no command waits for the imports of
another."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    _open_streams()
    try:
        options = parser().parse_args(arguments)
        code = _command(options)(options)
        with terminal.writing(sys.stdout):
            return code
    except BrokenPipeError:
        return FAILED  # nobody reads any more
    except SettingsInvalid as invalid:
        for mistake in invalid.mistakes:
            _complain(mistake)
        return BAD_SETTINGS
    except terminal.Unwritable as reason:
        _complain(str(reason))
        return FAILED
    except KeyboardInterrupt:
        _complain("interrupted")
        return FAILED
    except Exception as bug:  # noqa: BLE001 - a bug of ours, whatever it is
        name, trace = type(bug).__name__, without_values((type(bug), bug, bug.__traceback__))
        _complain(
            f"an unexpected error ended the command ({name}): report it with these lines\n{trace}"
        )
        return FAILED


def _command(options: argparse.Namespace) -> Callable[[argparse.Namespace], int]:
    match options.command:
        case "run":
            return _run
        case "settings":
            return _settings
        case name:
            return _beside(name)


def _beside(name: str) -> Callable[[argparse.Namespace], int]:
    """Return a command that people read: it logs nothing and says why it cannot go on."""
    logging.getLogger().addHandler(logging.NullHandler())
    module = import_module(_COMMANDS[name])
    factories = import_module("service.factories")

    def run(options: argparse.Namespace) -> int:
        try:
            code: int = module.main(options)
        except factories.CannotStart as reason:
            _complain(str(reason))
            return FAILED
        return code

    return run


def spare_memory() -> None:
    """Keep modules that nobody uses here from being imported: an eighth of an idle process.

    httpx brings a command line, structlog tracebacks in colours. Both are made to do without.
    """
    left_out: dict[str, Any] = dict.fromkeys({"httpx._main", "rich"} - sys.modules.keys())
    sys.modules.update(left_out)
    import_module("structlog")
    if "rich" in left_out:
        del sys.modules["rich"]


def _run(_: argparse.Namespace) -> int:
    spare_memory()
    from service import app, factories  # noqa: PLC0415 - other commands start without the service
    from service.telemetry.logs import configure_logs  # noqa: PLC0415 - as above
    from service.telemetry.metrics import Metrics  # noqa: PLC0415 - as above

    settings = load()
    metrics = Metrics()
    configure_logs(
        level=settings.log.level,
        style=settings.log.format,
        secrets=factories.secrets(settings),
        metrics=metrics,
    )
    for each in cautions(settings):
        app.log.warning(
            "setting is dangerous",
            extra={"name_of_setting": each.name, "reason": each.found, "remedy": each.remedy},
        )
    for name in injected(os.environ):
        app.log.warning("setting ignored: injected by Kubernetes", extra={"name_of_setting": name})
    try:
        app.run(settings, metrics)
    except factories.CannotStart as reason:
        _complain(str(reason))
        return FAILED
    except Exception:  # noqa: BLE001 - a bug of ours, whatever it is
        app.log.critical("ended by an unexpected error: report it", exc_info=True)
        return FAILED
    return 0


def _settings(options: argparse.Namespace) -> int:
    told, wrong = given(os.environ), mistakes(os.environ)
    if options.format == "json":
        here = {each.name: each for each in told}
        listed = [
            {**row._asdict(), "given": here[row.name]._asdict() if row.name in here else None}
            for row in reference.rows()
        ]
        terminal.show_json({"settings": listed, "mistakes": wrong})
        return 0
    width = terminal.columns_of(sys.stdout) or reference.WIDTH
    terminal.show(reference.write(options.format, width))
    if options.format == "table":
        _show_given(told, wrong)
    return 0


def _show_given(told: Sequence[Given], wrong: Sequence[str]) -> None:
    terminal.show()
    terminal.show(
        "given here (all others have their defaults):" if told else "no setting is given here"
    )
    for each in told:
        terminal.paragraph(f"{each.value}  ({each.source})", first=f"  {each.name}=", rest="    ")
    if wrong:
        terminal.show(f"{terminal.many(len(wrong), 'mistake')}; the importer would not start:")
    for mistake in wrong:
        terminal.paragraph(mistake, first="  ", rest="    ")


def _open_streams() -> None:
    """Redirect a stream that our parent closed to nowhere, instead of failing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _complain(text: str) -> None:
    terminal.say(terminal.clean(f"error: {text}"))
