"""Proves how letters are counted."""

from datetime import UTC, datetime, timedelta

import pytest

from service.commands.dlq.groups import Groups
from service.commands.moments import age
from tests.unit.commands.dlq.samples import FAILED_AT, body, letter, ours


def test_letters_are_grouped_by_kind_and_code() -> None:
    """The largest group first; the oldest letter is its sample."""
    groups = Groups()
    older = (FAILED_AT - timedelta(days=1)).isoformat()
    groups.add(letter(headers=ours(error_kind="malformed", error_code="NOT_JSON")))
    groups.add(letter())
    groups.add(letter(body(entity_type=1), ours(event_id="old", failed_at=older)))
    first, second = groups
    assert {
        "kind": "rejected",
        "code": "CRM_FIELD_ERROR_REQUIRED",
        "count": 2,
        "oldest": "2026-02-28T12:00:00Z",
        "newest": "2026-03-01T12:00:00Z",
        "sampleId": "old",
        "entityTypes": {"2": 1, "1": 1},
    } == first.as_json()
    assert ("malformed", 1, 3) == (second.kind, second.count, groups.count)


def test_a_letter_without_a_time_is_counted() -> None:
    """Its group has no oldest then."""
    groups = Groups()
    groups.add(letter(headers=ours(failed_at=None)))
    [group] = groups
    assert (1, None, "e") == (group.count, group.oldest, group.sample)


@pytest.mark.parametrize(
    ("back", "expected"),
    [(30, "30s ago"), (300, "5m ago"), (7200, "2h ago"), (200_000, "2d ago"), (-5, "0s ago")],
)
def test_an_age_is_one_number(back: int, expected: str) -> None:
    """The largest unit of which there are two."""
    moment = datetime.now(UTC) - timedelta(seconds=back)
    assert expected == age(moment)
