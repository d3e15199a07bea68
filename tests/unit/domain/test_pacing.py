"""Tests that neither the portal's request bucket nor its budget overflows by our doing."""

import heapq
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.pacing import JITTER_SECONDS, ItemCost, LeakyBucket, OperatingBudget

CLOSE = Fraction(1, 10**6)


@dataclass
class PortalBucket:
    """The portal's own count, exact and with its own clock; it refuses what does not fit."""

    rate: Fraction
    capacity: Fraction
    level: Fraction = Fraction(0)
    at: Fraction = Fraction(0)

    def accepts(self, now: Fraction) -> bool:
        """Drain, then count one request unless it would overflow."""
        self.level = max(Fraction(0), self.level - (now - self.at) * self.rate)
        self.at = now
        self.level += 1
        return self.level <= self.capacity + CLOSE


def send(bucket: LeakyBucket, now: float) -> float:
    """Wait as told, send one request, and return when it left."""
    while (wait := bucket.wait(now)) > 0:
        now += max(wait, 1e-9)
    bucket.take(now)
    return now


def test_a_burst_leaves_at_once_and_the_rest_at_the_rate() -> None:
    """Three fit, then two a second."""
    bucket = LeakyBucket(rate=2.0, burst=3.0)
    assert [0.0, 0.0, 0.0, 0.5, 1.0] == pytest.approx(
        [send(bucket, 0.0) for _ in range(3)] + [send(bucket, 0.0), send(bucket, 0.5)]
    )


def test_a_pause_earns_no_more_than_the_burst() -> None:
    """A bucket cannot be emptier than empty."""
    bucket = LeakyBucket(rate=2.0, burst=3.0)
    for _ in range(3):
        send(bucket, 1000.0)
    assert 0.5 == bucket.wait(1000.0)


def test_asking_changes_nothing() -> None:
    """Only what is sent counts."""
    bucket = LeakyBucket(rate=1.0, burst=1.0)
    assert [0.0, 0.0, 0.0] == [bucket.wait(5.0) for _ in range(3)]
    bucket.take(5.0)
    assert [1.0, 1.0] == [bucket.wait(5.0) for _ in range(2)]


def test_a_refusal_fills_the_bucket_and_halves_the_rate() -> None:
    """Somebody else drinks from it: start again from full, and take half."""
    bucket = LeakyBucket(rate=2.0, burst=50.0)
    bucket.refused(10.0)
    assert 1.0 == bucket.wait(10.0)


def test_refusals_never_slow_us_to_a_stop() -> None:
    """A tenth of the rate is left."""
    bucket = LeakyBucket(rate=2.0, burst=50.0)
    for _ in range(9):
        bucket.refused(10.0)
    assert 5.0 == pytest.approx(bucket.wait(10.0))


def test_the_rate_is_won_back_without_refusals() -> None:
    """Slowly, over a minute, and never beyond the nominal one."""
    bucket = LeakyBucket(rate=2.0, burst=1.0)
    bucket.refused(0.0)
    bucket.take(15.0)
    assert 0.75 == bucket.share
    assert 1.0 / 1.5 == pytest.approx(bucket.wait(15.0))
    bucket.take(75.0)
    assert 0.5 == bucket.wait(75.0)


def test_a_refusal_never_empties_the_bucket() -> None:
    """A level above the burst stays where it is."""
    bucket = LeakyBucket(rate=1.0, burst=1.0)
    bucket.take(0.0)
    bucket.take(0.0)
    bucket.refused(0.0)
    assert 2.0 == bucket.level


def test_a_clock_that_jumps_back_drains_nothing() -> None:
    """Time counts once: what was drained up to 100 s is not drained again after a jump to 50."""
    bucket = LeakyBucket(rate=1.0, burst=2.0)
    bucket.take(100.0)
    bucket.take(100.0)
    assert 51.0 == bucket.wait(50.0)
    assert 1.0 == bucket.wait(100.0)
    assert 0.0 == bucket.wait(101.0)


@given(
    rate=st.sampled_from([0.1, 0.5, 1.0, 2.0, 5.0, 7.3]),
    burst=st.integers(1, 60),
    gaps=st.lists(st.floats(0, 30), min_size=1, max_size=120),
    refusals=st.sets(st.integers(0, 120), max_size=5),
)
def test_an_independent_portal_never_refuses(
    rate: float, burst: int, gaps: list[float], refusals: set[int]
) -> None:
    """Whatever the arrival pattern, every request that leaves fits, also after refusals."""
    ours = LeakyBucket(rate=rate, burst=float(burst))
    portal = PortalBucket(Fraction(rate), Fraction(burst))
    now = 0.0
    for number, gap in enumerate(gaps):
        if number in refusals:
            ours.refused(now)
        now = send(ours, now + gap)
        assert portal.accepts(Fraction(now))


