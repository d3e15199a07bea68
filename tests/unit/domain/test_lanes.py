"""Proves what closes a lane, what opens it, and that lanes know nothing of each other."""

from hypothesis import given
from hypothesis import strategies as st

from service.domain.circuit_breaker import PausePolicy
from service.domain.events import Identity
from service.domain.lanes import MAX_IDENTITIES, MAX_LANES, Lanes, LaneState
from service.domain.outcomes import PauseReason

POLICY = PausePolicy(after=60, probe=15, probe_cap=60, brake_share=0.5, brake_items=10)


def lanes() -> Lanes:
    """Return lanes that are all open."""
    return Lanes(POLICY)


def refused(kept: Lanes, number: int, *, kind: int = 2) -> int:
    """Refuse an item of a number alone; return how many were."""
    return kept.suspect("100", Identity(kind, str(number)))


def test_a_lane_is_open_until_something_closes_it() -> None:
    """Of a type that nobody has seen, too."""
    assert LaneState.OPEN is lanes().state(2)
    assert lanes().admits(2, waited=False)
    assert lanes().reason(2) is None


def test_any_number_of_types_takes_no_more_memory() -> None:
    """Those go first of which nothing ever passed; a closed lane stays closed."""
    kept = lanes()
    kept.close(2, PauseReason.SCOPE, 0.0)
    kept.answered(3, accepted=1, rejected=0, now=1.0)
    for number in range(4, 3 * MAX_LANES):
        kept.answered(number, accepted=0, rejected=1, now=2.0)
    assert MAX_LANES == len(kept._lanes)  # noqa: SLF001 - what is kept
    assert (LaneState.CLOSED, 1.0) == (kept.state(2), kept.passed_at(3))


def test_different_items_of_a_type_that_were_refused_alone_are_counted() -> None:
    """The same one again does not count, nor one of another type."""
    kept = lanes()
    assert [1, 1, 1, 2] == [
        refused(kept, 1),
        refused(kept, 1),
        refused(kept, 2, kind=3),
        refused(kept, 2),
    ]


def test_an_accepted_item_clears_its_type_of_suspicion() -> None:
    """Others of another type say nothing of it."""
    kept = lanes()
    refused(kept, 1)
    kept.broke_alone(Identity(2, "1"))
    kept.answered(3, accepted=1, rejected=0, now=5.0)
    assert (2, 2) == (refused(kept, 2), kept.broke_alone(Identity(2, "2")))
    kept.answered(2, accepted=1, rejected=0, now=6.0)
    assert (1, 1) == (refused(kept, 2), kept.broke_alone(Identity(2, "2")))
    assert (6.0, 5.0, None) == (kept.passed_at(2), kept.passed_at(3), kept.passed_at(4))


def test_an_item_that_was_only_found_tells_nothing_of_the_portal_now() -> None:
    """It was accepted earlier, perhaps before the portal began to refuse everybody."""
    kept = lanes()
    kept.answered(2, accepted=1, rejected=0, now=5.0)
    kept.answered(2, accepted=0, rejected=0, found=1, now=6.0)
    assert (6.0, 5.0) == (kept.passed_at(2), kept.passed_at(2, found=False))
    assert kept.passed_at(3, found=False) is None


def test_a_closed_lane_is_tried_at_growing_intervals_and_opens_when_an_item_is_accepted() -> None:
    """Then the interval starts anew."""
    kept, now = lanes(), 0.0
    for wait in (15, 30, 60, 60):
        kept.close(2, PauseReason.SCOPE, now)
        assert LaneState.CLOSED is kept.state(2)
        assert [] == kept.due(now + wait - 0.1)
        now += wait
        assert [now] == [each.next_try for each in kept.not_open()]
        assert [2] == kept.due(now)
        assert [2] == kept.on_trial()
        kept.left(2)
        assert [] == kept.on_trial()
    kept.answered(2, accepted=1, rejected=0, now=now)
    assert LaneState.OPEN is kept.state(2)
    for ordinary in (2, 3):  # a batch of an open lane is no trial, also of a type never closed
        kept.left(ordinary)
        kept.back(ordinary)
    kept.close(2, PauseReason.SCOPE, now)
    assert [now + 15] == [each.next_try for each in kept.not_open()]


def test_a_call_that_left_before_the_lane_closed_does_not_put_off_the_next_try() -> None:
    """Two calls are in flight when the right is taken away: both are refused."""
    kept = lanes()
    assert kept.close(2, PauseReason.SCOPE, 0.0)
    assert not kept.close(2, PauseReason.PLAN, 5.0)
    [told] = kept.not_open()
    assert (PauseReason.SCOPE, 0.0, 15.0) == (told.reason, told.since, told.next_try)
    assert [2] == kept.due(15.0)
    assert kept.close(2, PauseReason.SCOPE, 16.0)
    assert 46.0 == next(kept.not_open()).next_try


