"""Tests the cells of the fault table, and what is made of the runs that are kept."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import kept
from tests.chaos.cells import MIXES, Cell, version_of
from tests.chaos.mixes import AMID
from tests.checker.finding import Finding
from tests.checker.judge import Verdict


def verdict(*rules: str) -> Verdict:
    """Return a verdict with findings by these rules."""
    found = [Finding(rule, "e1", "planted") for rule in rules]
    return Verdict(run={}, events=10, accepted=9, ended=8, heal=1.25, findings=found)


def run(fault: str = "a fault", broker: str = "3.10", *rules: str) -> kept.Run:
    """Return what is kept of a run."""
    return kept.entry(Cell(fault, broker), 7, verdict(*rules))


def test_a_cell_is_read_as_it_is_written() -> None:
    """Names of faults have commas and spaces."""
    cell = Cell("poison, then cut", "4.3", 3, "links")
    assert cell == Cell.parse(str(cell))
    assert cell.file_name(5) == "poison--then-cut-4.3-3-links-5.jsonl"


@pytest.mark.parametrize("text", ["", "fault", "fault/3.10/x/none", "fault/3.10/1/none/more"])
def test_a_cell_of_another_form_is_refused(text: str) -> None:
    """The message names the form."""
    with pytest.raises(ValueError, match="FAULT/BROKER/NODES/MIX"):
        Cell.parse(text)


def test_every_mix_that_a_cell_may_name_is_there() -> None:
    """And nothing that no cell names."""
    assert set(MIXES) == set(AMID)


def test_the_version_of_a_broker_has_two_parts() -> None:
    """Patches do not make cells."""
    assert "3.10" == version_of({"rabbitmq_version": "3.10.8"})


def test_what_is_kept_names_cell_seed_and_commit_and_counts_by_kind() -> None:
    """A complaint of a process is counted like a finding of the checker."""
    entry = kept.entry(Cell("x", "4.0"), 3, verdict("lost", "batch"), complaints=["held"])
    assert (1, 0, 2) == (entry["lost"], entry["doubled"], entry["other"])
    assert entry["commit"]
    assert entry["why"] == "held; lost: e1: planted; batch: e1: planted"


def test_runs_are_added_to_those_that_are_kept(tmp_path: Path) -> None:
    """One line each; nothing is written anew."""
    path = tmp_path / "kept.jsonl"
    assert [] == kept.load(path)
    kept.add(run("one"), path)
    kept.add(run("two"), path)
    assert ["one", "two"] == [entry["fault"] for entry in kept.load(path)]


def test_a_void_run_is_counted_and_proves_nothing() -> None:
    """Whatever it shows: the portal broke its own side."""
    figures = kept.figures([run(), run("a fault", "3.10", "late commit", "doubled")])
    named: Mapping[str, Any] = dict(zip(kept.HEADS, figures, strict=True))
    assert ("1", "1", "0") == (named["runs"], named["void"], named["doubled"])


def test_a_table_has_a_row_for_each_key_and_one_for_all() -> None:
    """The bound of all is lower than that of each."""
    text = kept.table(("fault",), [run("b"), run("a"), run("a")], lambda one: [one["fault"]])
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]
    assert [("a", "2"), ("b", "1"), ("all", "3")] == [(row[0], row[1]) for row in rows]
    bounds = [float(row[-1].rstrip("%")) for row in rows]
    assert bounds[2] < bounds[0] < bounds[1]


def head_of(text: str) -> list[str]:
    """Return the names of a table's columns."""
    return text.splitlines()[0].strip("| ").split(" | ")


def test_events_are_not_told_where_they_are_the_accepted() -> None:
    """Two columns with the same figures tell one thing."""
    same = {**run(), "accepted": 10}
    assert "events" in head_of(kept.table(("fault",), [run()], lambda one: [one["fault"]]))
    text = kept.table(("fault",), [same], lambda one: [one["fault"]])
    assert ["fault", *(name for name in kept.HEADS if name != "events")] == head_of(text)
    text = kept.table(("fault",), [same], lambda one: [one["fault"]], columns=kept.SHORT)
    assert ["fault", *kept.SHORT] == head_of(text)


def of(commit: str, *rules: str) -> kept.Run:
    """Return what is kept of a run of a commit."""
    return {**run("a fault", "3.10", *rules), "commit": commit}


def test_commits_stand_in_the_order_of_time_and_the_newest_is_named() -> None:
    """Their names say nothing of when they were made."""
    made = kept.tables([of("ccc"), of("ccc"), of("aaa"), of("bbb+"), of("bbb+", "damaged")])
    rows = [line.split(" | ")[1] for line in made["commits"].splitlines()[2:5]]
    assert ["ccc", "aaa", "bbb+"] == rows
    assert "bbb+, with 1 of them. `git log bbb..HEAD -- service`" in made["newest"]


def test_runs_are_told_apart_by_the_rules_of_their_day() -> None:
    """By their place in the file, from the first run of the commit that brought the rules."""
    runs = [of("old"), of("old", "lost"), of(kept.MORE_RULES), of("new"), of("new")]
    rows = [row.strip("| ").split(" | ")[:2] for row in kept.judged(runs).splitlines()[2:]]
    assert [["19 rules, or nearly", "3"], ["15 rules", "2"], ["all", "5"]] == rows


def test_no_commit_of_before_the_rules_has_runs_after_them() -> None:
    """So a place in the file is enough to tell."""
    commits = [entry["commit"] for entry in kept.load()]
    first = commits.index(kept.MORE_RULES)
    assert not {*commits[:first]} & {*commits[first:]}


def test_bad_runs_are_told_in_the_order_of_their_seeds() -> None:
    """So each is found in the list below the table."""
    runs = [{**of("a", "lost"), "seed": seed} for seed in (30, 4, 100)]
    rows = kept.tables(runs)["bad"].splitlines()[2:]
    assert ["4", "30", "100"] == [row.strip("| ").partition(" | ")[0] for row in rows]


def test_tables_are_put_into_their_places_and_nothing_else_is_touched() -> None:
    """A page without a place stays as it is."""
    page = "before\n<!-- kept: faults -->\nold\n<!-- end -->\nafter\n"
    assert kept.filled(page, {"faults": "| new |\n"}) == page.replace("old", "| new |")
    assert kept.filled("nothing here", {"faults": "x"}) == "nothing here"


def test_the_pages_show_the_runs_that_are_kept() -> None:
    """`python -m tests.chaos.kept` writes them anew."""
    runs = kept.load()
    for page in kept.PAGES:
        assert page.read_text() == kept.filled(page.read_text(), kept.tables(runs))
    assert kept.CELLS.read_text() == kept.cells_page(runs)


def test_every_generated_part_has_a_place_and_every_place_a_part() -> None:
    """Else it would be read by nobody, or never be written anew."""
    text = "".join(page.read_text() for page in kept.PAGES)
    assert {*kept.parts()} == {*re.findall(r"<!-- kept: (.+) -->", text)}


def test_every_run_that_is_kept_belongs_to_a_cell() -> None:
    """And none of them is counted twice."""
    runs = kept.load()
    assert all({*Cell.__dataclass_fields__, "seed", "commit"} <= entry.keys() for entry in runs)
    told = [(str(kept.cell_of(entry)), entry["seed"], entry["commit"]) for entry in runs]
    assert len(told) == len(set(told))
