"""Tests whether the broker counts as heard, across silences and suspensions."""

from service.domain.hearing import Hearing


def heard(silence: float = 15.0) -> Hearing:
    """Return what has just been heard at time 0."""
    found = Hearing(silence)
    found.answered(0.0, 0.0)
    return found


def test_nothing_was_heard_before_the_first_word() -> None:
    """No call starts."""
    assert not Hearing(15.0).lately(0.0)


def test_a_broker_that_is_silent_for_too_long_is_not_heard() -> None:
    """Until it says something again."""
    hearing = heard()
    for second in range(0, 16, 5):
        assert hearing.lately(float(second))
    assert not hearing.lately(15.1)
    hearing.heard(16.0)
    assert hearing.lately(16.0)


def test_what_comes_in_after_a_suspension_proves_nothing() -> None:
    """It may have lain in a buffer; the answer to a question asked before is no better."""
    hearing = heard()
    hearing.heard(600.0)
    assert not hearing.lately(600.0)
    hearing.answered(1.0, 600.1)
    assert not hearing.lately(600.1)


def test_an_answer_to_a_question_asked_after_a_suspension_is_proof() -> None:
    """The broker and our place at it are still there."""
    hearing = heard()
    assert not hearing.lately(600.0)
    hearing.answered(601.0, 602.0)
    assert hearing.lately(602.0)


def test_a_clock_that_jumps_is_taken_for_a_suspension() -> None:
    """Asking once more is cheap; sending by an old check is not."""
    hearing = heard()
    hearing.heard(3600.0)
    assert not hearing.lately(3600.0)
