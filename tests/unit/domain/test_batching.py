"""Tests which claims travel together, and when they leave."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.batch import Batch, ClosedBy
from service.domain.batching import Batcher, BatchPolicy
from service.domain.claim import Claim
from service.domain.events import BatchKey
from service.domain.outcomes import Fault
from tests.unit.domain.samples import DEAL, batch, claim, event, fault

POLICY = BatchPolicy(max_items=3, window=2.0, max_bytes=100)
KEY = BatchKey(DEAL, original_names=False)


@pytest.fixture
def batcher() -> Batcher:
    """Give the test an empty batcher: three items, two seconds, a hundred bytes."""
    return Batcher(POLICY)


def names(taken: Batch | None) -> list[str]:
    """Return the event ids of a batch in its order; empty for none."""
    return [] if taken is None else [each.event.event_id for each in taken.claims]


def lead(name: str) -> Claim:
    """Return a claim of another entity type."""
    return claim(event(name, entity_type_id=1))


def test_window_opens_with_the_first_item(batcher: Batcher) -> None:
    """After a long silence the first item still waits for company."""
    batcher.add(claim("a"), 1000.0)
    batcher.add(claim("b"), 1001.9)
    assert batcher.take(1001.9) is None
    taken = batcher.take(1002.0)
    assert ["a", "b"] == names(taken)
    assert taken is not None
    assert (ClosedBy.WINDOW, 1000.0, 2) == (taken.closed_by, taken.opened_at, taken.size)


def test_a_full_batch_leaves_at_once(batcher: Batcher) -> None:
    """The last item that fits closes it."""
    for name in "abc":
        batcher.add(claim(name), 5.0)
    taken = batcher.take(5.0)
    assert ["a", "b", "c"] == names(taken)
    assert taken is not None
    assert ClosedBy.SIZE is taken.closed_by


def test_a_batch_of_dear_items_is_full_earlier() -> None:
    """What a call may carry is asked for each entity type."""
    batcher = Batcher(POLICY, most=lambda kind, most: 1 if kind == DEAL else most)
    batcher.add(claim("a"), 0.0)
    batcher.add(lead("b"), 0.0)
    assert ["a"] == names(batcher.take(0.0))
    assert batcher.take(0.0) is None


def test_the_item_after_a_full_batch_opens_the_next(batcher: Batcher) -> None:
    """It brings a window of its own."""
    for name in "abcd":
        batcher.add(claim(name), 5.0)
    assert ["a", "b", "c"] == names(batcher.take(5.0))
    assert batcher.take(6.9) is None
    assert ["d"] == names(batcher.take(7.0))


def test_others_take_the_places_that_are_free_in_a_refilled_batch(batcher: Batcher) -> None:
    """It leaves first, and full; what is left over stays open, and keeps its age."""
    for at, name in enumerate("abcdef"):
        batcher.add(claim(name), float(at))
    batcher.add(claim("g"), 6.0)
    first = batcher.take(6.0)
    assert first is not None
    rest = first.part(first.claims[1:], 6.0).to_fill_up()
    batcher.put(rest)
    assert ["b", "c", "d"] == names(batcher.take(6.0))
    batcher.add(claim("h"), 6.0)
    assert ["e", "f", "g"] == names(batcher.take(6.0))
    assert ["h"] == names(batcher.take(8.0))
    batcher.put(rest.only(rest.claims[:1]))
    for name in "ijkl":
        batcher.add(claim(name), 9.0)
    assert ["b", "i", "j"] == names(batcher.take(9.0))
    batcher.add(claim("m"), 9.0)
    assert ["k", "l", "m"] == names(batcher.take(9.0))


def test_bytes_close_a_batch_before_they_are_too_many(batcher: Batcher) -> None:
    """The claim that does not fit opens the next batch."""
    batcher.add(claim("a", size=60), 0.0)
    batcher.add(claim("b", size=41), 0.0)
    taken = batcher.take(0.0)
    assert taken is not None
    assert (["a"], ClosedBy.BYTES, 60) == (names(taken), taken.closed_by, taken.size)
    assert ["b"] == names(batcher.take(2.0))


def test_bytes_that_just_fit_travel_together(batcher: Batcher) -> None:
    """The bound is the largest that may leave."""
    batcher.add(claim("a", size=60), 0.0)
    batcher.add(claim("b", size=40), 0.0)
    assert ["a", "b"] == names(batcher.take(2.0))


def test_an_oversize_claim_travels_alone(batcher: Batcher) -> None:
    """It was admitted, so it is tried."""
    for name, size in (("a", 1), ("big", 500), ("b", 1)):
        batcher.add(claim(name, size=size), 0.0)
    assert [["a"], ["big"], ["b"]] == [names(batcher.take(2.0)) for _ in range(3)]


def test_a_batch_has_one_entity_type_and_one_spelling(batcher: Batcher) -> None:
    """The call has one of each."""
    batcher.add(claim("a"), 0.0)
    batcher.add(lead("b"), 0.0)
    batcher.add(claim(event("c", original_names=True)), 0.0)
    batcher.add(claim("d"), 0.0)
    assert [["a", "d"], ["b"], ["c"]] == [names(batcher.take(2.0)) for _ in range(3)]


def test_what_arrives_while_no_slot_is_free_still_travels_along(batcher: Batcher) -> None:
    """A batch stays open until it is taken, even past its window."""
    batcher.add(claim("a"), 0.0)
    batcher.add(claim("b"), 9.0)
    assert ["a", "b"] == names(batcher.take(9.0))


def test_the_oldest_batch_goes_first(batcher: Batcher) -> None:
    """Age counts from the first item, not from the closing."""
    batcher.add(lead("old"), 0.0)
    for name in "abc":
        batcher.add(claim(name), 1.0)
    assert ["a", "b", "c"] == names(batcher.take(1.0))
    for name in "def":
        batcher.add(claim(name), 1.0)
    assert ["old"] == names(batcher.take(2.0))
    assert ["d", "e", "f"] == names(batcher.take(2.0))


def test_pressure_takes_the_oldest_open_batch(batcher: Batcher) -> None:
    """When nothing more can arrive, waiting for company is vain."""
    batcher.add(lead("a"), 0.0)
    batcher.add(claim("b"), 0.1)
    taken = batcher.take(0.2, pressure=True)
    assert taken is not None
    assert (["a"], ClosedBy.PRESSURE) == (names(taken), taken.closed_by)


def test_pressure_does_not_hurry_what_waits_for_a_reason(batcher: Batcher) -> None:
    """A batch put back, or a claim deferred, keeps its time."""
    again = batch(claim("a"))._replace(due=10.0, closed_by=ClosedBy.SIZE)
    batcher.put(again)
    batcher.defer(claim("b"), 10.0)
    assert batcher.take(9.9, pressure=True) is None


def test_what_is_due_goes_before_what_pressure_would_take(batcher: Batcher) -> None:
    """Pressure closes nothing while something may leave anyway."""
    batcher.add(lead("a"), 0.0)
    for name in "bcd":
        batcher.add(claim(name), 0.1)
    assert ["b", "c", "d"] == names(batcher.take(0.2, pressure=True))
    assert ["a"] == names(batcher.take(0.2, pressure=True))


def suspect(name: str) -> Claim:
    """Return a claim that was part of a call that broke."""
    each = claim(name)
    each.known = each.known._replace(first_failed_at=0.0)
    return each


def test_what_broke_no_call_goes_first_if_asked(batcher: Batcher) -> None:
    """Though it is younger; a suspect goes when nothing else may."""
    batcher.suspected_from = lambda: 2.0
    batcher.put(batch(suspect("a"), claim("b")))
    batcher.put(batch(claim("c"), opened_at=1.0))
    assert [["c"], ["a", "b"], []] == [names(batcher.take(2.0)) for _ in range(3)]
    batcher.suspected_from = lambda: None
    batcher.put(batch(suspect("a")))
    batcher.put(batch(claim("c"), opened_at=1.0))
    assert ["a"] == names(batcher.take(2.0))


def test_an_open_batch_leaves_early_rather_than_a_suspect(batcher: Batcher) -> None:
    """Only then: where no suspect is due its window is waited for."""
    batcher.suspected_from = lambda: 0.0
    batcher.add(claim("b"), 1.0)
    assert batcher.take(1.1) is None
    batcher.put(batch(suspect("a")))
    taken = batcher.take(1.1)
    assert taken is not None
    assert (["b"], ClosedBy.PRESSURE) == (names(taken), taken.closed_by)
    assert ["a"] == names(batcher.take(1.1))


def test_half_open_no_suspect_is_put_into_the_batch_that_leaves(batcher: Batcher) -> None:
    """Though suspects are older, and priorities differ."""
    urgent = claim("d")
    urgent.priority = 9
    for each in (suspect("a"), suspect("b"), suspect("c"), urgent):
        batcher.add(each, 0.0)
    batcher.suspected_from = lambda: 5.0
    assert ["d"] == names(batcher.take(1.0))


@pytest.mark.parametrize("pressure", [False, True])
def test_a_suspect_waits_a_moment_for_others(batcher: Batcher, *, pressure: bool) -> None:
    """It may be the first message that comes, each time the portal is tried."""
    batcher.suspected_from = lambda: 5.0
    batcher.add(suspect("a"), 0.0)
    assert batcher.take(4.9, pressure=pressure) is None
    assert 5.0 == batcher.next_time(pressure=pressure)
    assert ["a"] == names(batcher.take(5.0, pressure=pressure))


@pytest.mark.parametrize(
    ("why", "taken"), [(None, [["a", "b"], ["c"], []]), (fault(), [["a", "b", "c"], [], []])]
)
def test_a_batch_that_has_become_too_dear_leaves_in_parts(
    why: Fault | None, taken: list[list[str]]
) -> None:
    """In order, and nothing is lost; what must be looked up together stays together."""
    batcher = Batcher(POLICY, most=lambda _kind, _most: 2)
    batcher.put(batch(*(claim(name) for name in "abc"), fault=why))
    assert taken == [names(batcher.take(0.0)) for _ in range(3)]
    assert 0 == len(batcher)


def test_drain_lets_everything_open_leave_at_once(batcher: Batcher) -> None:
    """At a stop no window is waited for."""
    batcher.add(lead("a"), 0.0)
    batcher.add(claim("b"), 0.0)
    batcher.drain(0.1)
    taken = [batcher.take(0.1), batcher.take(0.1)]
    assert [["a"], ["b"]] == [names(each) for each in taken]
    assert [ClosedBy.DRAIN] * 2 == [each.closed_by for each in taken if each is not None]


def test_a_batch_put_back_leaves_when_it_is_due_and_as_it_is(batcher: Batcher) -> None:
    """Nothing joins it, and it keeps why it closed."""
    again = batch(claim("a"))._replace(due=10.0, closed_by=ClosedBy.SIZE)
    batcher.put(again)
    batcher.add(claim("b"), 5.0)
    assert ["b"] == names(batcher.take(9.9))
    assert again == batcher.take(10.0)


def test_a_claim_alone_leaves_in_a_batch_of_its_own(batcher: Batcher) -> None:
    """Nothing joins it, though a batch of its key is open."""
    batcher.add(claim("a"), 5.0)
    batcher.alone(claim("b"), 6.0, 5.0)
    batcher.add(claim("c"), 5.0)
    assert ["b"] == names(batcher.take(6.0))


def test_a_batch_put_back_never_shuts_the_open_one(batcher: Batcher) -> None:
    """It was not closed before, and is none of the open batch's business."""
    again = batch(claim("a"))
    batcher.add(claim("b"), 5.0)
    batcher.put(again)
    assert again._replace(closed_by=ClosedBy.WINDOW) == batcher.take(5.0)
    batcher.add(claim("c"), 6.0)
    assert ["b", "c"] == names(batcher.take(7.0))


