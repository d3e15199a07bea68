"""Tests that the log sums up once a minute what happened, and says nothing when nothing did."""

import pytest

from service.domain.recent_events import Ended, RecentEvents
from service.telemetry.minute_summary import Minute


def ended(outcome: str, code: str | None = None) -> Ended:
    """Return the end of an event."""
    return Ended("e", 2, outcome, code, 1.0, 0.0)


def test_a_minute_in_which_something_happened_has_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It tells what came and how it ended since the last one."""
    caplog.set_level("INFO", "service")
    history = RecentEvents()
    minute = Minute(history, 0.0)
    for each in (ended("imported"), ended("imported"), ended("failed", "100")):
        history.add(each)
    for second in range(1, 121):
        minute.look(float(second), received=5, held=2, oldest=3.0)
    history.add(ended("failed", "100"))
    minute.look(180.0, received=5, held=0, oldest=0.0)
    first, second_line = (each.__dict__ for each in caplog.records)
    assert (5, 2, 0, 1, {"100": 1}, 2, 3.0) == tuple(
        first[name]
        for name in (
            *("received", "imported", "duplicate", "failed", "failed_by_code", "held"),
            "oldest_held_seconds",
        )
    )
    assert (0, 1) == (second_line["received"], second_line["failed"])


def test_a_quiet_minute_has_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """What is held, but does not move, is the metrics' affair."""
    caplog.set_level("INFO", "service")
    minute = Minute(RecentEvents(), 0.0)
    for second in range(600):
        minute.look(float(second), received=0, held=9, oldest=500.0)
    assert [] == caplog.records
