"""Tests what is kept of made-up histories, and that one that hangs costs only itself."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import kept as pages
from tests.chaos import kept_histories as kept
from tests.support.awaits import all_places
from tests.tools import histories


@pytest.fixture(autouse=True)
def no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no process to learn the commit."""
    monkeypatch.setattr(kept, "commit", lambda: "0123456")


HERE, THERE, ELSEWHERE = sorted(all_places())[:3]


def test_a_block_keeps_only_what_no_block_of_its_kind_struck_before(tmp_path: Path) -> None:
    """So thousands of histories stay a small file; the counts stay whole."""
    file = tmp_path / "kept.jsonl"
    kept.add(kept.entry("plain", range(3), {}, {("kill", HERE), ("cut", HERE)}), file)
    kept.add(kept.entry("plain", range(3, 6), {}, {("kill", HERE), ("kill", THERE)}), file)
    kept.add(kept.entry("links", range(3), {"2": ["lost"]}, {("kill", HERE)}), file)
    lines = kept.load(file)
    assert [2, 2, 1] == [line["pairs"] for line in lines]
    assert [[HERE], [THERE], [HERE]] == [line["struck"]["kill"] for line in lines]
    page = kept.page(lines)
    assert "| plain | nothing of earlier processes | 6 | 0 |" in page
    assert "| all |  | 9 | 1 |" in page
    share = f"{2 / len(all_places()):.0%}"
    of_them = f"{len(all_places())} functions can wait. In {share.rstrip('%')} % of them"
    assert f"{of_them} a kill came at least once" in page
    assert f"| kill | {share} | {1 / len(all_places()):.0%} | {share} |" in page
    assert f"`{ELSEWHERE}`" in page
    assert f"`{THERE}`" not in page


def block(first: int, *broken: int, kind: str = "plain", commit: str = "0123456") -> kept.Line:
    """Return the line of a block of ten."""
    found = {str(seed): ["lost: `a` | b"] for seed in broken}
    return {**kept.entry(kind, range(first, first + 10), found, ()), "commit": commit}


def test_a_bad_line_stays_when_its_block_is_played_again(tmp_path: Path) -> None:
    """It is marked; the lines beside it are as they were."""
    file = tmp_path / "kept.jsonl"
    kept.add(block(0, 3), file)
    kept.add(block(0, kind="links"), file)
    before = file.read_text().splitlines()
    kept.add(block(0, commit="new"), file)
    first, *others, last = file.read_text().splitlines()
    assert json.loads(before[0]) | {kept.AGAIN: True} == json.loads(first)
    assert before[1:] == others
    assert ("new", False) == (json.loads(last)["commit"], kept.AGAIN in json.loads(last))
    assert [file] == [*tmp_path.iterdir()]


def test_what_only_an_old_line_struck_is_kept_again_and_counted_once(tmp_path: Path) -> None:
    """An old line proves nothing about what was played since."""
    file = tmp_path / "kept.jsonl"
    kept.add(kept.entry("plain", range(3), {"1": ["lost"]}, {("kill", HERE), ("cut", HERE)}), file)
    kept.add(kept.entry("plain", range(3), {}, {("kill", HERE)}), file)
    lines = kept.load(file)
    assert [HERE] == lines[1]["struck"]["kill"]
    reached = kept.tables(lines)["reached"]
    assert f"| kill | {1 / len(all_places()):.0%} |" in reached
    assert "| cut | - | - |" in reached


def test_the_hunt_shows_the_last_play_and_no_bound(tmp_path: Path) -> None:
    """Played again until it is good, a history says nothing about how rare a fault is."""
    file = tmp_path / "kept.jsonl"
    for line in (block(0, 3, 4), block(10), block(0, 4), block(0, 5)):
        kept.add(line, file)
    made = kept.tables(kept.load(file))
    assert "| plain | nothing of earlier processes | 20 | 1 |\n" in made["histories"]
    assert "%" not in made["histories"]
    assert kept.NONE == made["fresh histories"]


def test_the_measure_counts_first_plays_by_their_commit(tmp_path: Path) -> None:
    """A mend and a second play make no bound lower, and no bound joins two commits."""
    file = tmp_path / "kept.jsonl"
    for line in (
        block(kept.FRESH - 10, 9995, commit="old"),
        block(kept.FRESH, 10003, commit="one"),
        block(kept.FRESH, kind="links", commit="one"),
        block(kept.FRESH, commit="two"),
        block(kept.FRESH + 10, commit="two"),
        block(kept.FRESH + 20, commit="two+"),
    ):
        kept.add(line, file)
    rows = kept.tables(kept.load(file))["fresh histories"].splitlines()[2:]
    assert [
        "| one | plain | 10 | 1 | 39.42% |",
        "| one | links | 10 | 0 | 25.89% |",
        "| one | all | 20 | 1 | 21.61% |",
        "| two | plain | 10 | 0 | 25.89% |",
        "| two | all | 10 | 0 | 25.89% |",
        "| two+ | plain | 10 | 0 | - |",
        "| two+ | all | 10 | 0 | - |",
    ] == rows


