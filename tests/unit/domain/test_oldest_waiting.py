"""Which event of an inner queue waits longest, and how long."""

from service.domain.oldest_waiting import OldestWaiting


def test_waiting_counts_from_receipt_however_often_an_event_is_put_there_again() -> None:
    """A closed lane is tried: its events come and are put back."""
    oldest = OldestWaiting()
    for now in (10.0, 300.0, 600.0):
        oldest.put("128", "e", 5.0, now)
    assert 795 == oldest.seconds("128", 800.0)


def test_a_trial_that_holds_all_that_waits_starts_nothing_anew() -> None:
    """The queue is measured empty meanwhile; what is put back says when it was received."""
    oldest = OldestWaiting()
    oldest.put("128", "e", 5.0, 10.0)
    oldest.measured("128", 0, 100.0)
    oldest.put("128", "e", 5.0, 101.0)
    assert 115 == oldest.seconds("128", 120.0)


def test_an_empty_queue_waits_for_nothing() -> None:
    """Unless something was put there after it was measured."""
    oldest = OldestWaiting()
    oldest.put("links", "e", 5.0, 10.0)
    oldest.measured("links", 0, 9.0)
    assert 15 == oldest.seconds("links", 20.0)
    oldest.measured("links", 0, 30.0)
    assert 0 == oldest.seconds("links", 31.0)
    assert 0 == oldest.seconds("doubtful", 31.0)


def test_what_ended_is_forgotten_by_the_second_pass() -> None:
    """A queue that is never empty is not old for that."""
    oldest = OldestWaiting()
    oldest.put("links", "e", 0.0, 1.0)
    oldest.measured("links", 2, 2.0)
    oldest.pass_began("links")
    assert 100 == oldest.seconds("links", 100.0)
    oldest.put("links", "e", 90.0, 101.0)
    assert 102 == oldest.seconds("links", 102.0)
    oldest.pass_began("links")
    assert 20 == oldest.seconds("links", 110.0)


def test_what_others_put_there_counts_since_it_was_seen() -> None:
    """After a start, nobody has told yet."""
    oldest = OldestWaiting()
    oldest.measured("128", 7, 50.0)
    oldest.measured("128", 7, 65.0)
    assert 20 == oldest.seconds("128", 70.0)
    oldest.put("128", "e", 10.0, 71.0)
    assert 70 == oldest.seconds("128", 80.0)


def test_the_oldest_is_named_until_it_ends() -> None:
    """What was not put there again by the end of a pass has ended."""
    oldest = OldestWaiting()
    assert oldest.event_id("links") is None
    oldest.put("links", "first", 0.0, 1.0)
    oldest.put("links", "second", 5.0, 6.0)
    assert "first" == oldest.event_id("links")
    oldest.pass_began("links")
    oldest.put("links", "second", 5.0, 20.0)
    assert "first" == oldest.event_id("links")
    oldest.pass_began("links")
    assert "second" == oldest.event_id("links")
    oldest.measured("128", 7, 50.0)
    assert oldest.event_id("128") is None