def test_since_and_reason_are_told_while_a_lane_is_not_open() -> None:
    """Since the first closing, whatever the trials said."""
    kept = lanes()
    kept.close(128, PauseReason.PLAN, 10.0)
    kept.due(25.0)
    kept.close(128, PauseReason.PLAN, 26.0)
    kept.close(2, PauseReason.SCOPE, 20.0)
    told = [(each.entity_type_id, each.reason, each.since) for each in kept.not_open()]
    assert [(128, PauseReason.PLAN, 10.0), (2, PauseReason.SCOPE, 20.0)] == told


def test_a_poison_item_at_the_head_does_not_keep_a_lane_closed() -> None:
    """Refused for its own content: the trial goes on with the next batch."""
    kept = lanes()
    kept.close(2, PauseReason.SCOPE, 0.0)
    kept.due(15.0)
    kept.left(2)
    assert not kept.answered(2, accepted=0, rejected=1, now=16.0)
    assert [] == kept.on_trial()
    kept.back(2)
    assert [2] == kept.on_trial()


def test_on_trial_only_what_belongs_to_it_joins_a_batch() -> None:
    """What waited; where nothing did, what comes before the batch has left."""
    kept = lanes()
    kept.close(2, PauseReason.SCOPE, 0.0)
    assert not kept.admits(2, waited=True)
    kept.due(15.0)
    kept.trial_of(2, 15.0, waited=True)
    assert (True, False) == (kept.admits(2, waited=True), kept.admits(2, waited=False))
    kept.trial_of(2, 15.0, waited=False)
    assert kept.admits(2, waited=False)
    kept.left(2)
    assert not kept.admits(2, waited=False)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=20))
def test_a_share_below_the_brake_closes_nothing_however_it_is_batched(sizes: list[int]) -> None:
    """Two of each five are rejected; the brake may see the last part of a batch only."""
    kept = lanes()
    assert not any(
        kept.answered(2, accepted=3 * size, rejected=2 * size, now=0.0) for size in sizes
    )


def test_a_lane_with_nothing_that_waits_counts_as_open_after_its_interval() -> None:
    """The next batch is its trial; refused, it is closed anew."""
    kept = lanes()
    kept.close(2, PauseReason.SCOPE, 0.0)
    assert not kept.is_open(2)
    kept.due(15.0)
    assert not kept.is_open(2)
    kept.trial_of(2, 15.0, waited=False)
    assert kept.is_open(2)
    assert [] == list(kept.not_open())
    assert 15.0 == kept.shut_within(2, 0.0, 20.0)
    kept.close(2, PauseReason.SCOPE, 20.0)
    assert [20.0] == [each.since for each in kept.not_open()]
    assert 50.0 == next(kept.not_open()).next_try


def test_the_brake_counts_by_type() -> None:
    """More than the share of the last so many; the caller closes."""
    kept = lanes()
    kept.answered(3, accepted=0, rejected=5, now=0.0)
    assert not kept.answered(2, accepted=5, rejected=5, now=0.0)
    assert kept.answered(2, accepted=0, rejected=6, now=1.0)
    kept.close(2, PauseReason.FAILURE_SHARE, 1.0)
    assert (LaneState.CLOSED, LaneState.OPEN) == (kept.state(2), kept.state(3))
    kept.due(16.0)
    assert not kept.answered(2, accepted=1, rejected=2, now=17.0)
    assert LaneState.CLOSED is kept.state(2)
    kept.due(60.0)
    kept.answered(2, accepted=2, rejected=1, now=61.0)
    assert LaneState.OPEN is kept.state(2)
    assert not kept.answered(2, accepted=0, rejected=9, now=62.0)


def test_what_was_counted_is_forgotten_when_the_whole_intake_is_paused_for_it() -> None:
    """The brake begins to count anew."""
    kept = lanes()
    assert kept.answered(2, accepted=0, rejected=10, now=1.0)
    refused(kept, 1)
    kept.close(2, PauseReason.FAILURE_SHARE, 1.0)
    kept.forget(2, 1.5)
    assert LaneState.OPEN is kept.state(2)
    assert not kept.answered(2, accepted=0, rejected=9, now=2.0)
    assert 1 == refused(kept, 2)


def test_broken_calls_are_counted_until_an_answer() -> None:
    """With the time since the first of them."""
    kept = lanes()
    assert [(1, 0.0), (2, 5.0)] == [kept.broke(2, now) for now in (10.0, 15.0)]
    assert kept.is_ill(2)
    assert not kept.is_ill(3)
    kept.answered(2, accepted=0, rejected=1, now=16.0)
    assert not kept.is_ill(2)
    assert (1, 0.0) == kept.broke(2, 20.0)


