"""Runs the scenarios over and over with random seeds, and prints what became of the events."""

import argparse
import asyncio
import random
import statistics
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.chaos.scenarios import SCENARIOS
from tests.chaos.screen import Screen
from tests.chaos.trial import Audit, Scenario, run_trial
from tests.support.broker import Broker, BrokerError
from tests.support.node import RabbitNode, open_broker

TRIAL_SECONDS = 240.0


@dataclass(slots=True)
class Tally:
    """Adds up the runs of one scenario."""

    audits: list[Audit] = field(default_factory=list)

    def row(self, name: str) -> tuple[str, ...]:
        """Return the scenario's line of the table."""
        audits = self.audits
        return (
            name,
            str(len(audits)),
            str(sum(audit.events for audit in audits)),
            str(sum(len(audit.lost) for audit in audits)),
            str(sum(len(audit.doubled) for audit in audits)),
            f"{statistics.median(audit.seconds for audit in audits):.1f}",
        )


def main() -> int:
    """Read the command line and run until the time is up."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to start new runs")
    parser.add_argument("--seed", type=int, help="repeat the order and the dice of an earlier run")
    parser.add_argument("--only", default="", help="only scenarios whose name contains this")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    chosen = [each for name, each in SCENARIOS.items() if options.only in name]
    if not chosen:
        parser.error(f"no scenario is named like that; there are: {', '.join(SCENARIOS)}")
    screen = Screen(options.minutes * 60)
    with open_broker() as broker:
        chosen = [each for each in chosen if isinstance(broker, RabbitNode) or not each.own_node]
        tallies = _run(broker, chosen, seed=seed, seconds=options.minutes * 60, screen=screen)
    return _judge(tallies, seed, screen)


def _run(
    broker: Broker, chosen: Sequence[Scenario], *, seed: int, seconds: float, screen: Screen
) -> dict[str, Tally]:
    """Run scenario after scenario until the time is up; each at least once if there is time."""
    tallies: dict[str, Tally] = {}
    deadline = time.monotonic() + seconds
    with screen.progress():
        for scenario, own_seed in _lots(chosen, seed):
            if time.monotonic() > deadline:
                break
            screen.starts(scenario.name)
            audit = asyncio.run(_trial(scenario, broker, own_seed))
            tallies.setdefault(scenario.name, Tally()).audits.append(audit)
            screen.ended(scenario.name, own_seed, audit)
    return tallies


def _lots(chosen: Sequence[Scenario], seed: int) -> Iterator[tuple[Scenario, int]]:
    """Draw the order of the scenarios and the seed of each run, for ever."""
    dice = random.Random(seed)
    while True:
        for scenario in dice.sample(chosen, len(chosen)):
            yield scenario, dice.randrange(1_000_000)


async def _trial(scenario: Scenario, broker: Broker, seed: int) -> Audit:
    """Run one scenario in a virtual host of its own; a run that breaks is a finding."""
    vhost = f"chaos-{uuid.uuid4().hex[:12]}"
    broker.create_vhost(vhost)
    try:
        async with asyncio.timeout(TRIAL_SECONDS):
            return await run_trial(scenario, broker, vhost, seed)
    except (AssertionError, TimeoutError, BrokerError) as broken:
        notes = "\n".join(getattr(broken, "__notes__", ()))
        return Audit(other=[f"{type(broken).__name__}: {broken}"], log=notes)
    finally:
        broker.heal()
        with suppress(BrokerError):
            broker.delete_vhost(vhost)


def _judge(tallies: dict[str, Tally], seed: int, screen: Screen) -> int:
    """Print the table; return 1 if any promise was broken."""
    names = [name for name in SCENARIOS if name in tallies]
    rows = [tallies[name].row(name) for name in names]
    audits = [audit for tally in tallies.values() for audit in tally.audits]
    total = Tally(audits).row("all") if audits else ("all", "0", "0", "0", "0", "-")
    screen.table([*rows, total], seed)
    return int(not audits or any(not audit.clean for audit in audits))


if __name__ == "__main__":
    sys.exit(main())
