"""Proves which queues and events an operator's command is about."""

from typing import cast

import pytest

from service.commands.lanes.moving import Wanted
from service.rabbit.parked import InnerDepth, Parked

QUEUES = [InnerDepth(f"p.{part}", part, 1) for part in ("doubtful", "links", "2", "128")]


@pytest.mark.parametrize(
    ("wanted", "parts"),
    [
        (Wanted(None, links=False), ["doubtful", "2", "128"]),
        (Wanted(None, links=True), ["doubtful", "links", "2", "128"]),
        (Wanted(2, links=False), ["doubtful", "2"]),
        (Wanted(2, links=True), ["doubtful", "links", "2"]),
        (Wanted(31, links=True), ["doubtful", "links"]),
    ],
)
def test_what_waits_for_links_is_left_unless_it_is_named(wanted: Wanted, parts: list[str]) -> None:
    """A type has its lane's queue, and may stand in those that all share."""
    assert parts == [each.part for each in wanted.queues(QUEUES)]


class _Event:
    def __init__(self, entity_type_id: int | None) -> None:
        self.entity_type_id = entity_type_id


class _Parked:
    def __init__(self, entity_type_id: int | None, part: str) -> None:
        self.event, self.part = _Event(entity_type_id), part


@pytest.mark.parametrize(
    ("wanted", "own", "part", "expected"),
    [
        (None, 1, "doubtful", True),
        (2, 2, "doubtful", True),
        (2, 1, "doubtful", False),
        (2, None, "2", True),
        (2, None, "doubtful", False),
    ],
)
def test_an_event_without_a_readable_type_has_that_of_its_lane(
    wanted: int | None, own: int | None, part: str, *, expected: bool
) -> None:
    """In a queue that all types share nobody knows whose it is."""
    found = cast("Parked", _Parked(own, part))
    assert expected == Wanted(wanted, links=True).holds(found)
