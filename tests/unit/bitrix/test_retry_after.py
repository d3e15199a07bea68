"""Tests how long an answer may ask to be left alone."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bitrix.retry_after import retry_after

SENT = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("999999999", 3600.0),
        ("9" * 5000, 3600.0),
        ("0", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
    ],
)
def test_seconds_are_believed_up_to_an_hour(value: str, seconds: float | None) -> None:
    """More would be a portal's mistake; what is no number of seconds says nothing."""
    assert seconds == retry_after({"Retry-After": value})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun, 06 Nov 1994 11:50:37 +0300", 60.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 3600.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Sun, 99 Nov 1994 08:50:37 GMT", None),
        ("Sun, 06 Nov 99999999 08:50:37 GMT", None),
    ],
)
def test_a_date_counts_from_the_answers_own_date(value: str, seconds: float | None) -> None:
    """In each format of HTTP; the past says nothing, and a clock of ours that is wrong neither."""
    assert seconds == retry_after({"Retry-After": value, "Date": SENT})


@pytest.mark.parametrize("date", [{}, {"Date": "yesterday"}])
def test_a_date_counts_from_our_clock_where_the_answer_has_no_date(date: dict[str, str]) -> None:
    """A gateway may leave it out."""
    until = formatdate(time.time() + 100, usegmt=True)
    assert 100.0 == pytest.approx(retry_after({"Retry-After": until, **date}), abs=2.0)


@given(value=st.text(max_size=40), date=st.text(max_size=40))
def test_whatever_the_headers_hold_the_wait_is_bounded(value: str, date: str) -> None:
    """Nothing raises; an hour at most."""
    seconds = retry_after({"Retry-After": value, "Date": date})
    assert seconds is None or 0 < seconds <= 3600
