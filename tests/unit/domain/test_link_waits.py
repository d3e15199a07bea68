"""Tests what is remembered of events that wait for others."""

from service.domain.events import Identity
from service.domain.link_waits import MAX_NAME, MAX_REFERENCES, LinkWaits


def deal(name: str) -> Identity:
    """Return the identity of a deal."""
    return Identity(2, name)


def test_time_counts_from_one_look_to_the_next() -> None:
    """Only where it counted when the first one ended and when the second one began."""
    waits = LinkWaits()
    for now, counts, counted in (
        (10.0, True, 0.0),
        (15.0, True, 5.0),
        (20.0, False, 0.0),
        (30.0, True, 0.0),
        (31.0, True, 1.0),
    ):
        assert counted == waits.note(deal("a"), [deal("b")], now, counts=counts)
    assert (1, True) == (len(waits), waits.knows(deal("a")))
    waits.end(deal("a"))
    assert (0, False) == (len(waits), waits.knows(deal("a")))
    assert 0.0 == waits.note(deal("a"), [deal("b")], 50.0, counts=True)


def test_an_event_is_awaited_until_nobody_waits_for_it() -> None:
    """Whoever waits for several things waits for each."""
    waits = LinkWaits()
    waits.note(deal("a"), [deal("x"), deal("y"), deal("x")], 0.0, counts=True)
    waits.note(deal("b"), [deal("x")], 0.0, counts=True)
    waits.end(deal("a"))
    assert (True, False) == (waits.is_awaited(deal("x")), waits.is_awaited(deal("y")))
    waits.note(deal("b"), [deal("y")], 0.0, counts=True)
    assert (False, True) == (waits.is_awaited(deal("x")), waits.is_awaited(deal("y")))
    waits.end(deal("b"))
    waits.end(deal("never"))
    assert not waits.is_awaited(deal("y"))


def test_a_circle_is_named_in_order() -> None:
    """Long names are cut; who only waits for one in it has none."""
    waits = LinkWaits()
    long = "c" * 500
    for name, other in (("a", "b"), ("b", long), (long, "a"), ("o", "a")):
        waits.note(deal(name), [deal(other)], 0.0, counts=True)
    assert ["2/a", "2/b", f"2/{'c' * (MAX_NAME - 2)}…"] == waits.circle(deal("a"))
    assert [] == waits.circle(deal("o")) == waits.circle(deal("unknown"))


def test_what_is_remembered_is_bounded() -> None:
    """The oldest are forgotten, and nobody is awaited for them."""
    waits = LinkWaits()
    for number in range(MAX_REFERENCES + 10):
        waits.note(deal(f"a{number}"), [deal(f"x{number}")], 0.0, counts=True)
    assert MAX_REFERENCES == len(waits)
    assert not waits.knows(deal("a9"))
    assert not waits.is_awaited(deal("x9"))
    assert waits.is_awaited(deal("x10"))
