"""Plays made-up histories of every kind, and tells which broke a promise and what was struck.

`python -m tests.tools.histories 0 2500 --jobs 2 --keep` plays the seeds from 0 to 2499 of each
kind, block by block, and keeps a line for each block; blocks that are kept are not played again.
After a mend, `--keep --again` plays only the bad ones of them again; their old lines stay, marked.
"""

import argparse
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import Any

from tests.chaos import kept_histories as kept
from tests.support.awaits import struck
from tests.unit import test_simulation_links as links
from tests.unit import test_simulation_memory as memory
from tests.unit.test_simulation import History, World, violations_of
from tests.unit.test_simulation_finds import SetBack, SlowUploads

KINDS: Mapping[str, Callable[[int], World]] = {
    "plain": lambda seed: World(History(seed)),
    "memory": memory.made,
    "links": links.made,
    "portal": lambda seed: World((SetBack, SlowUploads)[seed % 2](seed)),
}
Block = tuple[str, range]
BLOCK = 50
SECONDS = 120.0
"""Processor time after which a history counts as endless; most need less than one."""
TOLD = 3
"""So many of what one history broke are told."""


def main() -> int:
    """Play and print; return 1 if any history broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.histories", description=__doc__)
    parser.add_argument("first", type=int, help="the first seed")
    parser.add_argument("end", type=int, help="the first seed that is not played any more")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only these kinds")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes side by side")
    parser.add_argument("--keep", type=Path, nargs="?", const=kept.FILE, help="keep each block")
    parser.add_argument("--again", action="store_true", help="only kept blocks that are bad")
    parser.add_argument("--played-by", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.played_by:
        _play(given.played_by, range(given.first, given.end))
        return 0
    if given.again and not given.keep:
        parser.error("--again needs --keep: it plays blocks again that are kept")
    lines = []
    with ThreadPoolExecutor(given.jobs) as threads:
        for done in as_completed([threads.submit(_block, *each) for each in _todo(given)]):
            lines.append(line := done.result())
            if given.keep:
                kept.add(line, given.keep)
            print(_said(line), flush=True)
    print(kept.page(kept.load(given.keep) if given.keep else lines))
    return int(any(line["broken"] for line in lines))


def _todo(given: argparse.Namespace) -> list[Block]:
    """Return the blocks to play: those that are not kept yet, or those kept that are bad."""
    kinds = given.kind or [*KINDS]
    lines = kept.current(kept.load(given.keep)) if given.keep else []
    if given.again:
        return [
            (line["kind"], range(line["first"], line["first"] + line["count"]))
            for line in lines
            if line["broken"]
            and line["kind"] in kinds
            and given.first <= line["first"] < given.end
        ]
    known = {(line["kind"], line["first"]) for line in lines}
    return [
        (kind, range(first, min(first + BLOCK, given.end)))
        for first, kind in product(range(given.first, given.end, BLOCK), kinds)
        if (kind, first) not in known
    ]


def _said(line: kept.Line) -> str:
    head = f"{line['kind']} {line['first']} to {line['first'] + line['count'] - 1}"
    broken = (f"seed {seed}: {'; '.join(found)}" for seed, found in line["broken"].items())
    return "\n  ".join([f"{head}: {len(line['broken'])} broke a promise", *broken])


def _block(kind: str, seeds: range) -> kept.Line:
    """Play a block in processes of their own: one that hangs costs one history."""
    broken: dict[str, Sequence[str]] = {}
    places: set[tuple[str, str]] = set()
    left = seeds
    while left:
        told = list(_told(kind, left))
        for each in told:
            broken.update(each.get("broken", {}))
            places.update(map(tuple, each.get("struck", ())))
        if told and "struck" in told[-1]:
            break
        last = max((each["begun"] for each in told if "begun" in each), default=left.start)
        broken[str(last)] = [f"no end within {SECONDS:g} s of processor time"]
        left = range(last + 1, left.stop)
    return kept.entry(kind, seeds, broken, places)


def _told(kind: str, seeds: range) -> Iterator[Mapping[str, Any]]:
    """Yield what a process tells that plays some histories."""
    words = [sys.executable, "-m", __spec__.name, str(seeds.start), str(seeds.stop)]
    done = subprocess.run(
        [*words, "--played-by", kind], stdout=subprocess.PIPE, text=True, check=False
    )
    for line in done.stdout.splitlines():
        yield json.loads(line)


def _play(kind: str, seeds: range) -> None:
    """Play histories and tell of each; the process is killed in one that does not end."""
    logging.getLogger("service").setLevel(logging.CRITICAL)
    for seed in seeds:
        _tell(begun=seed)
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        if found := violations_of(seed, KINDS[kind]):
            _tell(broken={seed: found[:TOLD]})
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    _tell(struck=sorted(struck))


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    sys.exit(main())
