"""Tests that the pages say of log, checker and kept runs what the code does."""

import re
from pathlib import Path

from tests.chaos import kept, kept_defects, kept_histories, kept_soaks
from tests.chaos.cells import ROOT
from tests.chaos.scenarios import CLASSES, SCENARIOS
from tests.checker import log
from tests.checker.finding import RULES
from tests.checker.log import MEMBERS

CHECKER = Path(log.__file__).parent / "README.md"
RUNS = kept.RUNS_PAGE.read_text()
MOST_WORDS = 1_400
"""With tables and commands."""


def rows(heading: str) -> dict[str, str]:
    """Return the rows of a section's first table, by what stands in their first cell."""
    _, _, section = CHECKER.read_text().partition(f"## {heading}\n")
    section = section.partition("\n## ")[0]
    cells = (line.strip("| ").split(" | ", 1) for line in section.splitlines() if line[:1] == "|")
    return {cell[0]: cell[1] for cell in cells if len(cell) == 2}


def test_every_rule_of_the_checker_stands_on_its_page() -> None:
    """In the checker's own words."""
    told = rows("What is checked")
    assert {f"`{name}`": meaning for name, meaning in RULES.items()}.items() <= told.items()


def test_every_operation_and_every_member_stands_on_the_page() -> None:
    """Who writes a checker of his own needs no code of ours."""
    told = rows("The operation log")
    for operation, members in MEMBERS.items():
        [text] = [text for first, text in told.items() if f"`{operation}`" in first.split(", ")]
        assert [] == [name for name in members if f"`{name}`" not in text], operation


def test_every_bad_run_that_is_kept_is_explained() -> None:
    """In words, beside the table of them that is made from the file, in the same order."""
    told = RUNS.partition("What was behind them:")[2].partition("\n## ")[0]
    bad = sorted(int(run["seed"]) for run in kept.load() if kept.is_bad(run))
    assert bad
    assert bad == [int(seed) for seed in re.findall(r"^- Seed (\d+)", told, re.MULTILINE)]


def test_the_proof_counts_the_runs_as_the_file_does() -> None:
    """Its sentences are written by hand."""
    runs = kept.load()
    valid = [run for run in runs if not run["void"]]
    bad = sum(map(kept.is_bad, valid))
    lost = sum(run["lost"] for run in valid)
    for page in (kept.PROOF, ROOT / "README.md"):
        told = " ".join(page.read_text().split())
        assert f"{bad} runs were bad" in told, page
        assert f"{lost} lost events" in told, page
    first = [run["commit"] for run in runs].index(kept.MORE_RULES)
    weaker = sum(not run["void"] for run in runs[:first])
    assert f"{weaker} of the {len(valid)} runs" in kept.PROOF.read_text()


def test_the_proof_is_read_in_five_minutes() -> None:
    """Everything else has a page of its own."""
    assert MOST_WORDS >= len(kept.PROOF.read_text().split())


def test_every_scenario_has_a_class() -> None:
    """The table of classes counts them."""
    assert set(SCENARIOS) == set(CLASSES)


def test_every_soak_that_is_kept_stands_on_the_page() -> None:
    """As the file tells it."""
    soaks = kept_soaks.load()
    made = kept_soaks.page(soaks)
    told = kept.SOAKS_PAGE.read_text()
    assert made in told
    assert len(soaks) + 2 == len(made.splitlines())
    assert [] == [soak["seed"] for soak in soaks if f"seed {soak['seed']}" not in told]


def test_what_nobody_measured_in_a_soak_is_told_so() -> None:
    """And what a person counted may be more."""
    [soak] = [each for each in kept_soaks.load() if each.get(kept_soaks.LEAST)]
    made = kept_soaks.page([soak]).splitlines()[-1].strip("| ").split(" | ")
    told = dict(zip(kept_soaks.HEADS, made, strict=True))
    assert "at least 12" == told["doubled"]
    assert {"-"} == {told[name] for name in ("processes", "MiB, by quarter", "most MiB")}


def test_what_is_not_mended_is_named_as_the_file_names_it() -> None:
    """A history that is good now is no example of what breaks."""
    bad = {
        f"{line['kind']} {seed}"
        for line in kept_histories.current(kept_histories.load())
        for seed in line["broken"]
    }
    told = kept.HISTORIES_PAGE.read_text().partition("## Not mended\n")[2].partition("\n## ")[0]
    assert bad == {*re.findall(r"(?:plain|memory|links|portal) \d+", told.lower())}


def test_the_proof_tells_how_many_defects_were_seen() -> None:
    """As the kept runs say."""
    assert kept_defects.score(kept_defects.load()) in kept.PROOF.read_text()
