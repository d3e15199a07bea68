"""Puts defects into real runs, one at a time, and tells which rule of the checker saw each.

`python -m tests.mutations.trials --only parked` takes the defects with this word in their name.
Each run has a broker, an importer and a simulated portal of its own, from a copy of the tree; its
log is judged here. Then the same cell with the same seed without the defect: nothing may be found.

Some defects are listed with `seen = false`: the checker has not seen them so far. They are run as
well, and nothing is expected of them.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import kept
from tests.chaos import kept_defects as runs
from tests.chaos.cells import Cell, commit
from tests.checker.judge import judge
from tests.checker.log import read
from tests.mutations.copies import Copy
from tests.mutations.listed_trials import Listed, listed

SECONDS = 1200.0
"""A run ends itself after half of that."""
HEADS = ("defect", "cell", "seed", "seen by")


class Bench:
    """Runs cells with and without defects, and keeps what came of each."""

    def __init__(self, copy: Copy, logs: Path, keep: Path | None) -> None:
        """Run in a copy; write logs into a folder; add what came of each run to a file, if any."""
        self._copy = copy
        self._logs = logs
        self._keep = keep
        # Named once: what is kept meanwhile makes the tree differ from its commit.
        self._commit = commit()
        self._sound: dict[tuple[Cell, int, float | None], runs.Line] = {}

    def sound(self, each: Listed, seed: int) -> runs.Line:
        """Run a cell as a defect met it, but without any defect; once."""
        place = (each.cell, seed, each.patience)
        if place not in self._sound:
            self._sound[place] = self._run(each, seed, runs.SOUND)
        return self._sound[place]

    def struck(self, each: Listed, seed: int) -> runs.Line:
        """Run a cell with a defect."""
        with self._copy.made(each.defect):
            return self._run(each, seed, each.defect.name)

    def _run(self, each: Listed, seed: int, name: str) -> runs.Line:
        """Run a cell in the copy as it is, and judge its log by the checker of this checkout."""
        log = self._logs / each.cell.file_name(seed)
        log.unlink(missing_ok=True)
        given = ["--cell", str(each.cell), "--seed", str(seed), "--logs", str(self._logs)]
        if each.patience is not None:
            given += ["--patience", str(each.patience)]
        began = time.monotonic()
        said = self._copy.run("tests.chaos", *given, seconds=SECONDS)
        if not log.exists():
            raise SystemExit(f"{each.cell}, seed {seed}: the run left no log; it said:\n{said}")
        line = runs.entry(name, each.cell, seed, judge(read(log)), commit=self._commit)
        if self._keep is not None:
            runs.add(line, self._keep)
        print(f"{name or 'no defect'}: {each.cell}, seed {seed}, ", end="")
        print(f"{time.monotonic() - began:.0f} s: {runs.told(line['rules']) or 'nothing found'}")
        sys.stdout.flush()
        return line


def main() -> int:
    """Run what is asked for; return 1 if an expected one was not seen, or others without any."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations.trials", description=__doc__)
    parser.add_argument("--only", default="", help="only defects whose name contains this")
    parser.add_argument("--keep", action="store_true", help="keep each run, and write the table")
    parser.add_argument("--logs", type=Path, help="folder where the operation logs stay")
    given = parser.parse_args()
    chosen = [each for each in listed() if given.only in each.defect.name]
    if not chosen:
        parser.error("no listed defect is named like that")
    with tempfile.TemporaryDirectory(prefix="trials-") as folder:
        copy = Copy(Path(folder))
        if not copy.is_itself():
            raise SystemExit("Python imports something else than the copy in it")
        logs = (given.logs or Path(folder) / "logs").resolve()
        bench = Bench(copy, logs, runs.FILE if given.keep else None)
        found = list(_tried(chosen, bench))
        copy.close()
    _print_table(found)
    if given.keep:
        kept.main()
    return int(any(each.missed or each.sound["rules"] for each in found))


@dataclass(frozen=True, slots=True)
class Tried:
    """A defect, its run that showed it, else the last one, and the run without it."""

    listed: Listed
    line: runs.Line
    sound: runs.Line

    @property
    def seen(self) -> bool:
        """Tell whether the checker saw it."""
        return bool(runs.seen_by(self.line))

    @property
    def missed(self) -> bool:
        """Tell whether the checker should have seen it, and did not."""
        return self.listed.seen and not self.seen

    @property
    def mark(self) -> str:
        """Say who saw it, and whether that was expected."""
        if not self.seen:
            return runs.NOT_SEEN if self.listed.seen else "not seen, as expected"
        told = runs.told(runs.seen_by(self.line))
        return told if self.listed.seen else f"{told} (NOT EXPECTED: take `seen = false` away)"


def _tried(chosen: Sequence[Listed], bench: Bench) -> Iterator[Tried]:
    """Run each defect until it is seen, and once without it."""
    for each in chosen:
        tried: list[runs.Line] = []
        while len(tried) < len(each.seeds) and not (tried and runs.seen_by(tried[-1])):
            tried.append(bench.struck(each, each.seeds[len(tried)]))
        *_, line = tried
        yield Tried(each, line, bench.sound(each, line["seed"]))


def _print_table(found: Sequence[Tried]) -> None:
    """Print who saw what, and what was found where there was no defect."""
    print()
    rows = [
        (each.line["defect"], each.line["cell"], str(each.line["seed"]), each.mark)
        for each in found
    ]
    widths = [max(map(len, column)) for column in zip(HEADS, *rows, strict=True)]
    for row in (HEADS, *rows):
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    for sound in (each.sound for each in found):
        if sound["rules"]:
            print(f"without any defect: {sound['cell']}, seed {sound['seed']}: ", end="")
            print(runs.told(sound["rules"]))
    expected = sum(each.listed.seen for each in found)
    print(f"{sum(each.seen for each in found)} of {len(found)} seen, {expected} expected")


if __name__ == "__main__":
    sys.exit(main())
