"""Holds the list of defects for real runs to the code, and the kept runs to that list."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos import kept
from tests.chaos import kept_defects as runs
from tests.chaos.cells import MIXES, Cell
from tests.chaos.scenarios import SCENARIOS
from tests.checker.finding import Finding
from tests.checker.judge import Verdict
from tests.mutations.listed_trials import Listed, listed
from tests.mutations.trials import Tried

LISTED = listed()
BROKERS = {"3.10", "4.0", "4.3"}
LEAST, MOST_SEEDS = 10, 3
CELL = Cell("SIGKILL service", "3.10")


@pytest.mark.parametrize("each", LISTED, ids=lambda each: each.defect.name)
def test_a_listed_defect_has_a_cell_that_can_be_run(each: Listed) -> None:
    """Its name was found already; the runs that are kept of that cell say what the list says."""
    assert each.cell.fault in SCENARIOS
    assert each.cell.broker in BROKERS
    assert each.cell.mix in MIXES
    assert each.cell.nodes >= SCENARIOS[each.cell.fault].nodes
    assert 1 <= len(set(each.seeds)) == len(each.seeds) <= MOST_SEEDS
    assert each.why
    kept_runs = [line for line in runs.load() if line["defect"] == each.defect.name]
    here = [line for line in kept_runs if line["cell"] == str(each.cell)]
    assert here
    assert each.seen is any(map(runs.seen_by, here))


def test_the_page_shows_the_runs_that_are_kept() -> None:
    """Whoever changes the list runs `python -m tests.mutations.trials --keep`."""
    assert len(LISTED) >= LEAST
    made = runs.tables(runs.load())
    page = kept.DEFECTS_PAGE.read_text()
    assert [] == [name for name in made if f"<!-- kept: {name} -->\n" not in page]
    for each in kept.PAGES:
        assert each.read_text() == kept.filled(each.read_text(), made)


def test_what_was_tried_is_listed_whether_it_was_seen_or_not() -> None:
    """And the page says why some were not seen."""
    lines = [line for line in runs.load() if line["defect"] != runs.SOUND]
    assert {line["defect"] for line in lines} == {each.defect.name for each in LISTED}
    seen = {line["defect"] for line in lines if runs.seen_by(line)}
    assert seen == {each.defect.name for each in LISTED if each.seen}
    told = kept.DEFECTS_PAGE.read_text().partition("## Why some were not seen")[2]
    assert [] == [each.defect.name for each in LISTED if not each.seen and each.why not in told]


def line_of(defect: str, seed: int, *rules: str) -> runs.Line:
    """Return what is kept of a run in which these rules were broken."""
    verdict = Verdict({}, 1, 1, 1, 0.0, [Finding(rule, "e1", "") for rule in rules])
    return runs.entry(defect, CELL, seed, verdict, commit="0123456")


@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        ((), {}),
        (("lost", "lost", "doubled"), {"lost": 2, "doubled": 1}),
        (("broken", "lost"), {"lost": 1}),
        (("broken",), {}),
        (("late commit", "doubled"), {}),
        (("damaged", "lost"), {}),
    ],
)
def test_what_proves_nothing_sees_nothing(broken: Sequence[str], seen: dict[str, int]) -> None:
    """A run that broke off or that is void is no word of the checker on the importer."""
    assert seen == runs.seen_by(line_of("forgets", 1, *broken))


@pytest.mark.parametrize(
    ("expected", "rules", "missed", "told"),
    [
        (True, ("lost",), False, "lost 1"),
        (True, (), True, "NOT SEEN"),
        (False, (), False, "not seen, as expected"),
        (False, ("lost",), False, "lost 1 (NOT EXPECTED: take `seen = false` away)"),
    ],
)
def test_only_what_is_expected_must_be_seen(
    expected: bool,  # noqa: FBT001 - a case
    rules: Sequence[str],
    missed: bool,  # noqa: FBT001 - a case
    told: str,
) -> None:
    """And what is seen although nobody expected it is said."""
    each = replace(LISTED[0], seen=expected)
    tried = Tried(each, line_of("forgets", 1, *rules), line_of(runs.SOUND, 1))
    assert (missed, told) == (tried.missed, tried.mark)


def test_a_row_tells_how_often_a_defect_was_seen_and_what_was_found_without_it(
    tmp_path: Path,
) -> None:
    """Of several runs the last one that showed it is told."""
    file = tmp_path / "kept.jsonl"
    for line in (
        line_of("forgets", 1),
        line_of("forgets", 2, "lost"),
        line_of(runs.SOUND, 2),
        line_of("hides", 1),
    ):
        runs.add(line, file)
    page = runs.page(runs.load(file)).splitlines()
    assert f"| forgets | {CELL} | 2 | lost 1 | 1 of 2 | nothing |" in page
    assert f"| hides | {CELL} | 1 | NOT SEEN | 0 of 1 | not run |" in page
    assert "`doubled`" in page[-1]
    assert "`lost`" not in page[-1]
