"""Runs the scenarios over and over with random seeds, and prints what became of the events."""

import argparse
import asyncio
import logging
import os
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos import kept
from tests.chaos.cells import FORM, MIXES, Cell, version_of
from tests.chaos.mixes import AMID
from tests.chaos.scenarios import SCENARIOS, can_run
from tests.chaos.screen import Screen
from tests.chaos.trial import Audit, Order, run_trial
from tests.checker.judge import judge
from tests.checker.log import read
from tests.support.broker import Broker, BrokerError, OwnBroker
from tests.support.cluster import SIZE, Cluster, running_cluster
from tests.support.node import open_broker

TRIAL_SECONDS = 600.0
SEEDS = 1_000_000
LOGS = kept.FOLDER / "logs"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    seconds: float
    seed: int
    cell: Cell | None
    only: str
    mix: str
    nodes: int
    patience: float | None
    keep: Path | None
    logs: Path


def main() -> int:
    """Read the command line and run until the time is up."""
    options = _options()
    logging.disable()  # of the libraries here: brokers that are killed refuse connections
    if options.cell is not None:
        os.environ["RABBITMQ"] = options.cell.broker
    screen = Screen(options.seconds)
    with _broker(options.nodes) as broker:
        chosen = [name for name in SCENARIOS if _fits(name, broker, options)]
        if not chosen:
            raise SystemExit(f"no scenario is named like that; there are: {', '.join(SCENARIOS)}")
        runs = _run(broker, chosen, options, screen)
    _print_table(runs, options, screen)
    return int(not runs or any(run["why"] for run in runs))


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to start new runs")
    parser.add_argument("--seed", type=int, help="repeat the order and the dice of an earlier run")
    parser.add_argument("--only", default="", help="only scenarios whose name contains this")
    parser.add_argument("--cell", help=f"one run of one cell, {FORM}, with the seed as its own")
    parser.add_argument("--nodes", type=int, choices=(1, SIZE), default=1, help="of the broker")
    parser.add_argument("--mix", choices=MIXES, default="none", help="what else goes on")
    parser.add_argument(
        "--patience",
        type=float,
        help="seconds for everything to settle on an idle machine, instead of the scenario's own",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        nargs="?",
        const=kept.RUNS,
        help="add each run to those kept; cells with the fewest runs come first",
    )
    parser.add_argument("--logs", type=Path, default=LOGS, help="folder of the operation logs")
    given = parser.parse_args()
    try:
        cell = Cell.parse(given.cell) if given.cell else None
    except ValueError as error:
        parser.error(str(error))
    return Options(
        seconds=given.minutes * 60,
        seed=random.randrange(SEEDS) if given.seed is None else given.seed,
        cell=cell,
        only=given.only,
        mix=cell.mix if cell else given.mix,
        nodes=cell.nodes if cell else given.nodes,
        patience=given.patience,
        keep=given.keep,
        logs=given.logs,
    )


@contextmanager
def _broker(nodes: int) -> Iterator[Broker]:
    """Lend one node, or a cluster."""
    if nodes == 1:
        with open_broker() as broker:
            yield broker
        return
    with running_cluster() as members:
        yield Cluster(members)


def _fits(name: str, broker: Broker, options: Options) -> bool:
    """Tell whether a scenario is asked for, and can be run on this broker."""
    scenario = SCENARIOS[name]
    if options.cell:
        return name == options.cell.fault
    fit = can_run(name, options.nodes, options.mix)
    return (
        fit and options.only in name and (isinstance(broker, OwnBroker) or not scenario.own_node)
    )


def _run(
    broker: Broker, chosen: Sequence[str], options: Options, screen: Screen
) -> list[kept.Run]:
    """Run scenario after scenario until the time is up; each at least once if there is time."""
    runs: list[kept.Run] = []
    deadline = time.monotonic() + options.seconds
    version = version_of(broker.api("GET", "overview"))
    if options.cell and options.cell.broker != version:
        raise SystemExit(f"the cell is of RabbitMQ {options.cell.broker}, and here is {version}")
    with screen.progress():
        for name, seed in _lots(chosen, version, options):
            if time.monotonic() > deadline:
                break
            cell = Cell(name, version, options.nodes, options.mix)
            screen.starts(str(cell))
            audit = asyncio.run(_trial(cell, broker, seed, options))
            run = kept.entry(cell, seed, audit.verdict, complaints=audit.complaints)
            runs.append(run)
            if options.keep:
                kept.add(run, options.keep)
            screen.ended(cell, seed, audit)
    return runs


def _lots(chosen: Sequence[str], version: str, options: Options) -> Iterator[tuple[str, int]]:
    """Draw the order of the scenarios and the seed of each run, for ever; or the one of a cell."""
    if options.cell:
        yield options.cell.fault, options.seed
        return
    dice = random.Random(options.seed)
    done = _counted(options, version)
    while True:
        least = min(done[name] for name in chosen)
        for name in dice.sample(chosen, len(chosen)):
            if done[name] == least:
                done[name] += 1
                yield name, dice.randrange(SEEDS)


def _counted(options: Options, version: str) -> Counter[str]:
    """Count the runs that are kept of each fault, here and amid this."""
    runs = kept.load(options.keep) if options.keep else []
    here = [version, options.nodes, options.mix]
    return Counter(run["fault"] for run in runs if [*kept.surroundings(run)] == here)


async def _trial(cell: Cell, broker: Broker, seed: int, options: Options) -> Audit:
    """Run one scenario in a virtual host of its own; a run that breaks is a finding."""
    scenario, to = SCENARIOS[cell.fault], options.logs / cell.file_name(seed)
    if options.patience is not None:
        scenario = replace(scenario, patience=options.patience)
    vhost = f"chaos-{uuid.uuid4().hex[:12]}"
    broker.create_vhost(vhost)
    try:
        async with asyncio.timeout(TRIAL_SECONDS):
            order = Order(cell=cell, seed=seed, to=to, amid=AMID[cell.mix]())
            return await run_trial(scenario, broker, vhost, order)
    except Exception as broken:  # noqa: BLE001 - whatever it was, the log says it, and it is kept
        notes = "\n".join(getattr(broken, "__notes__", ()))
        return Audit(judge(read(to)), log=notes)
    finally:
        broker.heal()
        with suppress(BrokerError):
            broker.delete_vhost(vhost)


def _print_table(runs: Sequence[Mapping[str, object]], options: Options, screen: Screen) -> None:
    names = [name for name in SCENARIOS if any(run["fault"] == name for run in runs)]
    rows = [(name, *kept.figures([run for run in runs if run["fault"] == name])) for name in names]
    screen.table([*rows, ("all", *kept.figures(runs))], options.seed)
    if options.keep == kept.RUNS:
        kept.main()


if __name__ == "__main__":
    sys.exit(main())
