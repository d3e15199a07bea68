"""Measures this tree beside an older commit of it, in the same rounds: CPU per event, makespan.

This tree runs twice: as it is, and without its memory on the broker, which the first release did
not have. All run in our environment, against the same broker and portal. The older one's modules
are unpacked from git into a folder that is removed afterwards. The makespan is taken at the
portal's own pace: a clock that runs faster would multiply the milliseconds that each needs.
"""

import asyncio
import io
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.benchmarks import makespan, throughput
from tests.benchmarks.contestants import SERVICE, Contestant
from tests.benchmarks.figures import Figure, at_most, median
from tests.benchmarks.rig import Rig, Run
from tests.support.processes import ROOT

PART = "beside an older commit"
MAX_SECONDS = 300.0
FORGETFUL = replace(
    SERVICE,
    name="crm-importer without its memory",
    settings={**(SERVICE.settings or {}), "IMPORTER_RABBIT__MEMORY_QUEUE": ""},
)


def measure(rig: Rig, *, beside: str, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Let both work in turn for the CPU, and side by side for the makespan."""
    with tempfile.TemporaryDirectory(prefix="crm-importer-older-") as folder:
        _unpack(beside, Path(folder))
        settings = {**(SERVICE.settings or {}), "PYTHONPATH": folder}
        older = replace(SERVICE, name=f"crm-importer at {beside}", settings=settings)
        return [
            *_cpu(rig, older, throughput.QUICK if quick else throughput.FULL, say),
            *_makespan(rig, older, makespan.QUICK[0] if quick else makespan.FULL[0], say),
        ]


def _unpack(commit: str, folder: Path) -> None:
    command = ["git", "archive", commit, "service"]
    packed = subprocess.run(command, check=False, cwd=ROOT, capture_output=True)
    if packed.returncode:
        raise SystemExit(f"no such commit: {commit}: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")


def _cpu(
    rig: Rig, older: Contestant, scale: throughput.Scale, say: Callable[[str], None]
) -> list[Figure]:
    """Take turns, each first every other round; a ratio is taken within each round."""
    rounds: list[dict[str, Run]] = []
    all_of_them = [SERVICE, FORGETFUL, older]
    started = time.monotonic()
    while len(rounds) < scale.rounds and time.monotonic() - started < MAX_SECONDS:
        turn = len(rounds) % len(all_of_them)
        order = all_of_them[turn:] + all_of_them[:turn]
        found = {who.name: rig.run(who, scale.events, scale.warm) for who in order}
        rounds.append(found)
        said = ", ".join(f"{name}: {run.micros:.0f} µs" for name, run in found.items())
        say(f"round {len(rounds)}, {said}")
    used = {who.name: [each[who.name].micros for each in rounds] for who in all_of_them}
    figures = [
        median(PART, f"{name}, CPU per event", micros, "µs", SERVICE.command)
        for name, micros in used.items()
    ]
    for who in (SERVICE, FORGETFUL):
        pairs = zip(used[who.name], used[older.name], strict=True)
        ratios = [now / then for now, then in pairs]
        name = f"{who.name} ÷ {older.name}, CPU per event"
        figures.append(median(PART, name, ratios, "x", SERVICE.command, at_most(1)))
    return figures


def _makespan(
    rig: Rig, older: Contestant, scenario: makespan.Scenario, say: Callable[[str], None]
) -> list[Figure]:
    """Play one scenario with both at the same time; times at our speed, as many as the portal."""
    now, then = asyncio.run(_both(rig, scenario, older))
    say(f"{scenario.name}: {now} and {then}")
    command = f"{SERVICE.command}; at the portal's own pace"
    about = f"{scenario.name} ({scenario.items} items)"
    return [
        Figure(PART, f"{about}, {SERVICE.name}", now.took, "s", command),
        Figure(PART, f"{about}, {older.name}", then.took, "s", command),
        Figure(PART, f"{about}, ratio", now.took / then.took, "x", command, at_most(1.02)),
    ]


async def _both(
    rig: Rig, scenario: makespan.Scenario, older: Contestant
) -> tuple[makespan.Outcome, makespan.Outcome]:
    scenario = replace(scenario, speed=1.0)
    # What the bench opens wide for the CPU must stay shut here.
    shut = replace(older, settings={"PYTHONPATH": (older.settings or {})["PYTHONPATH"]})
    return await asyncio.gather(makespan.play(rig, scenario), makespan.play(rig, scenario, shut))
