"""Report: the same rows for people, for logs and for programs."""

import json

import pytest

from service import __version__
from service.commands.check import report
from service.commands.check.rows import Row, RowStatus, fail, failed, ok, unknown, warn

GOOD = ok("broker.alarms", "broker", "none")
POOR = warn("queue.limits", "queue q", "message-ttl 1 ms", "take it off")
DARK = unknown("broker.management", "management API", "not set")
BAD = fail("portal.type", "type 7", "has no field", "make one", "do it")


@pytest.mark.parametrize(
    ("rows", "fails"), [([], False), ([GOOD, POOR, DARK], False), ([GOOD, BAD], True)]
)
def test_only_failed_rows_fail(rows: list[Row], *, fails: bool) -> None:
    """Warnings and unknowns stop nobody."""
    assert fails is failed(rows)


def test_lines_are_plain_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not right comes last, each with its remedy; the last line names it once more."""
    report.write([GOOD, POOR, DARK, BAD], as_json=False)
    assert [
        "ok       broker, alarms: none",
        "unknown  management API: not set",
        "warn     queue q, limits: message-ttl 1 ms",
        "         -> take it off",
        "fail     type 7: has no field",
        "         -> make one",
        "            do it",
        "not fit: 1 ok, 1 warn, 1 fail, 1 unknown: type 7",
    ] == capsys.readouterr().out.splitlines()


def test_json_has_its_promised_members(capsys: pytest.CaptureFixture[str]) -> None:
    """Keep names that programs rely on."""
    report.write([GOOD, BAD], as_json=True)
    assert {
        "schema": 1,
        "version": __version__,
        "passed": False,
        "counts": {"ok": 1, "warn": 0, "fail": 1, "unknown": 0},
        "rows": [
            {
                "check": "broker.alarms",
                "subject": "broker",
                "status": "ok",
                "found": "none",
                "remedy": None,
                "command": None,
            },
            {
                "check": "portal.type",
                "subject": "type 7",
                "status": "fail",
                "found": "has no field",
                "remedy": "make one",
                "command": "do it",
            },
        ],
    } == json.loads(capsys.readouterr().out)


def test_summary_tells_the_verdict() -> None:
    """Say in a word what the exit code says."""
    assert "fit: 1 ok, 1 warn" == report.summary([GOOD, POOR])


def test_every_status_has_a_tone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Show a table to a terminal, whatever the rows are."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    rows = [Row("broker.x", "broker", status, "found", "do") for status in RowStatus]
    report.write(rows, as_json=False)
    shown = capsys.readouterr().out
    assert len(RowStatus) == shown.count("\x1b[0m")


def test_at_a_terminal_good_rows_are_short_and_others_wrapped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bad ones stay on the screen; a command is never broken."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    words, command = "many words " * 20, "rabbitmqctl set_policy " + "x" * 90
    bad = fail("queue.full", "queue q", words, words, command)
    report.write([bad, ok("settings.memory", "settings", words)], as_json=False)
    first, *others = capsys.readouterr().out.splitlines()
    assert ("ok  ", "…", 80) == (first[:4], first[-1], len(first))
    assert [command] == [line.strip() for line in others if len(line) > 80]
    assert "queue q, full" in others[-1]
