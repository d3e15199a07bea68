"""Proves that what keeps results from the broker is told once for each change, and shown."""

import pytest

from service.rabbit.blockage import Blockage
from service.rabbit.confirms import PublishResult
from service.telemetry.metrics import Metrics
from tests.fakes import value

pytestmark = pytest.mark.error_logs
QUEUES = {"succeeded": "ok", "failed": "bad", "dead_letter": "dlq"}


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and event of every line so far."""
    caplog.set_level("INFO")
    return [(each.levelname, each.getMessage()) for each in caplog.records]


def test_a_blocked_broker_is_told_once_and_shown_until_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The line says why, until when, and who must act."""
    metrics = Metrics()
    blockage = Blockage(QUEUES, metrics)
    caplog.set_level("INFO")
    for second in range(100):
        blockage.look(blocked=10 <= second < 70, now=float(second))
        assert (10 <= second < 70) is blockage.blocked
        assert int(blockage.blocked) == value(metrics.broker_blocked)
    assert [
        ("ERROR", "the broker blocks publishers"),
        ("INFO", "the broker takes messages again"),
    ] == told(caplog)
    first, last = (each.__dict__ for each in caplog.records)
    assert {"why", "until", "who_acts"} <= set(first)
    assert 60.0 == last["lasted"]


@pytest.mark.parametrize("result", [PublishResult.NACKED, PublishResult.RETURNED])
def test_a_queue_that_refuses_for_seconds_is_named_once(
    caplog: pytest.LogCaptureFixture, result: PublishResult
) -> None:
    """The others are well; one message that it takes ends it."""
    blockage = Blockage(QUEUES, Metrics())
    caplog.set_level("INFO")
    for second in range(30):
        blockage.answered("failed", result, float(second))
        blockage.answered("succeeded", PublishResult.CONFIRMED, float(second))
    assert ["bad"] == list(blockage.refusing())
    blockage.answered("failed", PublishResult.CONFIRMED, 31.0)
    assert {} == blockage.refusing()
    assert [
        ("ERROR", "a queue refuses what is published"),
        ("INFO", "a queue takes messages again"),
    ] == told(caplog)
    assert "bad" == caplog.records[0].__dict__["queue"]


def test_a_refusal_that_mends_itself_is_no_such_state(caplog: pytest.LogCaptureFixture) -> None:
    """A leader that moves, a queue that was just made, a connection that was lost."""
    blockage = Blockage(QUEUES, Metrics())
    caplog.set_level("INFO")
    for second in (0.0, 2.9):
        blockage.answered("dead_letter", PublishResult.NACKED, second)
    blockage.answered("dead_letter", PublishResult.CONFIRMED, 3.5)
    for second in (10.0, 20.0):
        blockage.answered("dead_letter", PublishResult.LOST, second)
    assert ({}, []) == (blockage.refusing(), told(caplog))


def test_a_queue_that_is_offered_nothing_any_more_is_not_called_refusing_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its last message went back to the intake; nobody knows how the queue is now."""
    blockage = Blockage(QUEUES, Metrics())
    caplog.set_level("INFO")
    for second in (0.0, 5.0):
        blockage.answered("failed", PublishResult.NACKED, second)
    blockage.look(blocked=False, now=64.0)
    assert ["bad"] == list(blockage.refusing())
    blockage.look(blocked=False, now=66.0)
    assert {} == blockage.refusing()
    assert "no message waits any more for a queue that refused" == caplog.records[-1].getMessage()


def test_a_queue_that_changes_its_reason_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    """It was full, and now it is gone."""
    blockage = Blockage(QUEUES, Metrics())
    for second, result in enumerate([*[PublishResult.NACKED] * 6, *[PublishResult.RETURNED] * 6]):
        blockage.answered("failed", result, float(second))
    assert 2 == len(told(caplog))
