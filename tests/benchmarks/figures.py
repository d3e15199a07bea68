"""Holds what was measured: each figure with its bar, its single runs, and its command."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table

ROOM = Path(__file__).parent
RESULTS = ROOM / "results"
SMALL = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure must reach."""

    side: Literal["at least", "at most"]
    value: float

    def reached(self, value: float) -> bool:
        """Tell whether a figure is on the right side."""
        return value >= self.value if self.side == "at least" else value <= self.value

    def __str__(self) -> str:
        sign = "≥" if self.side == "at least" else "≤"
        return f"{sign} {shown(self.value)}"


def at_least(value: float) -> Bar:
    """Return a lower bar."""
    return Bar("at least", value)


def at_most(value: float) -> Bar:
    """Return an upper bar."""
    return Bar("at most", value)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `runs` are the single runs that it is the median of."""

    part: str
    name: str
    value: float
    unit: str
    command: str
    trip: Bar | None = None
    runs: Sequence[float] = field(default_factory=tuple)

    @property
    def verdict(self) -> str:
        """Say whether the bar is reached."""
        if self.trip is None:
            return ""
        return "yes" if self.trip.reached(self.value) else "NO"


def median(
    part: str, name: str, runs: Sequence[float], unit: str, command: str, trip: Bar | None = None
) -> Figure:
    """Return the median of several runs as a figure."""
    return Figure(part, name, statistics.median(runs), unit, command, trip, tuple(runs))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def shown(value: float) -> str:
    """Write a value as a person reads it."""
    if abs(value) >= SMALL * SMALL:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= SMALL else f"{value:.2f}"


def draw(
    figures: Sequence[Figure], console: Console, before: Mapping[tuple[str, str], float]
) -> None:
    """Print the table: each figure, its bar, the spread of its runs, what was kept `before`."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, side in (
        ("figure", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("bar", "right"),
        ("reached", "left"),
        ("runs", "left"),
        ("kept", "right"),
    ):
        table.add_column(column, justify="right" if side == "right" else "left")
    part = ""
    for each in figures:
        if each.part != part:
            part = each.part
            table.add_section()
            table.add_row(f"[bold]{part}[/]")
        kept = before.get((each.part, each.name))
        table.add_row(
            f"  {each.name}",
            shown(each.value),
            each.unit,
            str(each.trip or ""),
            f"[bold red]{each.verdict}[/]" if each.verdict == "NO" else each.verdict,
            spread(each.runs),
            "" if kept is None else shown(kept),
        )
    console.print(table)
    for command in dict.fromkeys(each.command for each in figures):
        console.print(f"  [dim]{command}[/]", soft_wrap=True, highlight=False)


def written(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return the figures as they are written."""
    return [{**asdict(each), "reached": each.verdict or None} for each in figures]


def write(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any], path: Path) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**about, "figures": rows}, indent=1, ensure_ascii=False) + "\n")


def spread(runs: Sequence[float]) -> str:
    """Write how many runs there were, and how far apart."""
    return f"{len(runs)}: {shown(min(runs))} … {shown(max(runs))}" if len(runs) > 1 else ""
