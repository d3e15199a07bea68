"""Judges the logs named on the command line, and prints a table of what came of each run."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.checker.judge import Verdict, judge
from tests.checker.log import read

HEADS = ("log", "events", "accepted", "ended", "lost", "doubled", "other", "heal s", "verdict")
MOST_SHOWN = 20


def main(names: Sequence[str]) -> int:
    """Print a line for each log, and its findings; return 1 if any rule was broken."""
    if not names:
        print("usage: python -m tests.checker LOG...", file=sys.stderr)
        return 2
    verdicts: dict[str, Verdict] = {}
    for name in names:
        try:
            verdicts[name] = judge(read(Path(name)))
        except OSError as error:
            print(f"{name}: {error.strerror}", file=sys.stderr)
            return 2
    rows = [_row(Path(name).stem, verdict) for name, verdict in verdicts.items()]
    widths = [max(map(len, column)) for column in zip(HEADS, *rows, strict=True)]
    for row in (HEADS, *rows):
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print(row[0].ljust(widths[0]), *cells, sep="  ")
    for name, verdict in verdicts.items():
        _print_findings(Path(name).stem, verdict)
    return int(any(not verdict.clean for verdict in verdicts.values()))


def _row(name: str, verdict: Verdict) -> tuple[str, ...]:
    lost, doubled = verdict.count("lost"), verdict.count("doubled")
    other = len(verdict.findings) - lost - doubled
    figures = (verdict.events, verdict.accepted, verdict.ended, lost, doubled, other)
    ended = "kept" if verdict.clean else "void" if verdict.void else "BROKEN"
    return (name, *map(str, figures), f"{verdict.heal:.1f}", ended)


def _print_findings(name: str, verdict: Verdict) -> None:
    for finding in verdict.findings[:MOST_SHOWN]:
        print(f"{name}: {finding}")
    if len(verdict.findings) > MOST_SHOWN:
        print(f"{name}: and {len(verdict.findings) - MOST_SHOWN} more")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
