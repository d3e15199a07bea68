"""Tests how the end of an event is counted and told."""

import logging
from typing import Any

import pytest

from service.domain.outcomes import Failed, FailureKind, Imported, Outcome
from service.importer.outcome_metrics import Reckoner
from service.telemetry.metrics import Metrics
from tests.fakes import FakeDelivery, item_event, malformed

REFUSED = Failed(FailureKind.REJECTED, "100", "the portal's own words")


class Room:
    """A reckoner at second 100 whose counts can be read."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.reckoner = Reckoner(self.metrics, clock=lambda: 100.0)

    def end(self, outcome: Outcome | None, *, born_at: float = 90.0, **event: Any) -> None:
        """Let an event end that was received ten seconds ago."""
        delivery = FakeDelivery(item_event("a", **event), received_at=90.0, born_at=born_at)
        self.reckoner.ended(delivery, outcome, batch_id="b1", attempts=2)

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of a metric."""
        return self.metrics.registry.get_sample_value(f"importer_{name}", labels)


@pytest.mark.parametrize(("born_at", "age"), [(-500.0, 600.0), (90.0, 10.0), (130.0, 0.0)])
def test_age_counts_from_the_events_own_time_and_latency_from_receipt(
    born_at: float, age: float
) -> None:
    """A time ahead of ours counts as none."""
    room = Room()
    room.end(Imported(1), born_at=born_at)
    assert age == room.value("event_age_seconds_sum", outcome="imported")
    assert 10.0 == room.value("end_to_end_latency_seconds_sum", outcome="imported")
    assert age == room.reckoner.history.last[0].age_seconds


def test_a_type_gets_its_own_label_with_its_first_item() -> None:
    """What failed before is counted as `other`."""
    room = Room()
    for outcome in (REFUSED, Imported(1), REFUSED):
        room.end(outcome, entity_type_id=1044)
    assert [1.0, 1.0, 1.0] == [
        room.value("items_total", entity_type=label, outcome=outcome)
        for label, outcome in (("other", "failed"), ("1044", "imported"), ("1044", "failed"))
    ]


def test_a_copy_that_shares_an_outcome_counts_wherever_outcomes_are_counted() -> None:
    """In the metrics and in /status; among the last events it stands once."""
    room = Room()
    for outcome in (Imported(1), None):
        room.end(outcome)
    assert 1.0 == room.value("items_total", entity_type="2", outcome="duplicate")
    history = room.reckoner.history
    assert ({"imported": 1, "duplicate": 1}, 1) == (dict(history.outcomes), len(history.last))


def test_a_failure_is_told_with_its_batch_and_without_the_portals_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever reads the line finds the call and the dead letter."""
    Room().end(REFUSED)
    Room().end(REFUSED, redrive_count=3)
    record, again = caplog.records
    told = record.__dict__
    assert (None, 3) == (told.get("redriven"), again.__dict__["redriven"])
    assert ("event failed", "WARNING") == (record.getMessage(), record.levelname)
    assert ("a", 2, "b1", 2, "rejected", "100") == tuple(
        told[name] for name in ("event_id", "entity_type", "batch_id", "attempts", "kind", "code")
    )
    assert "own words" not in str(told)


def test_at_debug_every_settled_event_has_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Also what was imported, found again, malformed or a copy."""
    caplog.set_level(logging.DEBUG, "service")
    room = Room()
    for outcome in (Imported(7), Imported(7, duplicate=True), REFUSED, None):
        room.end(outcome)
    wrong = Failed(FailureKind.MALFORMED, "NOT_JSON", "x")
    room.reckoner.ended(FakeDelivery(malformed()), wrong, batch_id=None, attempts=0)
    told = [each.__dict__ for each in caplog.records if each.getMessage() == "event settled"]
    assert [("imported", 7), ("duplicate", 7), ("failed", None), ("duplicate", None)] == [
        (each["outcome"], each["item_id"]) for each in told[:4]
    ]
    assert "malformed" == told[4]["outcome"]
    assert {"event_id", "entity_type", "batch_id", "attempts", "age_seconds"} <= set(told[0])
