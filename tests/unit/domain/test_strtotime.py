"""Tests what a text is taken for as a date, beside the recorded answers of PHP."""

import pytest

from service.domain import strtotime


@pytest.mark.parametrize("text", ["", "x" * (strtotime.LONGEST + 1), "10:00 11:00 1200", "%"])
def test_a_text_that_is_no_date_is_not_read(text: str) -> None:
    """Nothing, too much, several times of day."""
    assert strtotime.read(text) is None


def test_four_digits_after_a_time_of_day_are_a_year() -> None:
    """Not another time."""
    reading = strtotime.read("10:00 2025")
    assert reading is not None
    assert 2025 == reading.year
