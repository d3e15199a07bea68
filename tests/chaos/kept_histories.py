"""Keeps what came of made-up histories, and makes the tables of their page.

When a block is played again, its old line is marked and stays, and a new one is added. Before this
rule existed, lines were replaced: histories.md says which.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos import kept_lines
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
FRESH = 10_000
"""No fault was hunted with the seeds from here on: they measure how rare a fault is."""
AGAIN = "played_again"
"""The member of an old line whose block was played again."""
NONE = "None is kept yet.\n"
SAID = 120
"""So many letters of what a history broke are shown."""
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
    return kept_lines.load(path)


def add(line: Line, path: Path = FILE) -> None:
    """Keep one more block; of what it struck only what no block of its kind before it did.

    An older line of the same block stays, marked. What only that one struck does not count any
    more, and later lines may leave it out: so the page rather tells too little.
    """
    lines = load(path)
    old = [each for each in lines if _block(each) == _block(line)]
    known = _pairs(each for each in current(_of(line["kind"], lines)) if each not in old)
    new = {
        trouble: [place for place in places if (trouble, place) not in known]
        for trouble, places in line["struck"].items()
    }
    if current(old):
        marked = [{**each, AGAIN: True} if each in old else each for each in lines]
        whole = path.with_name(f"{path.name}.new")
        whole.write_text("".join(map(kept_lines.written, marked)))
        whole.replace(path)
    kept_lines.add({**line, "struck": new}, path)


def current(lines: Iterable[Line]) -> list[Line]:
    """Return the lines whose blocks were not played again."""
    return [line for line in lines if not line.get(AGAIN)]


def page(lines: Sequence[Line]) -> str:
    """Return all tables of some blocks, one after the other."""
    return "\n".join(text for text in tables(lines).values() if text != NONE) or NONE


def tables(lines: Sequence[Line]) -> Mapping[str, str]:
    """Return every table, by the name of its place in the page."""
    return {
        "histories": _hunted([line for line in lines if line["first"] < FRESH]),
        "fresh histories": _measured([line for line in lines if line["first"] >= FRESH]),
        "bad histories": _bad(lines),
        "reached": _reached(current(lines)),
    }


def _hunted(lines: Sequence[Line]) -> str:
    """Return how many broke a promise: no bound, for they were played again after each mend."""
    if not lines:
        return NONE
    rows = [(kind, KINDS[kind], _of(kind, lines)) for kind in _kinds(lines)]
    return _text(
        "| kind | what is known | histories | broke a promise when played last |",
        "|---|---|---:|---:|",
        *(
            f"| {kind} | {known} | {_count(_firsts(group))} | {_broken(current(group))} |"
            for kind, known, group in [*rows, ("all", "", lines)]
        ),
    )


def _measured(lines: Sequence[Line]) -> str:
    """Return bounds for what each commit played first: what was played again does not count."""
    firsts = _firsts(lines)
    if not firsts:
        return NONE
    rows = []
    for name in dict.fromkeys(line["commit"] for line in firsts):
        of_it = [line for line in firsts if line["commit"] == name]
        groups = [*((kind, _of(kind, of_it)) for kind in _kinds(of_it)), ("all", of_it)]
        rows += [
            f"| {name} | {kind} | {_count(group)} | {_broken(group)} | {_bound(group)} |"
            for kind, group in groups
        ]
    return _text(
        "| commit | kind | histories | broke a promise | at most (95 %) |",
        "|---|---|---:|---:|---:|",
        *rows,
    )


def _bad(lines: Sequence[Line]) -> str:
    """Return each history that broke a promise, and what came when it was played again."""
    if not lines:
        return NONE
    last = {_block(line): line for line in lines}
    rows = [
        f"| {line['kind']} {seed} | {line['commit']} | `{_said(found)}` "
        f"| {_again(seed, line, last[_block(line)])} |"
        for line in lines
        for seed, found in line["broken"].items()
    ]
    if not rows:
        return "None broke a promise.\n"
    head = "| history | commit | what was found | played again |"
    return _text(head, "|---|---|---|---|", *rows)


def _again(seed: str, line: Line, last: Line) -> str:
    if last is line:
        return "not yet"
    return f"on {last['commit']}: {'bad' if seed in last['broken'] else 'good'}"


def _said(found: Sequence[str]) -> str:
    plain = " ".join("; ".join(found).split())[:SAID]
    return plain.replace("`", "'").replace("|", "/")


def _reached(lines: Sequence[Line]) -> str:
    """Return what was reached of what there is."""
    if not lines:
        return NONE
    places, kinds = all_places(), _kinds(lines)
    return _text(
        _told(lines, places),
        "",
        f"| struck while a task waited, of {len(places)} | {' | '.join(kinds)} | any |",
        f"|---|{'---:|' * (len(kinds) + 1)}",
        *(
            f"| {trouble} | {' | '.join(_shares(trouble, kinds, lines, places))} |"
            for trouble in TROUBLES
        ),
        "",
        _unreached(lines, places),
    )


def _text(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def _block(line: Line) -> tuple[str, int]:
    return line["kind"], line["first"]


def _firsts(lines: Iterable[Line]) -> list[Line]:
    """Return the oldest line of each block."""
    firsts: dict[tuple[str, int], Line] = {}
    for line in lines:
        firsts.setdefault(_block(line), line)
    return list(firsts.values())


def _kinds(lines: Sequence[Line]) -> list[str]:
    return [kind for kind in KINDS if _of(kind, lines)]


def _count(lines: Iterable[Line]) -> int:
    return sum(line["count"] for line in lines)


def _broken(lines: Iterable[Line]) -> int:
    return sum(len(line["broken"]) for line in lines)


def _bound(lines: Sequence[Line]) -> str:
    """Return no bound if nobody knows what code was played."""
    named = all(line["commit"].isalnum() and line["commit"] != "unknown" for line in lines)
    return f"{upper_bound(_broken(lines), _count(lines)):.2%}" if named else "-"


def _of(kind: str, lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line["kind"] == kind]


def _shares(
    trouble: str, kinds: Sequence[str], lines: Sequence[Line], places: Collection[str]
) -> list[str]:
    groups = [*(_of(kind, lines) for kind in kinds), lines]
    hits = [{place for what, place in _pairs(group) if what == trouble} for group in groups]
    return [f"{len(hit & {*places}) / len(places):.0%}" if hit else "-" for hit in hits]


def _told(lines: Sequence[Line], places: Collection[str]) -> str:
    """Read the table for the reader: its first row."""
    killed = {place for trouble, place in _pairs(lines) if trouble == "kill"} & {*places}
    return (
        f"{len(places)} functions can wait. In {round(100 * len(killed) / len(places))} % of them "
        "a kill came at least once while a task waited there."
    )


def _unreached(lines: Sequence[Line], places: Collection[str]) -> str:
    never = sorted({*places} - {place for _, place in _pairs(lines)})
    return (
        f"In {len(never)} functions nothing happened while a task waited there. "
        "So these histories prove nothing about a kill, a stop or a cut at these places: "
        f"{', '.join(f'`{each}`' for each in never)}."
    )


def _pairs(lines: Iterable[Line]) -> set[tuple[str, str]]:
    return {
        (trouble, place)
        for line in lines
        for trouble, places in line["struck"].items()
        for place in places
    }
