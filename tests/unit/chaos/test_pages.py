"""Tests that the pages say of log, checker and kept runs what the code does."""

from tests.chaos import kept, kept_soaks
from tests.chaos.scenarios import CLASSES, SCENARIOS
from tests.checker.finding import RULES
from tests.checker.log import MEMBERS

PAGE = (kept.FOLDER / "README.md").read_text()


def rows(heading: str) -> dict[str, str]:
    """Return the rows of a section's first table, by what stands in their first cell."""
    _, _, section = PAGE.partition(f"## {heading}\n")
    section = section.partition("\n## ")[0]
    cells = (line.strip("| ").split(" | ", 1) for line in section.splitlines() if line[:1] == "|")
    return {cell[0]: cell[1] for cell in cells if len(cell) == 2}


def test_every_rule_of_the_checker_stands_on_the_page() -> None:
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
    """In words, beside the table of them that is made from the file."""
    told = PAGE.partition("What was behind them:")[2].partition("\n**")[0]
    bad = [run for run in kept.load() if kept.is_bad(run)]
    assert bad
    assert [] == [str(kept.cell_of(run)) for run in bad if str(run["seed"]) not in told]


def test_every_scenario_has_a_class() -> None:
    """The table of classes counts them."""
    assert set(SCENARIOS) == set(CLASSES)


def test_every_soak_that_is_kept_stands_on_the_page() -> None:
    """As the file tells it."""
    made = kept_soaks.page(kept_soaks.load())
    assert made in PAGE
    assert 2 < len(made.splitlines())
