"""Proves how refused and odd lines are told."""

import pytest

from service.commands.publish.findings import ONE_BY_ONE, Findings
from service.commands.publish.records import Place


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what was said."""
    return capsys.readouterr().err.splitlines()


def test_each_line_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """A row over several lines names all of them; control characters are not shown."""
    findings = Findings()
    findings.refuse(Place.at(2), "no\x1b[2J good")
    findings.refuse(Place(4, 9), "open")
    findings.refuse(Place(1, 3, 7), "bad")
    findings.warn(Place.at(12), "odd")
    findings.note("strange")
    assert [
        "line 2 refused: no\N{REPLACEMENT CHARACTER}[2J good",
        "line 4 refused: open: lines 4 to 9 were not read",
        "line 1 (item 7 of the list) refused: bad",
        "line 12 warning: odd",
        "warning: strange",
    ] == told(capsys)
    assert 3 == findings.refused


def test_many_lines_with_one_fault_are_told_by_their_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No number is left out, and nothing else is said twice a thousand times."""
    findings = Findings()
    for number in [*range(1, 1001), 1003, 1005, 1006]:
        findings.refuse(Place.at(number), f"column {number}: bad")
    findings.refuse(Place.at(1007), "other")
    findings.refuse(Place.at(1008), "other")
    findings.flush()
    lines = told(capsys)
    assert [f"line {n} refused: column {n}: bad" for n in range(1, ONE_BY_ONE + 1)] == (
        lines[:ONE_BY_ONE]
    )
    assert [
        f"lines {ONE_BY_ONE + 1} to 1000 refused, as before",
        "line 1003 refused, as before",
        "lines 1005 to 1006 refused, as before",
        "line 1007 refused: other",
        "line 1008 refused: other",
    ] == lines[ONE_BY_ONE:]
    assert 1005 == findings.refused


def test_items_of_a_list_are_told_by_their_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """They may all stand on one line."""
    findings = Findings()
    for number in range(1, 101):
        findings.refuse(Place(1, 1, number), "bad")
    findings.flush()
    assert f"items {ONE_BY_ONE + 1} to 100 of the list refused, as before" == told(capsys)[-1]
