"""Proves that a slow broker is given more time until it is reached, and a quick one none."""

from service.domain.patience import LASTED_SECONDS, MOST, STEADY_SECONDS, Patience


def test_each_late_answer_doubles_the_time_up_to_a_ceiling() -> None:
    """Twice the time at each next try, eight times at most."""
    patience = Patience()
    factors = []
    for _ in range(5):
        patience.ended(0.0, late=True)
        factors.append(patience.factor)
    assert [2, 4, 8, 8, 8] == factors
    assert MOST == patience.factor


def test_an_end_for_another_reason_changes_no_time() -> None:
    """A refused or cut connection tells nothing of how slow the broker is."""
    patience = Patience(factor=4)
    patience.ended(0.0, late=False)
    assert 4 == patience.factor


def test_a_connection_that_came_up_and_soon_ended_late_keeps_what_was_learnt() -> None:
    """Otherwise a slow broker would be given up over and over, each time after coming up."""
    patience = Patience(factor=4)
    patience.ended(STEADY_SECONDS - 1, late=True)
    assert 8 == patience.factor


def test_a_steady_connection_starts_anew() -> None:
    """What was slow long ago says nothing; that it ended late says something."""
    patience = Patience(factor=8)
    patience.ended(STEADY_SECONDS + 1, late=False)
    assert 1 == patience.factor
    patience.ended(STEADY_SECONDS + 1, late=True)
    assert 2 == patience.factor


def test_tries_are_counted_until_one_lasted() -> None:
    """The next wait is short again only after a connection that was up for a while."""
    patience = Patience()
    assert [0, 1, 2] == [patience.ended(0.0, late=False) for _ in range(3)]
    assert 3 == patience.ended(LASTED_SECONDS - 1, late=False)
    assert 0 == patience.ended(LASTED_SECONDS + 1, late=False)
    assert 1 == patience.ended(0.0, late=False)
