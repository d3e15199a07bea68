"""Runs the bench: `python -m tests.benchmarks [--quick] [--only PART ...] [--beside COMMIT]`."""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from rich.console import Console

from tests.benchmarks import (
    ban,
    baseline,
    dead_letters,
    environment,
    ids,
    lanes,
    latency,
    links,
    makespan,
    memory,
    notes,
    parked,
    profile,
    starts,
    throughput,
    versions,
    waiting,
)
from tests.benchmarks.figures import RESULTS, Figure, draw, write, written
from tests.benchmarks.rig import Rig, open_rig
from tests.chaos.cells import version_of
from tests.support.node import open_broker

PARTS = {
    "latency": latency.measure,
    "throughput": throughput.measure,
    "memory": memory.measure,
    "ids": ids.measure,
    "starts": starts.measure,
    "notes": notes.measure,
    "makespan": makespan.measure,
    "ban": ban.measure,
    "lanes": lanes.measure,
    "waiting": waiting.measure,
    "parked": parked.measure,
    "dead_letters": dead_letters.measure,
    "links": links.measure,
    "profile": profile.measure,
}
ON_REQUEST = {"dead_letters", "parked", "profile"}
WITH_PEERS = {"profile", "throughput"}
BUSY = 0.5


def main() -> int:
    """Measure what is asked for, print the table, and keep it as JSON."""
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 140)
    parts = options.only or [part for part in PARTS if part not in ON_REQUEST]
    if options.beside:
        parts = ["versions"]
    if WITH_PEERS & {*parts}:
        environment.ensure()
    started, when, load = time.monotonic(), datetime.now(UTC), os.getloadavg()[0]
    if load > BUSY:
        console.print(f"[red]the machine is busy (load {load:.1f}): figures will be noisy[/]")
    figures: list[Figure] = []
    with open_broker() as broker, open_rig(broker) as rig:
        version = version_of(broker.api("GET", "overview"))
        for name in parts:
            console.print(f"[bold]{name}[/]", highlight=False)
            figures += _measure(rig, name, options, console=console)
    seconds = round(time.monotonic() - started)
    draw(figures, console, baseline.values())
    path = RESULTS / f"{when:%Y-%m-%d-%H%M%S}.json"
    about = {
        "when": f"{when:%Y-%m-%dT%H:%M:%SZ}",
        "seconds": seconds,
        "load": round(load, 1),
        "broker": version,
        "quick": options.quick,
        **_machine(),
    }
    write(written(figures), about, path)
    if options.keep:
        baseline.keep(figures, about, whole=not (options.only or options.beside))
    missed = [f"{each.part}: {each.name}" for each in figures if each.verdict == "NO"]
    console.print(f"\n{seconds} s; {path}", highlight=False)
    if options.quick:
        console.print("a quick run only shows that everything runs; its bars mean nothing")
        return 0
    for each in missed:
        console.print(f"[red]bar not reached:[/] {each}", highlight=False)
    return 0


def _measure(
    rig: Rig, name: str, options: argparse.Namespace, *, console: Console
) -> list[Figure]:
    started = time.monotonic()

    def say(text: str) -> None:
        at = time.monotonic() - started
        console.print(f"  [dim]{at:6.1f} s[/]  {text}", highlight=False, soft_wrap=True)

    if options.beside:
        return versions.measure(rig, beside=options.beside, quick=options.quick, say=say)
    part: Callable[..., list[Figure]] = PARTS[name]
    if name == "memory":
        part = partial(memory.measure, total=options.events)
    return part(rig, quick=options.quick, say=say)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of some minutes")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; may be repeated")
    parser.add_argument("--events", type=int, help="length of the long run of `memory`")
    parser.add_argument("--keep", action="store_true", help="keep these figures as the baseline")
    parser.add_argument("--beside", metavar="COMMIT", help="only this tree, and an older commit")
    options = parser.parse_args(arguments)
    if options.keep and options.quick:
        parser.error("a quick run cannot be kept: its figures mean nothing")
    return options


def _machine() -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }


if __name__ == "__main__":
    sys.exit(main())
