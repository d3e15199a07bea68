"""Proves that what is remembered of ended events is bounded and true."""

from service.domain.recent_events import LAST, MAX_CODES, OTHER, Ended, RecentEvents


def ended(number: int, *, outcome: str = "imported", code: str | None = None) -> Ended:
    """Return the end of an event."""
    return Ended(f"e{number}", 2, outcome, code, 1.0, 0.0)


def test_the_last_hundred_are_kept() -> None:
    """Counted are all."""
    history = RecentEvents()
    for number in range(LAST + 50):
        history.add(ended(number))
    assert [f"e{number}" for number in range(50, LAST + 50)] == [
        each.event_id for each in history.last
    ]
    assert {"imported": LAST + 50} == history.outcomes


def test_a_copy_that_shared_an_outcome_is_counted_and_is_no_event_of_its_own() -> None:
    """As the metrics count it."""
    history = RecentEvents()
    history.shared()
    assert ({"duplicate": 1}, 0) == (history.outcomes, len(history.last))


def test_made_up_codes_take_no_endless_space() -> None:
    """The first fifty have their own count, the rest one together."""
    history = RecentEvents()
    for number in range(MAX_CODES + 30):
        history.add(ended(number, outcome="failed", code=f"CODE_{number}"))
    history.add(ended(0, outcome="failed", code="CODE_0"))
    assert (2, 1, 30) == tuple(history.codes[code] for code in ("CODE_0", "CODE_1", OTHER))
    assert MAX_CODES + 1 == len(history.codes)
