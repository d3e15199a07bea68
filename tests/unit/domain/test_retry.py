"""Tests how long the wait before the next try is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.retry import RetryPolicy, broker_delay

POLICY = RetryPolicy(base=1.0, cap=60.0, max_attempts=5)
SECONDS = st.floats(min_value=0.001, max_value=1e4)


@pytest.mark.parametrize(
    ("attempt", "longest"),
    [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0), (4, 16.0), (5, 32.0), (6, 60.0), (7, 60.0)],
)
def test_the_longest_wait_doubles_up_to_the_cap(attempt: int, longest: float) -> None:
    """With the worst chance the wait is the whole ceiling."""
    assert longest == POLICY.delay(attempt, chance=1.0)


@pytest.mark.parametrize("attempt", [0, 1, 2, 30])
def test_the_jitter_is_full(attempt: int) -> None:
    """Chance spreads the waits evenly from nothing to the ceiling."""
    ceiling = POLICY.delay(attempt, chance=1.0)
    assert [0.0, ceiling / 4, ceiling / 2] == [POLICY.delay(attempt, c) for c in (0.0, 0.25, 0.5)]


def test_a_hint_of_the_server_lengthens_the_wait_beyond_the_cap() -> None:
    """Who says "in 90 seconds" is not asked after 60."""
    assert 90.0 == POLICY.delay(9, chance=1.0, hint=90.0)
    assert 60.0 == POLICY.delay(9, chance=1.0, hint=0.5)


@given(SECONDS, SECONDS, st.integers(0, 10**6), st.floats(0, 1), st.none() | st.floats(0, 1e6))
def test_any_wait_is_capped_and_never_undercuts_the_hint(
    base: float, more: float, attempt: int, chance: float, hint: float | None
) -> None:
    """However often it failed: no overflow, no endless wait, no impatience."""
    policy = RetryPolicy(base=base, cap=base + more, max_attempts=1)
    delay = policy.delay(attempt, chance, hint)
    assert (hint or 0.0) <= delay <= max(policy.cap, hint or 0.0)
    assert policy.delay(attempt, chance) <= policy.delay(attempt + 1, chance)


def test_the_broker_is_tried_again_after_half_a_ceiling_or_more() -> None:
    """Never later than the ceiling."""
    assert (0.1, 0.2) == (broker_delay(0, 0.0), broker_delay(0, 1.0))
