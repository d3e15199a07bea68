"""Keeps which rules of the checker saw each defect in a real run, and makes the page's tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos import kept_lines
from tests.chaos.cells import ROOT, Cell
from tests.checker.finding import RULES
from tests.checker.judge import Verdict
from tests.mutations.listed_trials import Listed, listed

FILE = ROOT / "tests" / "chaos" / "defects.jsonl"
NOT_SEEN = "NOT SEEN"
SOUND = ""
"""Stands for the name of a defect where there is none."""
PROVE_NOTHING = frozenset({"damaged", "broken", "late commit"})
"""They say that a run broke off or that the portal was at fault, and nothing of the importer."""
HEADS = ("broken on purpose", "cell", "seed", "rules that saw it", "seen in", "without the defect")
Line = Mapping[str, Any]


def entry(defect: str, cell: Cell, seed: int, verdict: Verdict, *, commit: str) -> Line:
    """Return what is kept of a run; `rules`: how often each rule was broken in it."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit,
        "defect": defect,
        "cell": str(cell),
        "seed": seed,
        "rules": dict(Counter(finding.rule for finding in verdict.findings)),
    }


def seen_by(line: Line) -> Mapping[str, int]:
    """Return the rules that saw the importer break a promise; none where a run proves nothing."""
    rules: Mapping[str, int] = line["rules"]
    if "damaged" in rules or "late commit" in rules:
        return {}
    return {rule: count for rule, count in rules.items() if rule not in PROVE_NOTHING}


def load(path: Path = FILE) -> list[Line]:
    """Read the runs that are kept."""
    return kept_lines.load(path)


def add(line: Line, path: Path = FILE) -> None:
    """Keep one more run."""
    kept_lines.add(line, path)


def tables(lines: Sequence[Line]) -> Mapping[str, str]:
    """Return every generated part, by the name of its place in the pages."""
    return {"defects": page(lines), "seen": score(lines), "unseen": reasons(listed())}


def reasons(trials: Sequence[Listed]) -> str:
    """Say of each defect that was not seen why that was so."""
    return "".join(f"- *{each.defect.name}*: {each.why}\n" for each in trials if not each.seen)


def score(lines: Sequence[Line]) -> str:
    """Say how many defects were seen."""
    names = {line["defect"] for line in lines} - {SOUND}
    seen = {line["defect"] for line in lines if seen_by(line)} - {SOUND}
    unseen = len(names) - len(seen)
    return f"{len(seen)} of {len(names)} were seen by the checker; {unseen} were not.\n"


def page(lines: Sequence[Line]) -> str:
    """Return a row for each defect, of the last run that showed it; those not seen stand last."""
    names = dict.fromkeys(line["defect"] for line in lines if line["defect"] != SOUND)
    rows = sorted((_row(name, lines) for name in names), key=lambda row: row[3] == NOT_SEEN)
    table = [HEADS, ("---", "---", "---:", "---", "---:", "---"), *rows]
    seen = {rule for line in lines if line["defect"] != SOUND for rule in seen_by(line)}
    never = [f"`{rule}`" for rule in RULES if rule not in seen | PROVE_NOTHING]
    return "".join(f"| {' | '.join(row)} |\n" for row in table) + (
        f"\nRules that none of them broke: {', '.join(never) or 'none'}.\n"
    )


def _row(name: str, lines: Sequence[Line]) -> tuple[str, ...]:
    """Describe one defect; runs of a cell that is not its last one do not count any more."""
    cell = next(line["cell"] for line in reversed(lines) if line["defect"] == name)
    runs = [line for line in lines if line["defect"] == name and line["cell"] == cell]
    hits = [line for line in runs if seen_by(line)]
    shown = (hits or runs)[-1]
    rules = told(seen_by(shown)) or NOT_SEEN
    return (
        name,
        cell,
        str(shown["seed"]),
        rules,
        f"{len(hits)} of {len(runs)}",
        _sound(shown, lines),
    )


def _sound(shown: Line, lines: Sequence[Line]) -> str:
    """Say what the checker found in the same cell with the same seed, and without the defect."""
    place = [SOUND, shown["cell"], shown["seed"]]
    runs = [line for line in lines if [line["defect"], line["cell"], line["seed"]] == place]
    return (told(runs[-1]["rules"]) or "nothing") if runs else "not run"


def told(rules: Mapping[str, int]) -> str:
    """Name rules, and how often each was broken."""
    return ", ".join(f"{rule} {count}" for rule, count in rules.items())
