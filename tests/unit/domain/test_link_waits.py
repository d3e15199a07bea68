"""Tests what is remembered of events that wait for others."""

import tracemalloc

import pytest

from service.domain import link_waits
from service.domain.events import Identity
from service.domain.link_waits import MAX_NAME, LinkWaits


def deal(name: str) -> Identity:
    """Return the identity of a deal."""
    return Identity(2, name)


def test_time_counts_from_one_look_to_the_next() -> None:
    """Only where it counted when the first one ended and when the second one began."""
    waits = LinkWaits()
    for now, counts, counted in (
        (10.0, True, (0.0, 0.0)),
        (15.0, True, (10.0, 5.0)),
        (20.0, False, (15.0, 0.0)),
        (30.0, True, (20.0, 0.0)),
        (31.0, True, (30.0, 1.0)),
    ):
        assert counted == waits.counted(deal("a"), now, counts=counts)
        waits.note(deal("a"), [deal("b")], now, waited=now, counts=counts)
    assert (1, True) == (len(waits), waits.knows(deal("a")))
    waits.end(deal("a"))
    assert (0, False) == (len(waits), waits.knows(deal("a")))
    assert (0.0, 0.0) == waits.counted(deal("a"), 50.0, counts=True)


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


def test_each_event_of_a_circle_names_it_whichever_ends_first() -> None:
    """Whoever waits no more, and waits again later, is in no circle of before."""
    waits = LinkWaits()
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        waits.note(deal(name), [deal(other)], 0.0, counts=True)
    assert ["2/b", "2/c", "2/a"] == waits.circle(deal("b"))
    waits.end(deal("b"))
    assert ["2/a", "2/b", "2/c"] == waits.circle(deal("a"))
    waits.end(deal("a"))
    assert ["2/c", "2/a", "2/b"] == waits.circle(deal("c"))
    waits.end(deal("c"))
    waits.note(deal("c"), [deal("x")], 0.0, counts=True)
    assert [] == waits.circle(deal("c"))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten, an eighth at a time, and nobody is awaited for them."""
    monkeypatch.setattr(link_waits, "MAX_REFERENCES", 800)
    waits = LinkWaits()
    for number in range(810):
        waits.note(deal(f"a{number}"), [deal(f"x{number}")], 0.0, counts=True)
    assert 710 == len(waits)
    assert (False, True) == (waits.knows(deal("a99")), waits.knows(deal("a100")))
    assert (False, True) == (waits.is_awaited(deal("x99")), waits.is_awaited(deal("x100")))


def test_whoever_comes_again_and_again_is_remembered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the others come and go meanwhile: nothing piles up."""
    monkeypatch.setattr(link_waits, "MAX_REFERENCES", 800)
    waits = LinkWaits()
    waits.note(deal("stays"), [deal("x")], 0.0, counts=True)
    for number in range(500):
        waits.note(deal("a"), [deal(f"x{number}-{n}") for n in range(50)], 0.0, counts=True)
    assert 2 == len(waits)
    assert (0.0, 10.0) == waits.counted(deal("stays"), 10.0, counts=True)


def test_a_reference_takes_few_bytes() -> None:
    """100,000 of them, the most that are remembered, take 30 MB at most."""
    some = 5_000
    tracemalloc.start()
    before, waits = tracemalloc.get_traced_memory()[0], LinkWaits()
    for number in range(some):
        waits.note(deal(f"order-{number}"), [deal(f"customer-{number}")], 1.5, counts=True)
    took = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert took / some <= 300


def test_many_small_parts_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is forgotten by it while the references are few enough."""
    monkeypatch.setattr(link_waits, "MAX_REFERENCES", 8)
    waits = LinkWaits()
    for number in range(60):
        waits.note(deal(f"stays {number}"), [], 0.0, counts=True)
        waits.note(deal(f"goes {number}"), [deal("x")], 0.0, counts=True)
        waits.end(deal(f"goes {number}"))
    assert 60 == len(waits)
    assert all(waits.knows(deal(f"stays {number}")) for number in range(60))
