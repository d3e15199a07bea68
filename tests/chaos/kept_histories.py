"""Keeps what came of made-up histories, and makes the part of the proof page about them."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.cells import ROOT, commit
from tests.checker.bounds import upper_bound
from tests.support.awaits import TROUBLES, all_places

FILE = ROOT / "tests" / "chaos" / "histories.jsonl"
KINDS: Mapping[str, str] = {
    "plain": "nothing of earlier processes",
    "memory": "what earlier processes noted of their calls",
    "links": "in half of them the same; events refer to one another",
    "portal": "nothing; the portal is set back, or bodies leave slowly",
}
"""What is known in each kind of history."""
Line = Mapping[str, Any]
Pairs = Collection[tuple[str, str]]


def entry(kind: str, seeds: range, broken: Mapping[str, Sequence[str]], struck: Pairs) -> Line:
    """Return what is kept of a block of histories; `struck`: a trouble and where it struck."""
    places = {
        trouble: sorted(place for each, place in struck if each == trouble) for trouble in TROUBLES
    }
    return {
        "kind": kind,
        "first": seeds.start,
        "count": len(seeds),
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "broken": broken,
        "pairs": sum(map(len, places.values())),
        "struck": places,
    }


def load(path: Path = FILE) -> list[Line]:
    """Read the blocks that are kept."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def add(line: Line, path: Path = FILE) -> None:
    """Keep one more block; of what it struck only what no block of its kind before it did."""
    known = _pairs(each for each in load(path) if each["kind"] == line["kind"])
    new = {
        trouble: [place for place in places if (trouble, place) not in known]
        for trouble, places in line["struck"].items()
    }
    with path.open("a") as file:
        file.write(json.dumps({**line, "struck": new}, separators=(",", ":")) + "\n")


def page(lines: Sequence[Line]) -> str:
    """Return the tables of some blocks: what was played, and what was reached of what there is."""
    if not lines:
        return "None is kept yet.\n"
    places = all_places()
    kinds = [kind for kind in KINDS if any(line["kind"] == kind for line in lines)]
    return "\n".join(
        [
            "| kind | what is known | histories | broke a promise | at most |",
            "|---|---|---:|---:|---:|",
            *(_played(kind, KINDS[kind], _of(kind, lines)) for kind in kinds),
            _played("all", "", lines),
            "",
            f"| struck while a task waited, of {len(places)} | {' | '.join(kinds)} | any |",
            f"|---|{'---:|' * (len(kinds) + 1)}",
            *(
                f"| {trouble} | {' | '.join(_reached(trouble, kinds, lines, places))} |"
                for trouble in TROUBLES
            ),
            "",
            _unreached(lines, places),
            "",
        ]
    )


def _of(kind: str, lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line["kind"] == kind]


def _played(kind: str, known: str, lines: Sequence[Line]) -> str:
    count, broken = (
        sum(line["count"] for line in lines),
        sum(len(line["broken"]) for line in lines),
    )
    bound = f"{upper_bound(broken, count):.2%}" if count else "-"
    return f"| {kind} | {known} | {count} | {broken} | {bound} |"


def _reached(
    trouble: str, kinds: Sequence[str], lines: Sequence[Line], places: Collection[str]
) -> list[str]:
    groups = [*(_of(kind, lines) for kind in kinds), lines]
    hits = [{place for what, place in _pairs(group) if what == trouble} for group in groups]
    return [f"{len(hit & {*places}) / len(places):.0%}" if hit else "-" for hit in hits]


def _unreached(lines: Sequence[Line], places: Collection[str]) -> str:
    never = sorted({*places} - {place for _, place in _pairs(lines)})
    return f"Nothing struck in {len(never)}: {', '.join(f'`{each}`' for each in never)}."


def _pairs(lines: Iterable[Line]) -> set[tuple[str, str]]:
    return {
        (trouble, place)
        for line in lines
        for trouble, places in line["struck"].items()
        for place in places
    }
