"""Tests that equal failures are told ten times a minute, and counted beyond that."""

from service.domain.collapsing import KINDS, MOST, SECONDS, Collapse


def test_ten_of_one_kind_are_told_and_the_next_minute_says_how_many_were_not() -> None:
    """Each kind for itself."""
    collapse = Collapse()
    told = [collapse.admits("a", float(second))[0] for second in range(59)]
    assert [True] * MOST + [False] * 49 == told
    assert (True, 0) == collapse.admits("b", 30.0)
    assert (True, 49) == collapse.admits("a", SECONDS)
    assert (True, 0) == collapse.admits("a", SECONDS + 1)


def test_kinds_are_bounded() -> None:
    """A kind that was forgotten is told anew."""
    collapse = Collapse()
    for _ in range(20):
        collapse.admits(0, 0.0)
    for kind in range(1, KINDS + 1):
        assert (True, 0) == collapse.admits(kind, 1.0)
    assert (True, 0) == collapse.admits(0, 2.0)