def test_others_pass_where_another_type_was_accepted_since_the_first_broken_call() -> None:
    """What passed before says nothing."""
    kept = lanes()
    kept.answered(3, accepted=1, rejected=0, now=9.0)
    kept.broke(2, 10.0)
    assert not kept.others_passed(2)
    kept.answered(3, accepted=1, rejected=0, now=11.0)
    assert kept.others_passed(2)


def test_the_time_shut_counts_until_a_lane_opens() -> None:
    """Through all its trials."""
    kept = lanes()
    assert 0.0 == kept.shut_within(2, 0.0, 5.0)
    kept.close(2, PauseReason.SCOPE, 10.0)
    kept.due(25.0)
    kept.close(2, PauseReason.SCOPE, 26.0)
    assert 20.0 == kept.shut_within(2, 0.0, 30.0)
    kept.due(60.0)
    kept.answered(2, accepted=1, rejected=0, now=61.0)
    assert (51.0, 1.0) == (kept.shut_within(2, 0.0, 99.0), kept.shut_within(2, 60.0, 99.0))


def test_somebody_may_ask_for_a_trial_at_once() -> None:
    """Of a lane that is closed; any other stays as it is."""
    kept = lanes()
    kept.close(2, PauseReason.SCOPE, 0.0)
    kept.try_now(2, 1.0)
    kept.try_now(3, 1.0)
    assert [2] == kept.due(1.0)
    assert LaneState.OPEN is kept.state(3)


steps = st.lists(
    st.tuples(
        st.sampled_from(["accept", "reject", "refuse", "break", "close", "due", "left", "back"]),
        st.sampled_from([2, 3]),
    ),
    max_size=40,
)


def do(kept: Lanes, what: str, kind: int, now: float) -> None:
    """Do one step."""
    match what:
        case "accept":
            kept.answered(kind, accepted=1, rejected=0, now=now)
        case "reject":
            kept.answered(kind, accepted=0, rejected=1, now=now)
        case "refuse":
            kept.suspect("100", Identity(kind, "a"))
        case "break":
            kept.broke(kind, now)
        case "close":
            kept.close(kind, PauseReason.PLAN, now)
        case "left":
            kept.left(kind)
        case "back":
            kept.back(kind)
        case _:
            kept.due(now)


@given(steps)
def test_what_happens_to_one_lane_changes_nothing_for_another(
    history: list[tuple[str, int]],
) -> None:
    """The other's state is what it would be alone."""
    both, alone = lanes(), lanes()
    for number, (what, kind) in enumerate(history):
        do(both, what, kind, 10.0 * number)
        if kind == 2 or what == "due":
            do(alone, what, kind, 10.0 * number)
        assert alone.state(2) == both.state(2)
        assert (2 in alone.on_trial()) == (2 in both.on_trial())


@given(steps)
def test_every_lane_that_is_not_open_will_be_tried(history: list[tuple[str, int]]) -> None:
    """Within the longest interval, whatever happened."""
    kept = lanes()
    for number, (what, kind) in enumerate(history):
        do(kept, what, kind, 10.0 * number)
    now = 10.0 * len(history)
    for kind in (2, 3):
        kept.back(kind)
    kept.due(now + POLICY.probe_cap)
    for kind in (2, 3):
        assert LaneState.OPEN is kept.state(kind) or kind in kept.on_trial()


def test_the_identities_that_were_refused_or_broke_alone_are_bounded() -> None:
    """More of them say no more."""
    kept = lanes()
    most = 0, 0
    for number in range(MAX_IDENTITIES + 2):
        most = refused(kept, number), kept.broke_alone(Identity(2, str(number)))
    assert (MAX_IDENTITIES, MAX_IDENTITIES) == most


def test_an_answer_about_no_item_changes_nothing() -> None:
    """Nothing was accepted, and nothing refused."""
    kept = lanes()
    kept.broke(2, 1.0)
    assert not kept.answered(2, accepted=0, rejected=0, now=2.0)
    assert (2, 4.0) == kept.broke(2, 5.0)


def test_calls_of_another_type_break_until_an_item_of_it_passes() -> None:
    """Only then they may be the portal's fault; what broke earlier says nothing."""
    kept = lanes()
    kept.broke(3, 10.0)
    assert (True, False) == (kept.others_break(2, 10.0), kept.others_break(2, 10.1))
    assert not kept.others_break(3, 0.0)
    kept.answered(3, accepted=1, rejected=0, now=11.0)
    assert not kept.others_break(2, 0.0)
