"""Makes the table of the soaks that are kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chaos import kept_lines
from tests.chaos.cells import ROOT

FILE = ROOT / "tests" / "chaos" / "soaks.jsonl"
Soak = Mapping[str, Any]
HEADS = (
    "of",
    "commit",
    "seed",
    "minutes",
    "faults",
    "processes",
    "events",
    "ended",
    "lost",
    "doubled",
    "other",
    "void",
    "items a second",
    "MiB, by quarter",
    "most MiB",
)
UNKNOWN = "-"
LEAST = "least"
"""The member that names the counts that may be too low: a person has counted."""


def load(path: Path = FILE) -> list[Soak]:
    """Read the soaks that are kept."""
    return kept_lines.load(path)


def page(soaks: Sequence[Soak]) -> str:
    """Return the table, a row for each."""
    table = [HEADS, ["---"] * 2 + ["---:"] * (len(HEADS) - 2), *map(_row, soaks)]
    return "".join(f"| {' | '.join(row)} |\n" for row in table)


def _row(soak: Soak) -> Sequence[str]:
    memory = soak.get("memory in MiB, by quarter", ())
    least = soak.get(LEAST, ())
    counts = (
        f"at least {soak[name]}" if name in least else soak[name]
        for name in ("lost", "doubled", "other")
    )
    figures = (
        soak["minutes"],
        sum(soak["faults"].values()),
        soak.get("processes", UNKNOWN),
        soak["events"],
        soak.get("ended", soak["events"]),
        *counts,
        "yes" if soak["void"] else "no",
        soak.get("items per second", UNKNOWN),
        ", ".join(f"{each:.0f}" for each in memory) or UNKNOWN,
        soak.get("most memory in MiB", UNKNOWN),
    )
    return (soak["date"], soak["commit"], str(soak["seed"]), *map(str, figures))
