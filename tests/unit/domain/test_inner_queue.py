"""Proves when an inner queue may be used, and when it is asked again."""

from service.domain.inner_queue import MAX_STRANGERS, Asking, InnerQueue, Strangers, is_old

ASKING = Asking(after=60.0, probe=15.0, cap=40.0)


def queue() -> InnerQueue:
    """Return a queue of which nothing is known."""
    return InnerQueue(ASKING)


def test_what_is_there_is_not_asked_for_again() -> None:
    """Until somebody finds it gone."""
    one = queue()
    assert one.usable(0.0) is None
    assert one.there(5.0)
    assert not one.there(6.0)
    assert one.usable(1e6) is True
    one.gone()
    assert one.usable(1e6) is None


def test_a_missing_right_is_told_once_and_asked_for_at_a_growing_interval() -> None:
    """Twice as long each time, up to the cap; what was seen stays seen."""
    one, now = queue(), 0.0
    assert one.deny("no right", now)
    for wait in (15.0, 30.0, 40.0, 40.0):
        assert one.usable(now + wait - 0.1) is False
        assert not one.ask_due(now + wait - 0.1)
        assert one.usable(now + wait) is None
        assert one.ask_due(now + wait)
        now += wait
        assert not one.deny("no right", now)
    assert one.there(now)
    assert one.usable(now) is True
    assert not one.ask_due(1e6)
    assert one.deny("no right", now)
    assert one.usable(now + 15.0) is None


def test_originals_of_a_young_queue_wait() -> None:
    """Ten seconds from when it was first seen; of one that is unknown nothing was parked."""
    one = queue()
    assert one.ack_after() == 0.0
    one.there(100.0)
    one.there(105.0)
    assert one.ack_after() == 110.0
    one.gone()
    one.there(200.0)
    assert one.ack_after() == 210.0


def test_a_queue_that_was_noted_long_ago_keeps_no_originals() -> None:
    """Not even where this process has just seen it; a note of just now tells nothing."""
    one = queue()
    one.there(100.0, old=is_old(1_000.0, 1_071.0))
    assert one.ack_after() == 100.0
    late = queue()
    late.aged(300.0)
    late.there(300.0)
    late.aged(301.0)
    assert late.ack_after() == 301.0
    assert [False] * 3 == [is_old(at, 1_069.0) for at in (None, 1_000.0, 2_000.0)]


def test_a_queue_that_refuses_for_long_is_left_alone_until_it_can_be_read() -> None:
    """One publish that it takes begins the time anew."""
    one = queue()
    one.there(0.0)
    assert not one.refused("full", 10.0)
    one.took()
    assert not one.refused("full", 69.0)
    assert not one.refused("full", 128.9)
    assert one.usable(128.9) is True
    assert one.refused("full", 129.0)
    assert not one.refused("full", 130.0)
    assert (False, "full") == (one.usable(1e6), one.broken)
    assert not one.probe_due(143.9)
    assert one.probe_due(144.0)
    one.still_broken(144.0)
    assert not one.probe_due(173.9)
    assert one.probe_due(174.0)
    one.well(174.0)
    assert (True, "") == (one.usable(174.0), one.broken)
    assert not one.refused("full", 175.0)


def test_the_second_connection_that_asking_ends_is_the_last() -> None:
    """An answer between them shows that the queue was not the reason."""
    one = queue()
    assert not one.struck("gone", 0.0)
    one.there(1.0)
    assert not one.struck("gone", 2.0)
    assert one.struck("gone", 3.0)
    assert one.usable(3.0) is False
    one.gone()
    assert one.usable(3.0) is None


def test_made_up_types_do_not_fill_the_broker_with_queues() -> None:
    """So many get one, and keep it; a further one gets none, however often it asks."""
    strangers = Strangers()
    many = range(1000, 1000 + MAX_STRANGERS)
    assert all(strangers.admit(each) for each in many)
    assert [False, False] == [strangers.admit(7777), strangers.admit(7777)]
    assert all(strangers.admit(each) for each in many)


def test_one_that_cannot_be_read_alone_either_is_tried_later_and_later() -> None:
    """Twice as long each time, up to the cap."""
    one = queue()
    for _ in range(9):
        one.struck("it ended the channel", 0.0)
    assert one.broken
    assert one.probe_due(15.0)
    one.still_broken(15.0)
    assert (False, True) == (one.probe_due(44.9), one.probe_due(45.0))


def test_a_queue_that_was_read_on_a_connection_of_its_own_is_there() -> None:
    """It was broken before it was ever seen."""
    one = queue()
    for _ in range(9):
        one.struck("it ended the channel", 0.0)
    one.well(5.0)
    assert "" == one.broken
    assert one.usable(6.0) is True
