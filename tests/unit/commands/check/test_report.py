"""Report: the same rows for people, for logs and for programs."""

import json

import pytest

from service import __version__
from service.commands.check import report
from service.commands.check.rows import Row, Status, fail, failed, ok, unknown, warn

GOOD = ok("broker.alarms", "broker", "none")
POOR = warn("queue.limits", "queue q", "message-ttl 1 ms", "take it off")
DARK = unknown("broker.management", "management API", "not set")
BAD = fail("portal.type", "type 7", "has no field", "make one")


@pytest.mark.parametrize(
    ("rows", "fails"), [([], False), ([GOOD, POOR, DARK], False), ([GOOD, BAD], True)]
)
def test_only_failed_rows_fail(rows: list[Row], *, fails: bool) -> None:
    """Warnings and unknowns stop nobody."""
    assert fails is failed(rows)


def test_lines_are_plain_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Put the remedy below its row, and a summary last."""
    report.write([GOOD, POOR, DARK, BAD], as_json=False)
    assert [
        "ok       broker, alarms: none",
        "warn     queue q, limits: message-ttl 1 ms",
        "         -> take it off",
        "unknown  management API: not set",
        "fail     type 7: has no field",
        "         -> make one",
        "not fit: 1 ok, 1 warn, 1 fail, 1 unknown",
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
            },
            {
                "check": "portal.type",
                "subject": "type 7",
                "status": "fail",
                "found": "has no field",
                "remedy": "make one",
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
    rows = [Row("broker.x", "broker", status, "found", "do") for status in Status]
    report.write(rows, as_json=False)
    assert "what to do" in capsys.readouterr().out