def test_each_bad_history_is_told_with_what_came_of_it_later(tmp_path: Path) -> None:
    """In a table: what was found must not end its cell."""
    file = tmp_path / "kept.jsonl"
    for line in (block(0, 3, 4, commit="one"), block(10, 11), block(0, 4, commit="two")):
        kept.add(line, file)
    assert [
        "| plain 3 | one | `lost: 'a' / b` | on two: good |",
        "| plain 4 | one | `lost: 'a' / b` | on two: bad |",
        "| plain 11 | 0123456 | `lost: 'a' / b` | not yet |",
        "| plain 4 | two | `lost: 'a' / b` | not yet |",
    ] == kept.tables(kept.load(file))["bad histories"].splitlines()[2:]
    assert "None broke a promise.\n" == kept.tables([block(0)])["bad histories"]


def test_without_a_line_nothing_is_told() -> None:
    """Each place of the page says so."""
    assert {kept.NONE} == {*kept.tables([]).values()}
    assert kept.NONE == kept.page([])


@pytest.mark.parametrize(
    ("words", "played"),
    [
        ((), [("plain", 50), ("links", 50), ("links", 100)]),
        (("--again",), [("plain", 0), ("plain", 100)]),
        (("--again", "--kind", "links"), []),
    ],
)
def test_only_what_is_not_kept_is_played_or_only_what_is_bad(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: tuple[str, ...],
    played: list[tuple[str, int]],
) -> None:
    """A line whose block was played again is not what is kept."""
    file = tmp_path / "kept.jsonl"
    old = {**block(50, 55), kept.AGAIN: True}
    for line in (block(0, 3), block(0, kind="links"), old, block(100, 101), block(150, 151)):
        kept.add(line, file)
    found: list[tuple[str, int]] = []

    def play(kind: str, seeds: range) -> kept.Line:
        found.append((kind, seeds.start))
        return kept.entry(kind, seeds, {}, ())

    monkeypatch.setattr(histories, "_block", play)
    kinds = () if "--kind" in words else ("--kind", "plain", "--kind", "links")
    monkeypatch.setattr(sys, "argv", ["", "0", "150", *kinds, "--keep", str(file), *words])
    assert 0 == histories.main()
    assert sorted(played) == sorted(found)
    lines = kept.load(file)
    assert 5 + len(played) == len(lines)
    assert 4 == sum(bool(line["broken"]) for line in lines)
    counts = Counter((line["kind"], line["first"]) for line in kept.current(lines))
    assert {1} == {*counts.values()}


def test_only_what_is_kept_can_be_played_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says what is missing."""
    monkeypatch.setattr(sys, "argv", ["", "0", "150", "--again"])
    with pytest.raises(SystemExit):
        histories.main()
    assert "--again needs --keep" in capsys.readouterr().err


def test_every_kept_block_has_one_line_that_counts_and_it_is_the_last() -> None:
    """So no history counts twice, and none is marked without a second play."""
    lines = kept.load()
    last = {(line["kind"], line["first"]): line for line in lines}
    assert {*map(id, last.values())} == {*map(id, kept.current(lines))}
    assert {(0, histories.BLOCK)} == {
        (line["first"] % histories.BLOCK, line["count"]) for line in lines
    }


def test_the_page_shows_the_histories_that_are_kept() -> None:
    """What they reach changes with the code, and is told of the day it was written."""
    told = pages.HISTORIES_PAGE.read_text()
    made = kept.tables(kept.load())
    assert [] == [name for name in made if f"<!-- kept: {name} -->\n" not in told]
    assert told == pages.filled(told, {name: made[name] for name in made if name != "reached"})


def test_a_history_that_does_not_end_is_named_and_the_rest_is_played(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process that played it was killed."""

    def told(_: str, seeds: range) -> Iterator[Mapping[str, Any]]:
        for seed in seeds:
            yield {"begun": seed}
            if seed == 5:
                return
            if seed == 3:
                yield {"broken": {"3": ["lost"]}}
        yield {"struck": [["kill", HERE]]}

    monkeypatch.setattr(histories, "_told", told)
    line = histories._block("plain", range(2, 8))  # noqa: SLF001 - its own test
    assert ["3", "5"] == sorted(line["broken"])
    assert "no end" in line["broken"]["5"][0]
    assert (2, 6, [HERE]) == (line["first"], line["count"], line["struck"]["kill"])
