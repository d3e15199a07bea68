"""Tests what is kept of made-up histories, and that one that hangs costs only itself."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

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
    assert f"| kill | {share} | {1 / len(all_places()):.0%} | {share} |" in page
    assert f"`{ELSEWHERE}`" in page
    assert f"`{THERE}`" not in page


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