def test_a_deferred_claim_joins_the_open_batch_when_its_time_comes(batcher: Batcher) -> None:
    """Until then it waits beside the batches."""
    batcher.defer(claim("late"), 6.0)
    batcher.defer(claim("later"), 6.5)
    batcher.add(claim("a"), 5.0)
    assert batcher.take(6.0) is None
    assert ["a", "late", "later"] == names(batcher.take(7.0))


def test_equal_times_keep_the_order_of_arrival(batcher: Batcher) -> None:
    """Claims themselves are never compared."""
    for name in "abc":
        batcher.defer(claim(name), 6.0)
    assert ["a", "b", "c"] == names(batcher.take(6.0))


def test_the_next_time_is_the_earliest_of_all(batcher: Batcher) -> None:
    """The loop sleeps exactly until something may leave."""
    assert batcher.next_time() is None
    batcher.defer(claim("a"), 20.0)
    assert 20.0 == batcher.next_time()
    batcher.add(claim("b"), 10.0)
    assert 12.0 == batcher.next_time()
    batcher.defer(claim("c"), 11.0)
    assert 11.0 == batcher.next_time()
    batcher.drain(10.5)
    assert 10.5 == batcher.next_time()


def test_the_next_time_knows_pressure_and_what_may_not_leave(batcher: Batcher) -> None:
    """Else the loop would sleep with free slots, or look again and again while none is free."""
    batcher.add(claim("a"), 10.0)
    assert (12.0, 10.0) == (batcher.next_time(), batcher.next_time(pressure=True))
    batcher.defer(claim("b"), 1.0)
    assert batcher.next_time(lambda _: False, pressure=True) is None


