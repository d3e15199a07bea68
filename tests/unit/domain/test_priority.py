"""Proves that events of higher priority leave first, and that none waits for ever for them."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from service.domain.batching import Batcher, BatchPolicy
from service.domain.claim import Claim
from tests.unit.domain.samples import claim

PATIENCE = 100.0
POLICY = BatchPolicy(max_items=3, window=2.0, max_bytes=1_000, patience=PATIENCE)


def ranked(name: str, priority: int = 4, *, since: float = 0.0) -> Claim:
    """Return a claim of a priority that came at a time."""
    made = claim(name)
    made.priority, made.since, made.size = priority, since, 10
    return made


def left(batcher: Batcher, now: float) -> list[list[str]]:
    """Take everything that may leave."""
    taken = []
    while batch := batcher.take(now):
        taken.append([each.event.event_id for each in batch.claims])
    return taken


def filled(*claims: Claim) -> Batcher:
    """Return a batcher that was given these claims, in this order."""
    batcher = Batcher(POLICY)
    for each in claims:
        batcher.add(each, each.since)
    return batcher


def test_the_highest_priority_fills_the_batch_that_leaves() -> None:
    """Whatever came first; equal ones keep their order."""
    batcher = filled(*(ranked(f"a{n}", 0) for n in range(6)), ranked("b", 9), ranked("c", 9))
    assert [["b", "c", "a0"], ["a1", "a2", "a3"], ["a4", "a5"]] == left(batcher, 10.0)


def test_equal_priorities_keep_their_order() -> None:
    """None counts as 4."""
    assert [["a", "b", "c"], ["d"]] == left(filled(*map(ranked, "abcd")), 10.0)


def test_a_batch_that_was_put_together_keeps_its_items_whatever_waits() -> None:
    """It leaves as it is: only so is the guilty one of a broken call found."""
    batcher = Batcher(POLICY)
    batcher.alone(ranked("tried alone", 9), 0.0, 0.0)
    batcher.add(ranked("usual"), 0.0)
    batcher.ranked = True
    taken = batcher.take(0.0)
    assert taken is not None
    assert ["tried alone"] == [each.event.event_id for each in taken.claims]


def test_a_batch_with_a_higher_priority_leaves_before_an_older_one() -> None:
    """Of another key."""
    older, urgent = ranked("a"), ranked("b", 9, since=1.0)
    urgent.event = replace(urgent.event, entity_type_id=3)
    assert [["b"], ["a"]] == left(filled(older, urgent), 10.0)


def test_what_was_tried_before_is_not_mixed_with_what_is_new() -> None:
    """A part of a refused batch must leave as it is: else nobody finds the guilty item."""
    batcher = filled(ranked("a", 0), ranked("b", 0))
    whole = batcher.take(10.0)
    assert whole is not None
    batcher.put(whole.part(whole.claims[:1], 10.0))
    batcher.put(whole.part(whole.claims[1:], 10.0))
    batcher.add(ranked("c", 9), 10.0)
    assert [["a"], ["b"], ["c"]] == sorted(left(batcher, 20.0))


def test_what_has_waited_long_goes_first() -> None:
    """None waits longer than the patience for higher ones."""
    batcher = filled(ranked("old", 0), *(ranked(f"n{n}", 9, since=90.0) for n in range(5)))
    assert "old" in left(batcher, PATIENCE + 1.0)[0]


def test_the_parts_of_a_refused_batch_stay_apart() -> None:
    """Joined again they would be refused again, for ever: one of them is the reason."""
    batcher = filled(*(ranked(name, 0) for name in "abc"))
    refused = batcher.take(10.0)
    assert refused is not None
    for claims in (refused.claims[:1], refused.claims[1:]):
        batcher.put(refused.part(claims, 10.0))
    batcher.add(ranked("later", 9, since=11.0), 11.0)
    assert [["later"], ["a"], ["b", "c"]] == left(batcher, 20.0)


@given(st.lists(st.integers(0, 9), max_size=30))
def test_no_claim_is_lost_or_doubled_whatever_the_priorities(priorities: list[int]) -> None:
    """Every batch keeps its bounds, and each one begins with the highest that is left."""
    claims = [ranked(f"e{n}", priority) for n, priority in enumerate(priorities)]
    rest = sorted(priorities, reverse=True)
    for batch in left(filled(*claims), 10.0):
        assert 1 <= len(batch) <= POLICY.max_items
        found = [priorities[int(name[1:])] for name in batch]
        assert found[0] == rest[0]
        assert found == sorted(found, reverse=True)
        for each in found:
            rest.remove(each)
    assert [] == rest
