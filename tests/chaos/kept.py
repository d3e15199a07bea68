"""Keeps what came of every run, and makes the tables of the pages from it."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from tests.chaos import kept_defects, kept_histories, kept_lines, kept_soaks
from tests.chaos.cells import MIXES, ROOT, Cell
from tests.chaos.scenarios import CLASSES, SCENARIOS, can_run
from tests.checker.bounds import upper_bound
from tests.checker.judge import Verdict

FOLDER = ROOT / "tests" / "chaos"
RUNS = FOLDER / "kept.jsonl"
CELLS = FOLDER / "kept.md"
BROKERS = ("3.10", "4.0", "4.3")
PROOF = FOLDER / "README.md"
RUNS_PAGE = FOLDER / "runs.md"
SOAKS_PAGE = FOLDER / "soaks.md"
DEFECTS_PAGE = FOLDER / "defects.md"
HISTORIES_PAGE = FOLDER / "histories.md"
PAGES = (PROOF, RUNS_PAGE, SOAKS_PAGE, DEFECTS_PAGE, HISTORIES_PAGE, ROOT / "README.md")
Run = Mapping[str, Any]
AT_MOST = "bad runs, at most (95 %)"
HEADS = (
    "runs",
    "events",
    "accepted",
    "lost",
    "doubled",
    "other",
    "void",
    "heals in",
    "bad runs",
    AT_MOST,
)
SHORT = ("runs", "accepted", "lost", "doubled", "bad runs", AT_MOST)
"""The columns of the smallest table."""
MORE_RULES = "2605593"
"""The commit since which the checker has all its rules."""
JUDGED_BY = ("15 rules", "19 rules, or nearly")
RULE = "---:"
TITLE = (
    "# Every fault and every cell of the fault table\n\n"
    "Made from `kept.jsonl` by `python -m tests.chaos.kept`.\n"
)
GONE = "(faults of other names)"
SAID = 120
"""So many letters of what the checker said of a bad run are shown."""


def entry(cell: Cell, seed: int, verdict: Verdict, *, complaints: Sequence[str] = ()) -> Run:
    """Return what is kept of a run."""
    lost, doubled = verdict.count("lost"), verdict.count("doubled")
    return {
        **cell.members(),
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "events": verdict.events,
        "accepted": verdict.accepted,
        "ended": verdict.ended,
        "lost": lost,
        "doubled": doubled,
        "other": len(verdict.findings) - lost - doubled + len(complaints),
        "void": verdict.void,
        "broken": verdict.count("broken") > 0,
        "heal": round(verdict.heal, 1),
        "why": "; ".join([*complaints, *map(str, verdict.findings)])[:300],
    }


def load(path: Path = RUNS) -> list[Run]:
    """Read the runs that are kept."""
    return kept_lines.load(path)


def add(run: Run, path: Path = RUNS) -> None:
    """Keep one more run."""
    kept_lines.add(run, path)


def cell_of(run: Run) -> Cell:
    """Return the cell that a run belongs to."""
    return Cell(run["fault"], run["broker"], run["nodes"], run["mix"])


def figures(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return one row: sums over what is no void run, and how often a run may break a promise.

    Of a run that broke off nobody knows what its events would have come to: it counts as bad, and
    its events are left out.
    """
    valid = [run for run in runs if not run["void"]]
    whole = [run for run in valid if not _broke_off(run)]
    sums = [sum(run[name] for run in whole) for name in HEADS[1:3]]
    sums += [sum(run[name] for run in valid) for name in HEADS[3:6]]
    broken = sum(bool(run["lost"] or run["doubled"] or run["other"]) for run in valid)
    heal = f"{statistics.median(run['heal'] for run in valid):.1f} s" if valid else "-"
    bound = f"{upper_bound(broken, len(valid)):.1%}" if valid else "-"
    voids = len(runs) - len(valid)
    return (str(len(valid)), *map(str, sums), str(voids), heal, str(broken), bound)