def test_closing_late_keeps_the_time_it_was_due(batcher: Batcher) -> None:
    """A batch never becomes due later by filling up."""
    for at, name in enumerate("abc"):
        batcher.add(claim(name), 4.0 * at)
    assert 2.0 == batcher.next_time()


def test_len_counts_all_that_waits(batcher: Batcher) -> None:
    """Open, closed, put back, deferred."""
    assert 0 == len(batcher)
    for name in "abcd":
        batcher.add(claim(name), 0.0)
    batcher.put(batch(claim("e"), claim("f")))
    batcher.defer(claim("g"), 1.0)
    assert 7 == len(batcher)


def test_prune_takes_out_what_is_not_kept(batcher: Batcher) -> None:
    """Each claim is judged by itself and by the time it would leave."""
    for name in "ab":
        batcher.add(claim(name, size=10), 0.0)
    batcher.add(lead("c"), 1.0)
    batcher.defer(claim("d"), 30.0)
    batcher.defer(claim("e"), 40.0)
    asked: list[tuple[str, float]] = []

    def keep(each: Claim, due: float) -> bool:
        asked.append((each.event.event_id, due))
        return each.event.event_id in "be"

    assert ["a", "c", "d"] == [each.event.event_id for each in batcher.prune(keep)]
    assert [("a", 2.0), ("b", 2.0), ("c", 3.0), ("d", 30.0), ("e", 40.0)] == asked
    left = batcher.take(2.0)
    assert left is not None
    assert (["b"], 10) == (names(left), left.size)
    assert (1, 40.0) == (len(batcher), batcher.next_time())


