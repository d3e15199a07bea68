"""Proves that a queue that refuses everything is asked anew, seldom and for ever."""

from service.domain import refusals
from service.domain.refusals import FIRST_SECONDS, MAX_SECONDS, Refusals


def asked_anew(refusals: Refusals, seconds: int, start: int = 0) -> list[int]:
    """Refuse once a second; return when a new connection was wanted."""
    return [now for now in range(start, start + seconds) if refusals.refused(float(now))]


def test_a_moment_of_refusals_is_waited_for() -> None:
    """A reader may make room at once."""
    assert [] == asked_anew(Refusals(), int(FIRST_SECONDS))


def test_each_connection_is_given_twice_as_long() -> None:
    """A full queue may stay full for a night."""
    found = asked_anew(Refusals(), 3600)
    assert [10, 31, 72, 153, 314, 635, 1236] == found[:7]
    assert MAX_SECONDS + 1 == found[-1] - found[-2]


def test_one_message_taken_ends_the_doubt() -> None:
    """A channel that asks a dead node never gets one through."""
    refusals = Refusals()
    for now in range(0, 100, 5):
        assert [] == asked_anew(refusals, 5, now)
        refusals.confirmed()
    asked_anew(refusals, 300, 100)
    refusals.confirmed()
    assert [410] == asked_anew(refusals, 12, 400)


def test_a_queue_refuses_once_its_refusals_last() -> None:
    """It is told once for each reason, and how long it lasted when it ends."""
    queue = refusals.QueueRefusal()
    lasts = refusals.TOLERATED_SECONDS
    assert not queue.begins("full", 0.0)
    assert queue.begins("full", lasts)
    assert not queue.begins("full", lasts + 1)
    assert not queue.untried(lasts + 1)
    assert queue.untried(lasts + 1 + refusals.UNTRIED_SECONDS)
    assert queue.ends(lasts + 2) == lasts + 2
    assert queue.ends(lasts + 3) is None
