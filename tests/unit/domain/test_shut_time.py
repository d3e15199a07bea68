"""Proves that waiting is counted without the time in which nothing could be imported."""

from service.domain.shut_time import MAX_TIMES, ShutTime


def test_what_was_never_shut_has_no_shut_time() -> None:
    """Ending it changes nothing."""
    shut = ShutTime()
    shut.end(5.0)
    assert 0.0 == shut.within(0.0, 9.0)


def test_only_what_lies_between_two_times_counts() -> None:
    """Also of a time that has not ended."""
    shut = ShutTime()
    shut.begin(10.0)
    shut.begin(12.0)
    shut.end(20.0)
    shut.begin(30.0)
    assert (10.0, 5.0, 0.0) == (
        shut.within(0.0, 25.0),
        shut.within(15.0, 25.0),
        shut.within(21.0, 25.0),
    )
    assert 15.0 == shut.within(0.0, 35.0)


def test_so_many_times_are_remembered_and_no_more() -> None:
    """The oldest count as open."""
    shut = ShutTime()
    for number in range(MAX_TIMES + 10):
        shut.begin(10.0 * number)
        shut.end(10.0 * number + 1.0)
    assert float(MAX_TIMES) == shut.within(0.0, 1e9)
