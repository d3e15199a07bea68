"""Tests the bounds of the fault table against tables and against their own definition."""

import math

import pytest

from tests.checker.bounds import upper_bound


@pytest.mark.parametrize("tries", [30, 100, 500, 10_000])
def test_none_seen_is_about_three_by_the_number_of_tries(tries: int) -> None:
    """The rule of three, and exactly what it stands for."""
    assert upper_bound(0, tries) == pytest.approx(3 / tries, rel=0.06)
    assert (1 - upper_bound(0, tries)) ** tries == pytest.approx(0.05)


def test_some_seen_fits_published_tables() -> None:
    """Clopper and Pearson, one-sided 95 %."""
    assert upper_bound(1, 10) == pytest.approx(0.3942, abs=1e-4)
    assert upper_bound(5, 50) == pytest.approx(0.1997, abs=1e-3)
    assert upper_bound(2, 100) == pytest.approx(0.0616, abs=1e-4)


@pytest.mark.parametrize(("seen", "tries"), [(1, 10), (3, 40), (7, 600)])
def test_so_few_are_seen_in_one_of_twenty_series_at_the_bound(seen: int, tries: int) -> None:
    """That is what the bound means."""
    share = upper_bound(seen, tries)
    chance = sum(
        math.comb(tries, k) * share**k * (1 - share) ** (tries - k) for k in range(seen + 1)
    )
    assert chance == pytest.approx(0.05)


def test_all_seen_bounds_nothing_and_nonsense_is_refused() -> None:
    """A share is at most one."""
    assert upper_bound(4, 4) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="5 of 4"):
        upper_bound(5, 4)
