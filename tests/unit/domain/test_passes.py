"""Proves when inner queues are read: in passes that end, and not again and again for nothing."""

from service.domain.parking import LINKS
from service.domain.passes import AT_MOST_EVERY, Passes

QUEUE = "doubtful"


def passes() -> Passes:
    """Return passes of which none was made."""
    return Passes(interval=15.0, longest=60.0)


def test_a_queue_is_read_as_soon_as_it_is_known() -> None:
    """Something may wait there since before this process began."""
    kept = passes()
    assert [] == kept.due(0.0)
    kept.known(QUEUE, 1.0)
    kept.known(QUEUE, 99.0)
    assert [QUEUE] == kept.due(1.0)


def test_a_pass_ends_with_what_lay_there_at_its_start() -> None:
    """What still waits goes to the end: else it would go round for ever."""
    kept = passes()
    kept.known(QUEUE, 0.0)
    kept.took(QUEUE, 20, 25, 0.0)
    assert kept.under_way(QUEUE)
    # Twenty were put back meanwhile.
    kept.took(QUEUE, 20, 25, 1.0)
    assert kept.under_way(QUEUE)
    kept.took(QUEUE, 5, 40, 2.0)
    assert not kept.under_way(QUEUE)
    assert ([], [QUEUE]) == (kept.due(14.9), kept.due(15.0))


def test_the_interval_grows_while_what_is_seen_waits_on() -> None:
    """An empty queue is asked at the first interval: a reader may have held what is in it."""
    kept = passes()
    kept.known(QUEUE, 0.0)
    now = 0.0
    for interval in (15.0, 30.0, 60.0, 60.0):
        kept.took(QUEUE, 1, 0, now)
        assert ([], [QUEUE]) == (kept.due(now + interval - 0.1), kept.due(now + interval))
        now += interval
    kept.took(QUEUE, 0, 0, now)
    now += 60.0
    kept.took(QUEUE, 0, 0, now)
    assert [QUEUE] == kept.due(now + 15.0)


def test_an_import_hastens_the_next_pass_but_not_more_than_so_often() -> None:
    """Every five seconds at most, and of a queue that is there."""
    kept = passes()
    kept.hasten(QUEUE, 0.0)
    assert [] == kept.due(99.0)
    kept.known(QUEUE, 0.0)
    kept.took(QUEUE, 1, 0, 0.0)
    kept.hasten(QUEUE, 1.0)
    assert ([], [QUEUE]) == (kept.due(AT_MOST_EVERY - 0.1), kept.due(AT_MOST_EVERY))


def test_a_pass_is_made_when_something_can_be_decided() -> None:
    """Sooner than the interval, never later."""
    kept = passes()
    kept.known(QUEUE, 0.0)
    kept.took(QUEUE, 1, 0, 0.0)
    kept.by(QUEUE, 8.0)
    kept.by(QUEUE, 99.0)
    assert ([], [QUEUE]) == (kept.due(7.9), kept.due(8.0))


def test_a_lane_that_opens_is_read_at_once() -> None:
    """Whenever its turn would have been."""
    kept = passes()
    kept.known("2", 0.0)
    kept.took("2", 1, 0, 0.0)
    kept.start("2", 3.0)
    assert ["2"] == kept.due(3.0)


def test_what_waits_for_items_is_looked_at_when_a_lane_opens() -> None:
    """It may have waited for the lane next."""
    kept = passes()
    kept.known(LINKS, 0.0)
    kept.took(LINKS, 1, 0, 0.0)
    kept.start("2", AT_MOST_EVERY)
    assert ["links", "2"] == kept.due(AT_MOST_EVERY)


def test_who_is_active_no_more_forgets_his_passes() -> None:
    """Another process reads now."""
    kept = passes()
    kept.known(QUEUE, 0.0)
    kept.took(QUEUE, 1, 9, 0.0)
    kept.forget()
    assert [] == kept.due(99.0)
    assert not kept.under_way(QUEUE)