def test_pruning_keeps_the_order_of_the_deferred(batcher: Batcher) -> None:
    """The earliest of those that stay still comes first."""
    for until, name in ((1, "a"), (7, "b"), (2, "c"), (9, "d"), (8, "e"), (3, "f"), (4, "g")):
        batcher.defer(claim(name), float(until))
    batcher.prune(lambda each, _: each.event.event_id not in "ac")
    times = []
    while (due := batcher.next_time()) is not None:
        times.append(due)
        batcher.prune(lambda _, until, due=due: until != due)  # type: ignore[misc]  # bound here
    assert [3.0, 4.0, 7.0, 8.0, 9.0] == times


def test_pruning_nothing_changes_nothing(batcher: Batcher) -> None:
    """What is kept keeps its place."""
    batcher.add(claim("a"), 0.0)
    batcher.defer(claim("b"), 1.5)
    assert [] == batcher.prune(lambda _claim, _due: True)
    assert ["a", "b"] == names(batcher.take(2.0))


def test_an_emptied_open_batch_is_forgotten(batcher: Batcher) -> None:
    """The next claim opens a window of its own."""
    batcher.add(claim("a"), 0.0)
    batcher.prune(lambda _claim, _due: False)
    assert (0, None) == (len(batcher), batcher.next_time())
    batcher.add(claim("b"), 1.5)
    assert batcher.take(2.0) is None
    assert ["b"] == names(batcher.take(3.5))


def test_a_part_keeps_its_age_and_forgets_the_failure() -> None:
    """Who waited longest still goes first."""
    whole = batch(claim("a", size=3), claim("b", size=4), fault=fault(), opened_at=7.0)
    whole = whole._replace(tries=3, closed_by=ClosedBy.BYTES)
    part = whole.part(whole.claims[1:], 9.0)
    assert (["b"], 7.0, 9.0, 4) == (names(part), part.opened_at, part.due, part.size)
    assert (KEY, ClosedBy.BYTES, 0, None) == (part.key, part.closed_by, part.tries, part.fault)


