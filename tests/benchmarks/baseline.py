"""Keeps the figures that later runs are compared with, and shows them on the page."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.benchmarks.figures import ROOM, Bar, Figure, shown, spread, write, written

BASELINE = ROOM / "baseline.json"
README = ROOM / "README.md"
MARKS = ("<!-- table -->", "<!-- end of table -->")
Row = Mapping[str, Any]


def values() -> dict[tuple[str, str], float]:
    """Return what is kept, by part and name."""
    return {(row["part"], row["name"]): row["value"] for row in _read()["figures"]}


def keep(figures: Sequence[Figure], about: Mapping[str, Any], *, whole: bool) -> None:
    """Keep the figures of a run: instead of all that were kept, or of those of the same parts."""
    before = {"figures": []} if whole else _read()
    new = {each.part for each in figures}
    when = {name: about[name] for name in ("when", "load", "broker")}
    rows = [row for row in before["figures"] if row["part"] not in new]
    rows += [{**row, **when} for row in written(figures)]
    kept = about if whole else {name: each for name, each in before.items() if name != "figures"}
    write(rows, kept, BASELINE)
    _show(rows, kept)


def _read() -> dict[str, Any]:
    found: dict[str, Any] = {"figures": []}
    if BASELINE.exists():
        found = json.loads(BASELINE.read_text())
    return found


def _show(rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    """Put the table between the two marks of the page."""
    when, cores, python = about["when"][:10], about["cores"], about["python"]
    load, seconds = about["load"], about["seconds"]
    lines = [
        f"{when}; {cores} cores, shared, load {load} before; Python {python}; {seconds} s in all.",
        "",
        "| figure | value | bar | reached | runs |",
        "|---|---|---|---|---|",
    ]
    part = ""
    for row in rows:
        if row["part"] != part:
            part = row["part"]
            other = row.get("when", about["when"]) != about["when"]
            lines.append(f"| **{part}**{_apart(row) if other else ''} | | | | |")
        lines.append(_line(row))
    commands = dict.fromkeys(row["command"] for row in rows)
    lines += ["", "The commands behind it:", "", "```", *commands, "```"]
    before, _, rest = README.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    README.write_text("".join([before, "\n".join((MARKS[0], *lines, MARKS[1])), after]))


def _apart(row: Row) -> str:
    """Say of a part that was measured apart from the others when that was, and amid what."""
    return f" ({row['when'][:10]}, RabbitMQ {row['broker']}, load {row['load']} before)"


def _line(row: Row) -> str:
    bar = row.get("trip") or row.get("bar")
    reached = row["reached"] or ""
    cells = (
        row["name"],
        f"{shown(row['value'])} {row['unit']}",
        str(Bar(**bar)) if bar else "",
        f"**{reached}**" if reached == "NO" else reached,
        spread(row["runs"]),
    )
    return f"| {' | '.join(cells)} |"
