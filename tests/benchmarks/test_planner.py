"""The planner that the makespan is measured against is never better than is possible."""

import pytest

from tests.benchmarks.planner import Costs, Limits, burst, makespan, stream

WIDE = Limits(slots=2, rate=1000.0, burst=1000.0, budget=0.0)
COSTS = Costs(call=0.4, item=0.14)

pytestmark = pytest.mark.unit


def test_slots_share_the_calls() -> None:
    """Four calls on two slots take as long as two."""
    assert 6.0 == makespan([3.0] * 4, WIDE)


def test_the_bucket_lets_a_burst_in_and_then_its_rate() -> None:
    """Fifty at once; each further call waits until one has drained."""
    limits = Limits(slots=1000, rate=2.0, burst=50.0, budget=0.0)
    assert 1.0 == makespan([1.0] * 50, limits)
    assert 1.5 == makespan([1.0] * 51, limits)
    assert 6.0 == makespan([1.0] * 60, limits)


def test_the_budget_comes_back_a_minute_at_a_time() -> None:
    """A call starts while the sum is not above the budget, else when the oldest minute leaves."""
    limits = Limits(slots=1, rate=1000.0, burst=1000.0, budget=100.0)
    assert 110.0 == makespan([10.0] * 11, limits)
    assert 610.0 == makespan([10.0] * 12, limits)
    assert 650.0 == makespan([10.0] * 16, limits)


def test_calls_are_full_but_the_last() -> None:
    """Fewer calls cost less: twenty items each, then the rest."""
    assert [pytest.approx(3.2)] * 2 + [pytest.approx(0.68)] == COSTS.calls(42)
    assert [] == COSTS.calls(0)


def test_a_stream_ends_after_its_last_item_and_not_before_its_work_is_done() -> None:
    """Slow arrival counts, or else the work."""
    assert pytest.approx(99.0 + 0.54) == stream(100, 1.0, COSTS, WIDE)
    assert burst(100, COSTS, WIDE) == stream(100, 1000.0, COSTS, WIDE)
