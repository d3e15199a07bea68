"""Proves that hardly any fresh budget is wasted after a spent one, over hours of made-up time."""

import pytest

from tests.support.spent_budget import Portal, play


@pytest.mark.parametrize("start", [0.0, 17.0, 59.0, 1234.5])
@pytest.mark.parametrize("limit", [60.0, 120.0, 240.0, 410.0])
def test_after_a_ban_of_300_seconds_no_fresh_budget_is_wasted(limit: float, start: float) -> None:
    """The first call reaches the portal in the second in which the ban ends."""
    portal = Portal(limit, ban=300.0)
    play(portal, start)
    assert 0 < portal.refusals
    assert 1.0 > portal.wasted


@pytest.mark.parametrize("start", [0.0, 17.0, 59.0, 1234.5])
@pytest.mark.parametrize("limit", [60.0, 120.0, 240.0, 410.0])
def test_where_buckets_leave_one_by_one_the_first_that_leaves_is_used(
    limit: float, start: float
) -> None:
    """The portal told when: a smaller limit than ours wastes seconds in six hours."""
    portal = Portal(limit, ban=None)
    play(portal, start)
    assert 0 < portal.refusals
    assert 10.0 > portal.wasted