@dataclass
class Played:
    """What a random run of a batcher has brought."""

    batcher: Batcher
    now: float = 0.0
    serial: int = 0
    joined_at: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)

    def arrive(self, entity_type_id: int, size: int, delay: float) -> None:
        """Let a claim arrive; some are deferred."""
        item = event(f"{self.serial:04}", entity_type_id=entity_type_id)
        self.serial += 1
        self.joined_at[item.event_id], self.sizes[item.event_id] = self.now + delay, size
        if delay:
            self.batcher.defer(claim(item, size=size), self.now + delay)
        else:
            self.batcher.add(claim(item, size=size), self.now)

    def poll(self, *, pressure: bool) -> None:
        """Take everything that may leave now, as the loop does with free slots."""
        while (taken := self.batcher.take(self.now, pressure=pressure)) is not None:
            self._check(taken)
            self.taken += names(taken)

    def drop(self, digit: str) -> None:
        """Prune some."""
        gone = self.batcher.prune(lambda each, _: not each.event.event_id.endswith(digit))
        self.pruned += [each.event.event_id for each in gone]

    def step(self, seconds: float) -> None:
        """Let time pass as the loop does: never asleep when something becomes due."""
        end = self.now + seconds
        while (due := self.batcher.next_time()) is not None and due <= end:
            self.now = max(self.now, due)
            self.poll(pressure=False)
        self.now = end

    def _check(self, taken: Batch) -> None:
        ids = names(taken)
        assert ids
        assert len({each.event.batch_key for each in taken.claims}) == 1
        assert len(ids) <= POLICY.max_items
        assert taken.size == sum(self.sizes[each] for each in ids)
        assert taken.size <= POLICY.max_bytes or len(ids) == 1
        joined = [self.joined_at[each] for each in ids]
        assert joined == sorted(joined)
        assert all(self.now - at <= POLICY.window + 1e-6 for at in joined)
        assert taken.closed_by is not None


ARRIVALS = st.tuples(
    st.just("arrive"), st.sampled_from([1, 2]), st.integers(1, 130), st.sampled_from([0, 0, 0, 3])
)
STEPS = st.one_of(
    ARRIVALS,
    ARRIVALS,
    st.tuples(st.just("step"), st.floats(0, 3)),
    st.tuples(st.just("poll"), st.booleans()),
    st.tuples(st.just("drop"), st.sampled_from("0123456789")),
)


@given(st.lists(STEPS, max_size=60))
def test_nothing_is_lost_doubled_oversized_or_late(steps: list[tuple[object, ...]]) -> None:
    """Whatever comes whenever: every claim leaves once, in time, in order, within bounds."""
    run = Played(Batcher(POLICY))
    for step in steps:
        match step:
            case ("arrive", int(entity_type), int(size), int(delay)):
                run.arrive(entity_type, size, float(delay))
            case ("step", float(seconds)):
                run.step(seconds)
            case ("poll", bool(pressure)):
                run.poll(pressure=pressure)
            case ("drop", str(digit)):
                run.drop(digit)
            case _:
                raise AssertionError(step)
        assert run.serial == len(run.batcher) + len(run.taken) + len(run.pruned)
    run.step(10.0)
    assert 0 == len(run.batcher)
    assert sorted(run.joined_at) == sorted(run.taken + run.pruned)


def test_a_deferred_claim_that_need_not_wait_joins_the_open_batch_now(
    batcher: Batcher,
) -> None:
    """The others keep their time."""
    for name, until in (("a", 1010.0), ("b", 1005.0), ("c", 1001.0)):
        batcher.defer(claim(name), until)
    batcher.hasten_deferred(lambda each: each.event.event_id == "a", 1000.0)
    assert 1000.0 == batcher.next_time()
    assert batcher.take(1000.0) is None
    assert ["a", "c"] == names(batcher.take(1002.0))
    batcher.hasten_deferred(lambda _: False, 1002.0)
    assert 1005.0 == batcher.next_time()


def test_only_what_waits_for_items_of_a_type_is_asked_for_soon(batcher: Batcher) -> None:
    """Never sooner than five seconds after it was last asked for."""
    for each in (batch(claim("a")), batch(lead("b"))):
        batcher.put(each.waits_for_proof(10.0, 100.0))
    assert not batcher.sendable()
    batcher.hasten({DEAL}, 11.0)
    assert (["a"], None) == (names(batcher.take(15.0)), batcher.take(99.9))
    batcher.defer(claim("c"), 50.0)
    assert batcher.sendable()


def test_who_drains_waits_for_no_proof(batcher: Batcher) -> None:
    """What else is here leaves at once."""
    batcher.put(batch(claim("a")).waits_for_proof(0.0, 0.0))
    batcher.add(claim("b"), 1.0)
    batcher.drain(1.0)
    assert ["b"] == names(batcher.take(1.0))
    assert batcher.take(1e9) is None


def test_a_batcher_tells_what_waits_in_it(batcher: Batcher) -> None:
    """In a batch, or to join one later."""
    one, later, other = claim("a"), claim("b"), claim("c")
    batcher.add(one, 0.0)
    batcher.defer(later, 9.0)
    assert (True, True, False) == (one in batcher, later in batcher, other in batcher)
