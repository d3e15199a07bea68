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
    "items a second",
    "MiB, by quarter",
    "most",
)


def load(path: Path = FILE) -> list[Soak]:
    """Read the soaks that are kept."""
    return kept_lines.load(path)


def page(soaks: Sequence[Soak]) -> str:
    """Return the table, a row for each."""
    rows = [HEADS, ["---"] * 2 + ["---:"] * (len(HEADS) - 2), *map(_row, soaks)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(soak: Soak) -> Sequence[str]:
    memory = ", ".join(f"{each:.0f}" for each in soak["memory in MiB, by quarter"])
    figures = (
        soak["minutes"],
        sum(soak["faults"].values()),
        soak["processes"],
        soak["events"],
        soak.get("ended", soak["events"]),
        *(soak[name] for name in ("lost", "doubled", "other")),
        soak["items per second"],
        memory,
        soak["most memory in MiB"],
    )
    return (soak["date"], soak["commit"], str(soak["seed"]), *map(str, figures))