def table(
    head: Sequence[str],
    runs: Iterable[Run],
    key: Callable[[Run], Sequence[Any]],
    *,
    columns: Sequence[str] = HEADS,
    by_time: bool = False,
) -> str:
    """Return a table with a row for each value of a key, in order or as the runs came."""
    groups: defaultdict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in runs:
        groups[tuple(key(run))].append(run)
    names = list(groups) if by_time else sorted(groups)
    rows = [([*map(str, name)], _figures(groups[name])) for name in names]
    everything = [run for group in groups.values() for run in group]
    rows.append((["all", *[""] * (len(head) - 1)], _figures(everything)))
    same = all(row["events"] == row["accepted"] for _, row in rows)
    shown = [name for name in columns if not (same and name == "events")]
    lines = [
        [*head, *shown],
        ["---"] * len(head) + [RULE] * len(shown),
        *([*name, *(row[each] for each in shown)] for name, row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _figures(runs: Sequence[Run]) -> Mapping[str, str]:
    return dict(zip(HEADS, figures(runs), strict=True))


def reach(runs: Sequence[Run]) -> str:
    """Say in how many of the cells that there are something was run."""
    places = list(product(BROKERS, (1, 3), MIXES))
    there = {
        Cell(name, broker, nodes, mix)
        for name in SCENARIOS
        for broker, nodes, mix in places
        if can_run(name, nodes, mix)
    }
    done = {cell_of(run) for run in runs if not run["void"]} & there
    missing = [f"{broker}/{nodes}/{mix}" for broker, nodes, mix in places]
    counts = Counter(f"{c.broker}/{c.nodes}/{c.mix}" for c in there - done)
    told = ", ".join(f"{counts[each]} of `{each}`" for each in missing if counts[each])
    share = f"{len(done)} of the {len(there)} possible cells were run at least once"
    return f"{share}. Not yet run: {told}.\n" if told else f"{share}.\n"


def surroundings(run: Run) -> Sequence[Any]:
    """Return what a fault happened amid."""
    return [run["broker"], run["nodes"], run["mix"]]


def tables(runs: Sequence[Run]) -> Mapping[str, str]:
    """Return every generated table, by the name of its place in the pages."""
    return {
        "brokers": table(("RabbitMQ",), runs, lambda run: [run["broker"]], columns=SHORT),
        "surroundings": table(("RabbitMQ", "nodes", "amid"), runs, surroundings),
        "classes": table(("faults", "scenarios"), runs, _class_of),
        "bad": _bad_table(runs),
        "reach": reach(runs),
        "judged": judged(runs),
        "commits": table(
            ("of", "commit"), runs, lambda run: [run["date"], run["commit"]], by_time=True
        ),
        "newest": newest(runs),
    }


def judged(runs: Sequence[Run]) -> str:
    """Return the runs by the rules of their day, newest first: a log is judged when it is made."""
    commits = [run["commit"] for run in runs]
    first = commits.index(MORE_RULES) if MORE_RULES in commits else len(runs)
    old = {id(run) for run in runs[:first]}
    heads = ("judged by",)
    parts = [*runs[first:], *runs[:first]]
    return table(
        heads, parts, lambda run: [JUDGED_BY[id(run) not in old]], columns=SHORT, by_time=True
    )


def newest(runs: Sequence[Run]) -> str:
    """Say of which commit the newest runs are, and how to see what has changed since."""
    last = list(dict.fromkeys(run["commit"] for run in runs))[-1]
    count = sum(run["commit"] == last and not run["void"] for run in runs)
    since = f"git log {last.rstrip('+')}..HEAD -- service"
    return (
        f"The newest commit with runs is {last}, with {count} of them. "
        f"`{since}` shows what changed in the importer since.\n"
    )


def is_bad(run: Run) -> bool:
    """Tell whether a run broke a promise, or proves nothing."""
    return bool(run["lost"] or run["doubled"] or run["other"] or run["void"])


def _broke_off(run: Run) -> bool:
    """Tell whether a run did not come to its end; older lines say so in words only."""
    return bool(run.get("broken", run["why"].startswith("broken:")))


def _class_of(run: Run) -> Sequence[Any]:
    name = CLASSES.get(run["fault"], GONE)
    return [name, sum(each == name for each in CLASSES.values())]


def _bad_table(runs: Sequence[Run]) -> str:
    rows = [
        f"| {run['seed']} | {cell_of(run)} | {run['commit']} | {run['why'][:SAID]} |\n"
        for run in sorted(runs, key=lambda run: int(run["seed"]))
        if is_bad(run)
    ]
    return "".join(["| seed | cell | commit | what was found |\n", "|---:|---|---|---|\n", *rows])


def filled(page: str, made: Mapping[str, str]) -> str:
    """Put the tables into the places of a page: `<!-- kept: NAME -->` until `<!-- end -->`."""
    for name, text in made.items():
        start, end = f"<!-- kept: {name} -->\n", "<!-- end -->"
        before, found, after = page.partition(start)
        if found:
            _, ending, rest = after.partition(end)
            page = f"{before}{start}{text}{ending}{rest}"
    return page


def cells_page(runs: Sequence[Run]) -> str:
    """Return the page with a row for every fault, and one for every cell."""
    cells = table(
        ("fault", "RabbitMQ", "nodes", "amid"),
        runs,
        lambda run: [run["fault"], *surroundings(run)],
    )
    faults = table(("fault",), runs, lambda run: [run["fault"]])
    classes = table(
        ("faults", "RabbitMQ", "nodes", "amid"),
        runs,
        lambda run: [_class_of(run)[0], *surroundings(run)],
    )
    parts = {"Each class of faults": classes, "Each fault": faults, "Each cell": cells}
    return TITLE + "".join(f"\n## {name}\n\n{made}" for name, made in parts.items())


def parts() -> Mapping[str, str]:
    """Return every generated part of the pages, by the name of its place."""
    return {
        **tables(load()),
        **kept_histories.tables(kept_histories.load()),
        **kept_defects.tables(kept_defects.load()),
        "soaks": kept_soaks.page(kept_soaks.load()),
    }


def main() -> None:
    """Write every generated table anew."""
    made = parts()
    for page in PAGES:
        page.write_text(filled(page.read_text(), made))
    CELLS.write_text(cells_page(load()))


if __name__ == "__main__":
    main()
