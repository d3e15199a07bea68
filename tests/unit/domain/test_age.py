"""Tests from when on the age of an event counts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.age import MAX_AHEAD, MAX_BACK, age_at_receipt

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()


def back(seconds: float) -> datetime:
    """Return a moment so long ago."""
    return datetime.fromtimestamp(NOW, UTC) - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("told", "age"),
    [
        ("2026-03-01T11:58:20Z", 100.0),
        ("2026-03-01t11:58:20z", 100.0),
        ("2026-03-01T14:58:20.000+03:00", 100.0),
        ("2026-03-01T11:59:59.123456789Z", 0.876544),
        ("2026-03-01T12:01:00Z", -60.0),
    ],
)
def test_the_time_of_a_cloud_event_comes_first(told: str, age: float) -> None:
    """Whatever the broker's timestamp says."""
    assert age == pytest.approx(age_at_receipt(told, back(5), NOW))


@pytest.mark.parametrize(
    "told",
    [None, "", "yesterday", "2026-03-01T11:58:20", "2026-02-30T00:00:00Z", 17, "1772366300"],
)
def test_the_timestamp_of_the_message_counts_where_the_event_tells_no_time(told: object) -> None:
    """A time without a zone tells none."""
    assert 5.0 == age_at_receipt(told, back(5), NOW)
    assert 7.0 == age_at_receipt(told, NOW - 7, NOW)
    assert 0.0 == age_at_receipt(told, None, NOW)


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        (-MAX_AHEAD, -MAX_AHEAD),
        (-MAX_AHEAD - 1, 0.0),
        (MAX_BACK, MAX_BACK),
        (MAX_BACK + 1, 0.0),
        (NOW, 0.0),
    ],
)
def test_a_time_that_cannot_be_is_that_of_the_receipt(seconds: float, age: float) -> None:
    """More than a minute ahead, or more than thirty days back; in both forms."""
    assert age == age_at_receipt(back(seconds).isoformat(), None, NOW)
    assert age == age_at_receipt(None, back(seconds), NOW)


@pytest.mark.parametrize("stamped", [NOW * 1000, NOW * 1e6, 2**64, -(2**63), True, "5", 10**400])
def test_milliseconds_and_nonsense_are_no_time(stamped: object) -> None:
    """Some clients write them."""
    assert 0.0 == age_at_receipt(None, stamped, NOW)


@given(st.text() | st.integers() | st.floats() | st.none(), st.integers() | st.floats())
def test_no_value_raises(told: object, stamped: object) -> None:
    """And every age is within its bounds."""
    assert -MAX_AHEAD <= age_at_receipt(told, stamped, NOW) <= MAX_BACK


@pytest.mark.parametrize("stamped", [True, "5", 1e30, datetime.max])  # noqa: DTZ901 - no zone
def test_a_timestamp_that_is_no_time_of_now_says_nothing(stamped: object) -> None:
    """The age counts from the receipt then."""
    assert 0.0 == age_at_receipt(None, stamped, NOW)


class Unholdable(datetime):
    """A moment that the system's clock cannot hold."""

    def timestamp(self) -> float:
        """Fail as the system does."""
        raise OverflowError


def test_a_moment_beyond_the_systems_clock_says_nothing() -> None:
    """The age counts from the receipt then."""
    assert 0.0 == age_at_receipt(None, Unholdable(2026, 3, 1, tzinfo=UTC), NOW)