@given(
    rate=st.sampled_from([0.1, 0.5, 1.0, 2.0, 5.0, 7.3]),
    spare=st.integers(1, 60),
    sent=st.lists(
        st.tuples(st.floats(0, 5), st.floats(-JITTER_SECONDS, JITTER_SECONDS)),
        min_size=1,
        max_size=120,
    ),
)
def test_a_request_that_arrives_up_to_a_second_early_or_late_is_not_refused(
    rate: float, spare: int, sent: list[tuple[float, float]]
) -> None:
    """The bucket keeps free what drains in the two seconds that this may be."""
    burst = float(spare + ceil(2 * JITTER_SECONDS * rate))
    ours = LeakyBucket.with_reserve(rate, burst)
    portal = PortalBucket(Fraction(rate), Fraction(burst))
    now, arrived = JITTER_SECONDS, []
    for gap, off in sent:
        now = send(ours, now + gap)
        arrived.append(now + off)
    assert all(portal.accepts(Fraction(at)) for at in sorted(arrived))


@given(
    rate=st.sampled_from([0.5, 1.0, 2.0, 5.0]),
    burst=st.integers(1, 50),
    steps=st.lists(st.tuples(st.floats(0, 20), st.floats(0, 40)), min_size=1, max_size=60),
)
def test_no_interval_has_more_than_burst_and_rate_allow(
    rate: float, burst: int, steps: list[tuple[float, float]]
) -> None:
    """Even when our clock jumps back while the portal's goes on."""
    bucket = LeakyBucket(rate=rate, burst=float(burst))
    true, slow, left = 0.0, 0.0, []
    for gap, back in steps:
        true, ours = true + gap, true + gap - slow
        gone = send(bucket, ours) - ours
        true += gone
        left.append(true)
        slow += back
    for first, start in enumerate(left):
        for last in range(first, len(left)):
            assert last - first + 1 <= burst + rate * (left[last] - start) + 1e-6


