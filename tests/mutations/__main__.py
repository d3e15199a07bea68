"""Makes each listed defect in a copy of the tree, runs its check, and tells who saw it.

`python -m tests.mutations --only parked` takes those whose name or area contains a word.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from tests.mutations.copies import Copy, Mark, Verdict, command_of
from tests.mutations.defects import Defect, every

Judged = tuple[Defect, Verdict]


def main() -> int:
    """Judge all that is asked for; return 1 if any survived or could not be judged."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--only", default="", help="only those whose name or area contains this")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="at once")
    given = parser.parse_args()
    chosen = [each for each in every() if given.only in f"{each.area}: {each.name}"]
    if not chosen:
        parser.error("no defect is named like that")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copies = [Copy(Path(folder) / str(job)) for job in range(max(1, given.jobs))]
        judged = list(_run(chosen, copies))
        for copy in copies:
            copy.close()
    _print_score(judged, time.monotonic() - started)
    return int(any(verdict.mark is not Mark.KILLED for _, verdict in judged))


def _run(chosen: Sequence[Defect], copies: Sequence[Copy]) -> Iterator[Judged]:
    """See that the checks pass without a defect, then judge each."""
    if not all(copy.is_itself() for copy in copies):
        raise SystemExit("Python imports something else than the copy in it: nothing can be told")
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def checked(command: Sequence[str]) -> Verdict:
        copy = free.get()
        try:
            return copy.check(command)
        finally:
            free.put(copy)

    def judged(defect: Defect) -> Verdict:
        copy = free.get()
        try:
            return copy.judge(defect)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        for verdict in pool.map(checked, _checks(chosen, len(copies))):
            if verdict.mark is not Mark.SURVIVED:
                raise SystemExit(f"fails without any defect: {verdict.by}")
        print(f"{len(chosen)} defects; without them all their checks pass", flush=True)
        work = {pool.submit(judged, each): each for each in chosen}
        for number, done in enumerate(as_completed(work), start=1):
            defect, verdict = work[done], done.result()
            place = f"[{number:{len(str(len(chosen)))}}/{len(chosen)}]"
            print(f"{place} {verdict.mark:8} {verdict.seconds:5.1f} s  {defect.area}: ", end="")
            print(f"{defect.name}\n{'':{len(place)}} {verdict.by or defect.why}", flush=True)
            yield defect, verdict


def _checks(chosen: Sequence[Defect], parts: int) -> Iterator[Sequence[str]]:
    """Yield every check of these defects once; the tests in so many runs."""
    tests = list(dict.fromkeys(test for each in chosen for test in each.tests))
    for part in range(parts):
        if tests[part::parts]:
            yield command_of(tests[part::parts], ())
    for histories in dict.fromkeys(each.histories for each in chosen if each.histories):
        yield command_of((), histories)


def _print_score(judged: Sequence[Judged], seconds: float) -> None:
    """Print a table by area, and what nobody saw."""
    of_all = Counter(defect.area for defect, _ in judged)
    killed = Counter(defect.area for defect, verdict in judged if verdict.mark is Mark.KILLED)
    print("\n| about | defects | killed |\n| --- | ---: | ---: |")
    for area, count in sorted(of_all.items()):
        print(f"| {area} | {count} | {killed[area]} |")
    print(f"| all | {of_all.total()} | {killed.total()} |\n")
    for defect, verdict in judged:
        if verdict.mark is not Mark.KILLED:
            print(f"{verdict.mark}: {defect.area}: {defect.name} {verdict.by}")
    print(f"{killed.total()} of {of_all.total()} killed, in {seconds / 60:.1f} minutes")


if __name__ == "__main__":
    sys.exit(main())
