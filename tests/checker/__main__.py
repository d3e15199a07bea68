"""Judges logs of runs under faults: each event must end once, and be imported at most once.

It prints a row for each log, and then what was found. Verdicts:
  good    no rule was broken
  BROKEN  at least one rule was broken
  void    the log proves nothing: it is not whole, or the simulated portal broke its own rules

Exit code: 0 if every log is good, 1 if one is not, 2 if a log cannot be read.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.checker.finding import RULES
from tests.checker.judge import Verdict, judge
from tests.checker.log import read

HEADS = ("log", "events", "accepted", "ended", "lost", "doubled", "other", "heal s", "verdict")
MOST_SHOWN = 20


def main(names: Sequence[str]) -> int:
    """Print a line for each log, and its findings; return 1 if any rule was broken."""
    verdicts: dict[str, Verdict] = {}
    for name in _parser().parse_args(names).logs:
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


def _parser() -> argparse.ArgumentParser:
    rules = "\n".join(f"  {name}: {meaning}" for name, meaning in RULES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.checker",
        description=__doc__,
        epilog=f"The rules:\n{rules}\n\n"
        "Example: python -m tests.checker tests/chaos/sample.jsonl\n"
        "More: tests/checker/README.md",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help="the operation log of a run")
    return parser


def _row(name: str, verdict: Verdict) -> tuple[str, ...]:
    lost, doubled = verdict.count("lost"), verdict.count("doubled")
    other = len(verdict.findings) - lost - doubled
    figures = (verdict.events, verdict.accepted, verdict.ended, lost, doubled, other)
    ended = "good" if verdict.clean else "void" if verdict.void else "BROKEN"
    return (name, *map(str, figures), f"{verdict.heal:.1f}", ended)


def _print_findings(name: str, verdict: Verdict) -> None:
    for finding in verdict.findings[:MOST_SHOWN]:
        print(f"{name}: {finding}")
    if len(verdict.findings) > MOST_SHOWN:
        print(f"{name}: and {len(verdict.findings) - MOST_SHOWN} more")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
