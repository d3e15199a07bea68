"""Proves what `lanes` reads out of /status, and when it asks the broker instead."""

from typing import Any

import pytest

from service.commands.lanes.overview import Lane, told_by_importer
from service.commands.status_reading import Process

CLOSED = {
    "entity_type": 128,
    "state": "closed",
    "reason": "scope",
    "since": "2026-03-01T12:00:00+00:00",
    "next_try_seconds": 12.3,
    "parked": 17,
}


def process(**status: Any) -> Process:
    """Return a process that tells so."""
    return Process("10.0.0.1", {"state": "flowing", "active": True, **status})


def test_a_queue_without_a_closed_lane_is_an_open_lane() -> None:
    """Its events flow back; the closed ones stand beside it, by number."""
    told = told_by_importer(
        process(
            lanes=[CLOSED],
            parked=[
                {"queue": "q.128", "entity_type": 128, "reason": "lane", "messages": 17},
                {"queue": "q.2", "entity_type": 2, "reason": "lane", "messages": 3},
                {"queue": "q.links", "entity_type": None, "reason": "link", "messages": 1},
            ],
        )
    )
    assert told is not None
    assert [(2, "open", 3), (128, "closed", 17)] == [
        (each.entity_type_id, each.state, each.parked) for each in told.lanes
    ]
    assert [("q.128", 17), ("q.2", 3), ("q.links", 1)] == [
        (each.queue, each.messages) for each in told.parked
    ]


@pytest.mark.parametrize(
    "status",
    [
        {"active": False, "lanes": [], "parked": []},
        {"lanes": []},
        {"parked": []},
        {"lanes": "x", "parked": []},
        {},
    ],
)
def test_who_cannot_know_is_not_believed(status: dict[str, Any]) -> None:
    """A stand-by, or a version without lanes."""
    assert told_by_importer(process(**status)) is None


def test_strange_members_are_no_traceback() -> None:
    """What is not told stays unknown."""
    told = told_by_importer(
        process(
            lanes=[{"entity_type": 5, "since": 7, "next_try_seconds": "soon"}, 3, {}],
            parked=[None, {"entity_type": None}, {"entity_type": "x", "messages": "many"}],
        )
    )
    assert told is not None
    assert [Lane(5, "", None, None, None, None)] == told.lanes
    assert [("", None), ("", None)] == [(each.queue, each.messages) for each in told.parked]
