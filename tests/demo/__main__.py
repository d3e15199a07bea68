"""Runs the demo: exit 0 if the figures add up, 1 if not, 130 when interrupted."""

import argparse
import asyncio
import signal
import sys
import time

import httpx

from tests.demo import closeup, samples
from tests.demo.environment import SETTLE_SECONDS, Environment, open_environment
from tests.demo.figures import Figures, add_up
from tests.demo.keeping import keep
from tests.demo.scenario import LAST_WORDS, MAX_SECONDS, Harvest, run_scenario
from tests.demo.screen import Screen
from tests.demo.table import draw
from tests.support.broker import BrokerError
from tests.support.processes import ProcessError

INTERRUPTED = 130
MAX_COMPLAINTS = 12


def main() -> int:
    """Play the demo and say how it went."""
    options = argparse.ArgumentParser(prog="python -m tests.demo")
    options.add_argument("--keep", action="store_true", help="keep everything up until Ctrl-C")
    options.add_argument(
        "--console", action="store_true", help="as --keep, with the operators' web page"
    )
    given = options.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    screen = Screen()
    try:
        return _run(screen, is_kept=given.keep or given.console, with_console=given.console)
    except KeyboardInterrupt:
        screen.title("interrupted: every part has been stopped, nothing is left")
        return INTERRUPTED
    except (BrokerError, ProcessError, httpx.HTTPError) as error:
        screen.title("the demo could not run")
        screen.say("", str(error))
        return 1


def _run(screen: Screen, *, is_kept: bool, with_console: bool) -> int:
    started = time.monotonic()
    events = samples.make()
    screen.title(
        f"crm-importer: {len(events)} item events, one of them twice, into a CRM, on real parts"
    )
    with open_environment(screen.say) as environment:
        _where_to_look(screen, environment)
        try:
            harvest = asyncio.run(run_scenario(environment, events, screen))
        except TimeoutError:
            screen.title(f"not done after {MAX_SECONDS:.0f} s; the importer's last words:")
            screen.say("", "\n".join(environment.service.stderr().splitlines()[-LAST_WORDS:]))
            return 1
        figures = add_up(events, harvest)
        screen.console.print(draw(figures))
        if not figures.wrong:
            closeup.show(screen, events, harvest)
        code = _verdict(screen, figures, harvest, time.monotonic() - started)
        if is_kept:
            keep(screen, environment, events, with_console=with_console)
        else:
            screen.say("next", "make demo KEEP=1 keeps all of it up, and says what to try")
    return code


def _where_to_look(screen: Screen, environment: Environment) -> None:
    screen.title("Where to look while it runs")
    screen.say("metrics", f"{environment.service.url}metrics   /readyz  /livez")
    screen.say(
        "queues", f"{environment.broker.address.management_url}/#/queues{environment.login}"
    )
    screen.say("CRM", f"{environment.portal.url}control/summary   /control/ledger")
    screen.say(
        "note",
        f"BITRIX__SETTLE_SECONDS is {SETTLE_SECONDS} here, not 65: the wait after a cut call",
    )


def _verdict(screen: Screen, figures: Figures, harvest: Harvest, seconds: float) -> int:
    if not figures.wrong:
        screen.console.print(
            f"\n  [bold green]everything adds up[/] after {seconds:.0f} s; "
            f"the importer drained, exit code {harvest.exit_code}"
        )
        return 0
    screen.console.print("\n  [bold red]this does not add up:[/]")
    for complaint in figures.wrong[:MAX_COMPLAINTS]:
        screen.say("", complaint)
    if len(figures.wrong) > MAX_COMPLAINTS:
        screen.say("", f"and {len(figures.wrong) - MAX_COMPLAINTS} more")
    return 1


if __name__ == "__main__":
    sys.exit(main())
