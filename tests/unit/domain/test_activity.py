"""Proves when a process says that it is active, and when one wakes an empty intake."""

from service.domain.activity import Activity, Step
from service.domain.inner_queue import Asking


def activity() -> Activity:
    """Return what a process knows that was just attached."""
    return Activity(Asking(probe=15.0, cap=50.0))


def steps(one: Activity, start: int, end: int, *, active: bool | None) -> list[tuple[int, Step]]:
    """Return what is to be done in each second, where anything is."""
    found = [(now, one.step(now, attached=True, active=active)) for now in range(start, end)]
    return [(now, step) for now, step in found if step is not Step.NOTHING]


def test_an_active_process_says_so_twice_in_each_interval() -> None:
    """So that one note may be late."""
    assert [0, 8, 16, 24] == [now for now, _ in steps(activity(), 0, 30, active=True)]


def test_who_gets_nothing_and_hears_of_nobody_wakes_the_intake() -> None:
    """After an interval; somebody else may have got it, so the next time comes later."""
    waked = steps(activity(), 0, 160, active=None)
    assert [(15, Step.WAKE), (45, Step.WAKE), (95, Step.WAKE), (145, Step.WAKE)] == waked


def test_who_hears_of_an_active_process_waits() -> None:
    """A whole interval after its last note."""
    one = activity()
    assert [] == steps(one, 0, 14, active=None)
    one.heard(14.0)
    assert [] == steps(one, 14, 29, active=None)
    assert [(29, Step.WAKE)] == steps(one, 29, 31, active=None)


def test_nobody_wakes_in_a_pause() -> None:
    """A process whose consumer is not attached begins to wait anew afterwards."""
    one = activity()
    steps(one, 0, 14, active=None)
    assert one.step(14.5, attached=False, active=False) is Step.NOTHING
    assert [(30, Step.WAKE)] == steps(one, 15, 31, active=None)


def test_who_becomes_active_wakes_nobody() -> None:
    """And its interval is short again when it is no more."""
    one = activity()
    steps(one, 0, 20, active=None)
    assert Step.TELL is one.step(20.0, attached=True, active=True)
    assert [(36, Step.WAKE)] == steps(one, 21, 37, active=None)