@dataclass
class PortalBudget:
    """The portal's own count of one method: ten buckets of a minute, calls of 0.1 s left out."""

    buckets: dict[int, float] = field(default_factory=dict)

    def total(self, now: float) -> float:
        """Return the seconds that count."""
        minute = int(now // 60)
        return sum(cost for at, cost in self.buckets.items() if minute - 10 < at <= minute)

    def reset_at(self, now: float) -> float | None:
        """Return when the oldest bucket that counts leaves."""
        counting = [at for at in self.buckets if at > now // 60 - 10]
        return (min(counting) + 10) * 60.0 if counting else None

    def spend(self, cost: float, now: float) -> float:
        """Execute a call; return the total that its answer tells."""
        if cost > 0.1:
            minute = int(now // 60)
            self.buckets[minute] = self.buckets.get(minute, 0.0) + cost
        return self.total(now)


def test_calls_leave_until_more_than_the_limit_is_spent() -> None:
    """The portal checks before a call, not what it will cost."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(420.0, None, 30.0)
    assert 0.0 == budget.wait(31.0)
    budget.answered(421.0, None, 31.0)
    assert 569.0 == budget.wait(31.0)
    assert 0.0 == budget.wait(600.0)


def test_an_answer_leaves_no_more_than_it_says() -> None:
    """A total below our count takes the rest from the oldest, and nothing is counted twice."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(300.0, None, 0.0)
    budget.answered(250.0, None, 10.0)
    budget.answered(400.0, None, 550.0)
    assert [400.0, 150.0, 150.0, 0.0] == [budget.used(at) for at in (599.0, 600.0, 1139.0, 1140.0)]


def test_an_answer_may_take_several_buckets_back() -> None:
    """The portal has dropped the oldest ones, and told us so by its total alone."""
    budget = OperatingBudget(limit=420.0)
    for at, total in ((0.0, 100.0), (60.0, 150.0), (120.0, 200.0), (180.0, 70.0)):
        budget.answered(total, None, at)
    assert [70.0, 50.0, 0.0] == [budget.used(at) for at in (659.0, 660.0, 720.0)]


def test_calls_in_flight_may_cost_a_quarter_more_than_expected() -> None:
    """A call leaves while that much would still fit, to the second."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(300.0, None, 0.0)
    budget.reserve(96.0)
    assert 0.0 == budget.wait(0.0)
    budget.reserve(0.1)
    assert 0.0 < budget.wait(0.0)


def test_an_answer_without_a_gauge_changes_nothing() -> None:
    """Errors tell nothing; what is told later counts from then."""
    budget = OperatingBudget(limit=420.0)
    for _ in range(9):
        budget.reserve(100.0)
        budget.release(100.0)
    assert (0.0, 0.0) == (budget.wait(0.0), budget.used(0.0))
    budget.answered(421.0, None, 30.0)
    assert 570.0 == budget.wait(30.0)


def test_calls_in_flight_count_by_what_they_are_expected_to_cost() -> None:
    """Until their answer tells what they really cost."""
    budget = OperatingBudget(limit=420.0)
    budget.reserve(300.0)
    assert 0.0 == budget.wait(0.0)
    budget.reserve(37.0)
    assert 0.0 < budget.wait(0.0) < 1.0
    budget.release(300.0)
    assert 0.0 == budget.wait(0.0)
    budget.release(37.0)
    assert 0.0 == budget.reserved


def test_no_limit_is_no_budget() -> None:
    """0 switches the pacing off."""
    budget = OperatingBudget(limit=0.0)
    budget.answered(10_000.0, None, 0.0)
    budget.reserve(10_000.0)
    assert 0.0 == budget.wait(0.0)


def test_a_call_dearer_than_the_limit_may_leave_alone() -> None:
    """Else it would wait for ever."""
    budget = OperatingBudget(limit=420.0)
    assert 0.0 == budget.wait(0.0)
    budget.reserve(500.0)
    budget.release(500.0)
    assert 0.0 == budget.wait(0.0)


def test_the_portals_word_on_its_oldest_bucket_counts() -> None:
    """It may leave earlier than we think."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(421.0, 90.0, 30.0)
    assert 60.0 == budget.wait(30.0)
    assert 0.0 == budget.wait(90.0)


def test_the_portals_word_on_its_oldest_bucket_is_for_that_bucket() -> None:
    """What was spent later stays, and its word counts once."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(100.0, None, 30.0)
    budget.answered(300.0, 480.0, 70.0)
    assert [300.0, 200.0, 200.0, 0.0] == [budget.used(at) for at in (479.0, 480.0, 659.0, 660.0)]


def test_the_portals_minutes_begin_where_its_word_says() -> None:
    """At :20 here: what was spent at :10 and :30 falls into two of them."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(100.0, 620.0, 70.0)
    budget.answered(300.0, None, 90.0)
    assert [300.0, 200.0, 200.0, 0.0] == [budget.used(at) for at in (619.0, 620.0, 679.0, 680.0)]


def test_a_word_further_away_than_the_window_is_no_reason_to_wait() -> None:
    """No bucket lives so long; neither full nor refused do we wait longer than the window."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(421.0, 1e9, 0.0)
    assert 600.0 >= budget.wait(0.0)
    budget.refused(0.0)
    assert 60.0 == budget.wait(0.0)
    assert 600.0 == budget.wait(-1e6)


def test_a_word_about_the_past_is_no_word() -> None:
    """A portal whose clock is behind: our own count goes on, by the minutes it told."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(421.0, 10.0, 30.0)
    assert 0.0 == budget.wait(30.0)
    budget.answered(421.0, None, 31.0)
    assert 579.0 == budget.wait(31.0)


def test_a_clock_that_jumps_forward_empties_the_count() -> None:
    """The portal's next total puts it right."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(421.0, None, 0.0)
    assert 0.0 == budget.wait(10_000.0)
    budget.answered(430.0, None, 10_001.0)
    assert (430.0, 559.0) == (budget.used(10_001.0), budget.wait(10_001.0))


def test_a_clock_that_jumps_back_forgets_nothing() -> None:
    """What was spent counts until its bucket leaves by our clock."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(300.0, None, 1000.0)
    assert 300.0 == budget.used(400.0)
    budget.answered(350.0, None, 400.0)
    assert [350.0, 350.0] == [budget.used(at) for at in (400.0, 1100.0)]
    assert 0.0 == budget.used(1560.0)


def test_a_changed_limit_counts_from_the_next_call() -> None:
    """Higher lets more out, lower less; what was spent stays."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(450.0, None, 0.0)
    budget.limit = 480.0
    assert 0.0 == budget.wait(0.0)
    budget.limit = 100.0
    assert 600.0 == budget.wait(0.0)
    budget.limit = 0.0
    assert 0.0 == budget.wait(0.0)


def test_the_portals_total_outweighs_our_count() -> None:
    """Others spend from it, and its buckets may leave early."""
    budget = OperatingBudget(limit=420.0)
    for total in (100.0, 400.0, 50.0):
        budget.answered(total, None, 3.0)
        assert total == budget.used(4.0)


def test_what_was_spent_leaves_with_its_bucket() -> None:
    """Ten minutes after the start of the minute it was spent in."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(100.0, None, 59.0)
    budget.answered(150.0, None, 60.0)
    budget.answered(150.0, None, 61.0)
    assert [150.0, 50.0, 50.0, 0.0] == [budget.used(at) for at in (599.9, 600.0, 659.9, 660.0)]


def refused_again(budget: OperatingBudget, now: float, times: int) -> list[float]:
    """Refuse so many probes, each at its first moment; return when they were made."""
    probes = []
    for _ in range(times):
        budget.refused(now)
        now += budget.wait(now)
        probes.append(now)
    return probes


def test_a_spent_budget_is_asked_when_a_bucket_may_have_left_and_when_a_ban_may_be_over() -> None:
    """A minute is a bucket; 300 s is the ban; later, half a window at a time."""
    probes = refused_again(OperatingBudget(limit=420.0), 1000.0, 8)
    assert [1060, 1120, 1180, 1300, 1360, 1600, 1660, 1960] == probes


def test_a_spent_budget_is_asked_when_the_portal_said_that_the_oldest_bucket_leaves() -> None:
    """Its word is exact; a ban may be over before it."""
    soon, late = OperatingBudget(limit=420.0), OperatingBudget(limit=420.0)
    soon.answered(421.0, 1010.0, 1000.0)
    late.answered(421.0, 1590.0, 1000.0)
    assert [1010, 1070, 1130, 1300, 1310] == refused_again(soon, 1000.0, 5)
    assert [1300, 1590, 1600, 1650] == refused_again(late, 1000.0, 4)


def test_calls_refused_together_are_one_refusal() -> None:
    """Two slots met the same ban: the next probe is the same."""
    budget = OperatingBudget(limit=420.0)
    for now in (1000.0, 1000.2, 1003.0):
        budget.refused(now)
    assert 57.0 == budget.wait(1003.0)


def test_a_good_answer_ends_the_back_off() -> None:
    """The next refusal is a first one again."""
    budget = OperatingBudget(limit=420.0)
    for now in (0.0, 60.0, 180.0):
        assert 0.0 == budget.wait(now)
        budget.refused(now)
    assert (120.0, 120.0) == (budget.wait(180.0), budget.shut(180.0))
    budget.answered(10.0, None, 300.0)
    assert 0.0 == budget.shut(300.0)
    budget.refused(300.0)
    assert (1, 60.0) == (budget.refusals, budget.wait(300.0))


def test_a_refusal_says_what_the_count_did_not() -> None:
    """The portal's limit is lower, or somebody shares it: what we counted is void."""
    budget = OperatingBudget(limit=420.0)
    budget.answered(300.0, None, 0.0)
    budget.refused(1.0)
    assert (0.0, 60.0) == (budget.used(1.0), budget.wait(1.0))


def test_one_probe_at_a_time_asks_for_a_spent_budget() -> None:
    """The others wait until it has ended; a good answer ends the caution."""
    budget = OperatingBudget(limit=420.0)
    budget.refused(0.0)
    assert 0.0 == budget.wait(60.0)
    budget.reserve(1.0)
    assert 0.0 < budget.wait(60.0) < 1.0
    budget.answered(10.0, None, 60.0)
    assert 0.0 == budget.wait(60.0)


@dataclass
class Street:
    """Calls that overlap on their way to a portal that refuses what it finds over its limit."""

    ours: OperatingBudget
    limit: float
    portal: PortalBudget = field(default_factory=PortalBudget)
    flying: list[tuple[float, int, "Call"]] = field(default_factory=list)
    now: float = 0.0
    sent: int = 0
    refused: list[float] = field(default_factory=list)
    series: list[list[float]] = field(default_factory=lambda: [[]])

    def send(self, call: "Call") -> None:
        """Wait as told, then let a call leave; the portal checks it before it is executed."""
        self.pass_until(self.now + call.gap)
        while (wait := self.ours.wait(self.now)) > 0:
            ends = self.flying[0][0] if self.flying and wait < 1.0 else 0.0
            self.pass_until(max(self.now + wait, ends))
        if self.portal.total(self.now) > self.limit + 1e-6:
            self.refused.append(self.now)
            self.series[-1].append(self.now)
            self.ours.refused(self.now)
            return
        self.ours.reserve(call.expected)
        self.sent += 1
        heapq.heappush(self.flying, (self.now + call.lasts, self.sent, call))

    def pass_until(self, until: float) -> None:
        """Let the time pass; what ends on the way is counted and answered."""
        while self.flying and self.flying[0][0] <= until:
            self.now, _, call = heapq.heappop(self.flying)
            if call.answered:
                total = self.portal.spend(call.costs, self.now)
                reset_at = self.portal.reset_at(self.now) if call.resets else None
                self.ours.answered(total, reset_at, self.now)
                self.series.append([])
            self.ours.release(call.expected)
        self.now = max(self.now, until)


@dataclass(frozen=True)
class Call:
    """One call: when it comes, what it is expected to cost, and how it turns out.

    Not `answered`: it ends in an error, which the portal neither counts nor tells of.
    """

    gap: float
    expected: float
    share: float
    lasts: float
    answered: bool
    resets: bool

    @property
    def costs(self) -> float:
        """What it really costs."""
        return self.expected * self.share


def calls(share: st.SearchStrategy[float]) -> st.SearchStrategy[list[Call]]:
    """Draw calls that cost such a share of what is expected of them."""
    gaps = st.sampled_from([0.0, 0.0, 0.1, 5.0, 60.0]) | st.floats(0, 300)
    return st.lists(
        st.builds(
            Call,
            gap=gaps,
            expected=st.floats(0.1, 60),
            share=share,
            lasts=st.floats(0, 70),
            answered=st.sampled_from([True, True, True, False]),
            resets=st.booleans(),
        ),
        min_size=1,
        max_size=60,
    )


@given(calls(st.floats(0, 1.25)), st.floats(0, 600))
def test_an_independent_portal_never_finds_its_budget_spent(
    pattern: list[Call], start: float
) -> None:
    """Whatever the pattern: alone, and with honest costs, no call finds more than the limit."""
    street = Street(OperatingBudget(limit=100.0), 100.0, now=start)
    for call in pattern:
        street.send(call)
    assert [] == street.refused


@given(calls(st.floats(0, 4)), st.sampled_from([10.0, 60.0, 100.0]))
def test_a_portal_with_another_limit_is_asked_a_few_times_a_window(
    pattern: list[Call], limit: float
) -> None:
    """Nor when calls are dearer than expected: at most eight probes in ten minutes of refusals."""
    street = Street(OperatingBudget(limit=100.0), limit)
    for call in pattern:
        street.send(call)
    for refused in street.series:
        assert all(600.0 < b - a for a, b in zip(refused, refused[8:], strict=False))


def test_the_cost_of_an_item_is_learnt_slowly() -> None:
    """The first measurement counts wholly, each later one by its weight."""
    cost = ItemCost()
    cost.learn(20, 40.0)
    assert 2.0 == cost.seconds
    cost.learn(10, 30.0)
    assert 2.3 == pytest.approx(cost.seconds)
    cost.learn(0, 30.0)
    assert 2.3 == pytest.approx(cost.seconds)


def test_a_call_that_did_not_end_only_raises_the_cost() -> None:
    """It took at least so long."""
    cost = ItemCost()
    cost.suffered(20, 60.0)
    assert 3.0 == cost.seconds
    cost.suffered(20, 10.0)
    cost.suffered(0, 100.0)
    assert 3.0 == cost.seconds


@pytest.mark.parametrize(
    ("seconds", "items"), [(0.0, 20), (0.1, 20), (1.8, 20), (3.0, 12), (12.0, 3), (50.0, 1)]
)
def test_a_batch_is_planned_to_stay_away_from_the_cut(seconds: float, items: int) -> None:
    """At most 36 of the 60 seconds, but never no item at all."""
    assert items == ItemCost(seconds).batch(20)
