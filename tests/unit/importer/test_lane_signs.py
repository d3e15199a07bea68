"""What the metrics of lanes and inner queues say."""

from service.domain.lanes import ClosedLane, LaneState
from service.domain.outcomes import PauseReason
from service.importer.lane_signs import LaneSigns
from service.telemetry.labels import MAX_LANES
from service.telemetry.metrics import Metrics


class Shown:
    """Signs whose metrics can be read."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.signs = LaneSigns(self.metrics, 0.0)

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of a metric."""
        return self.metrics.registry.get_sample_value(f"importer_{name}", labels)


def lane(number: int, reason: PauseReason = PauseReason.SCOPE) -> ClosedLane:
    """Return a lane that is closed."""
    return ClosedLane(number, LaneState.CLOSED, reason, 0.0, 60.0)


def test_a_closed_lane_is_shown_until_it_opens_and_its_time_counts() -> None:
    """The counter stays; the gauge says what is now."""
    shown = Shown()
    shown.signs.show_lanes([], 1.0)
    shown.signs.show_lanes([lane(128)], 2.0)
    shown.signs.show_lanes([lane(128)], 5.0)
    assert 1 == shown.value("lane_closed", entity_type="128", reason="scope")
    shown.signs.show_lanes([], 9.0)
    assert 0 == shown.value("lane_closed", entity_type="128", reason="scope")
    assert 4 == shown.value("paused_seconds_total", lane="128", reason="scope")


def test_a_lane_that_closes_for_another_reason_is_shown_once() -> None:
    """Its right was given, and now its plan ends."""
    shown = Shown()
    shown.signs.show_lanes([lane(128)], 1.0)
    shown.signs.show_lanes([lane(128, PauseReason.PLAN)], 2.0)
    assert 0 == shown.value("lane_closed", entity_type="128", reason="scope")
    assert 1 == shown.value("lane_closed", entity_type="128", reason="plan")


def test_lanes_without_a_label_of_their_own_are_counted_together() -> None:
    """Their events add up; their time is no more than the time that passed."""
    shown = Shown()
    many = [1000 + n for n in range(MAX_LANES + 2)]
    shown.signs.show_lanes([lane(each) for each in many], 3.0)
    assert 3 == shown.value("paused_seconds_total", lane="other", reason="scope")
    depths = {str(each): 10 for each in many}
    shown.signs.show_waiting(depths, dict.fromkeys(depths, "scope"), 4.0)
    assert 20 == shown.value("parked_messages", entity_type="other", reason="scope")
    assert 10 == shown.value("parked_messages", entity_type="1000", reason="scope")


def test_doubt_and_links_are_of_all_types() -> None:
    """They wait in one queue each; the older one counts."""
    shown = Shown()
    shown.signs.oldest.put("links", "e", 10.0, 11.0)
    shown.signs.oldest.put("doubtful", "e", 40.0, 41.0)
    reasons = {"links": "link", "doubtful": "doubt"}
    shown.signs.show_waiting({"links": 3, "doubtful": 4}, reasons, 50.0)
    assert 3 == shown.value("parked_messages", entity_type="all", reason="link")
    assert 4 == shown.value("parked_messages", entity_type="all", reason="doubt")
    assert 40 == shown.value("oldest_parked_seconds", entity_type="all")


def test_a_queue_that_is_gone_holds_nothing() -> None:
    """Somebody deleted it, or its events wait for another reason now."""
    shown = Shown()
    shown.signs.oldest.put("128", "e", 10.0, 11.0)
    shown.signs.show_waiting({"128": 3}, {"128": "scope"}, 50.0)
    shown.signs.show_waiting({"128": 3}, {"128": "plan"}, 51.0)
    assert 0 == shown.value("parked_messages", entity_type="128", reason="scope")
    shown.signs.show_waiting({}, {"128": "plan"}, 52.0)
    assert 0 == shown.value("parked_messages", entity_type="128", reason="plan")
    assert 0 == shown.value("oldest_parked_seconds", entity_type="128")
