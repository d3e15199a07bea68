"""Leaves a log line of what a command has removed, where its standard error is kept.

What is sent back or ended shows itself later: in results, dead letters and the importer's log.
"""

import logging
import os
import pwd
import sys

from service.settings.tree import Settings
from service.telemetry.logs import configure_logs

log = logging.getLogger(__name__)


def acted(settings: Settings, what: str, which: str, outcome: str) -> None:
    """Write the line that the console writes for the same.

    At a terminal there is none: whoever sits there reads the outcome, and nobody keeps it. What
    is written comes from the command line and from counts, so there is no secret to be masked.
    """
    if sys.stderr.isatty():
        return
    configure_logs(level=settings.log.level, style=settings.log.format)
    shown = {"who": _user(), "what": what, "which": which, "outcome": outcome}
    log.info("operator acted", extra=shown)


def _user() -> str:
    """Return the name of the system's user; its number where it has none, as in containers."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
