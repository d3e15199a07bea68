"""The forecast of an import's time: never shorter than can be, and not much longer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.events import BatchKey
from service.domain.forecast import ASSUMED, OVERHEAD, Forecast, Limits, forecast, seconds
from tests.benchmarks import planner

LIMITS = Limits(slots=2, items=20, rate=2.0, burst=50.0, budget=420.0, window=600.0)
DEALS, LEADS = BatchKey(2, original_names=False), BatchKey(1, original_names=False)


def test_few_cheap_items_take_the_time_of_their_calls() -> None:
    """Nothing else holds them up."""
    assert pytest.approx((1.0 + OVERHEAD) / 2) == seconds(1, 1.0, LIMITS)


def test_the_bucket_holds_up_many_small_calls() -> None:
    """The first burst leaves at once, the rest at the portal's rate; look-ups count too."""
    assert pytest.approx(475.0) == seconds(1000, 0.0, LIMITS)
    assert pytest.approx(500.0) == seconds(1000, 0.0, LIMITS, look_ups=50)


def test_the_budget_holds_up_dear_items() -> None:
    """The budget is spent at once, and again in every window."""
    assert pytest.approx(210.0, rel=0.01) == seconds(10, 420.0, LIMITS)
    assert 600.0 < seconds(20, 421.0, LIMITS) < 610.0
    assert pytest.approx(1800.0 + 210.0, rel=0.01) == seconds(80, 4 * 420.0, LIMITS)


def test_what_is_spent_already_is_missing() -> None:
    """As the importer's status tells."""
    spent = Limits(**{name: getattr(LIMITS, name) for name in Limits.__slots__} | {"used": 420.0})
    assert 600.0 < seconds(1, 1.0, spent)


def test_without_a_budget_only_calls_count() -> None:
    """A self-hosted portal has none."""
    free = Limits(2, 20, 2.0, 50.0, 0.0, 600.0)
    assert pytest.approx(5000.0, rel=0.01) == seconds(10, 10_000.0, free)


def test_a_cost_that_nobody_measured_makes_a_wide_span() -> None:
    """And its type is named; one that was learnt makes a narrow one."""
    told = forecast({DEALS: 100, LEADS: 100}, LIMITS, {2: 0.5})
    assert (10, (1,)) == (told.calls, told.assumed)
    assert told.low < told.high
    known = forecast({DEALS: 100}, LIMITS, {2: 0.5})
    assert () == known.assumed
    assert known.high / known.low < ASSUMED[1] / ASSUMED[0]
    assert known.low < seconds(5, 50.0, LIMITS) < known.high


def test_dear_items_go_in_smaller_calls() -> None:
    """As the importer sends them, so that no call comes near the portal's cut."""
    assert 20 < forecast({DEALS: 100}, LIMITS, {2: 10.0}).calls


def test_nothing_takes_no_time() -> None:
    """An empty file, or one of which nothing is good."""
    assert Forecast(0, 0.0, 0.0, ()) == forecast({}, LIMITS, {})


@given(
    calls=st.integers(1, 300),
    item=st.floats(0.01, 3.0),
    rate=st.floats(0.5, 5.0),
    burst=st.integers(1, 250),
)
def test_it_is_near_to_the_best_plan(calls: int, item: float, rate: float, burst: int) -> None:
    """A planner who knows everything needs as long, give or take a window of the budget."""
    limits = Limits(2, 20, rate, float(burst), 420.0, 600.0)
    cost = 20 * item
    best = planner.makespan(
        [cost + OVERHEAD] * calls, planner.Limits(2, rate, float(burst), 420.0)
    )
    told = seconds(calls, calls * cost, limits)
    assert told <= 1.3 * best + 600.0
    assert best <= 1.3 * told + 600.0
