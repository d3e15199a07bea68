"""Proves what closes a lane, what opens it, and that lanes know nothing of each other."""

from hypothesis import given
from hypothesis import strategies as st

from service.domain.circuit_breaker import PausePolicy
from service.domain.events import Identity
from service.domain.lanes import BROKEN_CALLS, Lanes, LaneState, Refusal
from service.domain.outcomes import PauseReason

POLICY = PausePolicy(after=60, probe=15, probe_cap=60, brake_share=0.5, brake_items=10)


def lanes() -> Lanes:
    """Return lanes that are all open."""
    return Lanes(POLICY, max_attempts=5, fresh=100.0)


def refused(kept: Lanes, number: int, *, attempts: int = 1, kind: int = 2) -> Refusal:
    """Refuse an item of a number alone."""
    identity = Identity(kind, str(number))
    return kept.refused_alone(identity, "100", attempts=attempts, since=1.0, now=6.0)


def test_a_lane_is_open_until_something_closes_it() -> None:
    """Of a type that nobody has seen, too."""
    assert LaneState.OPEN is lanes().state(2)
    assert lanes().may_leave(2)


def test_a_lone_refusal_says_nothing_yet() -> None:
    """It is tried again alone."""
    kept = lanes()
    assert [Refusal.AGAIN] * 4 == [refused(kept, 1, attempts=n) for n in range(1, 5)]


def test_a_second_item_of_the_type_closes_the_lane() -> None:
    """One of another type does not count."""
    kept = lanes()
    assert Refusal.AGAIN is refused(kept, 1)
    assert Refusal.AGAIN is refused(kept, 2, kind=3)
    assert Refusal.CLOSE is refused(kept, 2)


def test_an_item_with_nothing_to_compare_closes_its_lane_after_all_its_attempts() -> None:
    """It waits, and is never ended by its number of tries."""
    assert Refusal.CLOSE is refused(lanes(), 1, attempts=5)


def test_an_item_is_refused_for_its_own_sake_while_others_of_its_type_pass() -> None:
    """Others of another type say nothing of it."""
    kept = lanes()
    kept.answered(3, accepted=1, rejected=0, now=5.0)
    assert Refusal.AGAIN is refused(kept, 1)
    kept.answered(2, accepted=1, rejected=0, now=5.0)
    assert Refusal.REJECT is refused(kept, 1)


def test_a_closed_lane_is_tried_at_growing_intervals_and_opens_when_an_item_is_accepted() -> None:
    """Then the interval starts anew."""
    kept, now = lanes(), 0.0
    for wait in (15, 30, 60, 60):
        kept.close(2, PauseReason.SCOPE, now)
        assert not kept.may_leave(2)
        assert [] == kept.due(now + wait - 0.1)
        now += wait
        assert now == kept.next_try()
        assert [2] == kept.due(now)
        assert kept.may_leave(2)
        kept.left(2)
        assert not kept.may_leave(2)
    assert kept.answered(2, accepted=1, rejected=0, now=now)
    assert LaneState.OPEN is kept.state(2)
    kept.close(2, PauseReason.SCOPE, now)
    assert now + 15 == kept.next_try()


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
    assert kept.may_leave(2)


def test_the_brake_counts_by_type() -> None:
    """More than the share of the last so many."""
    kept = lanes()
    kept.answered(3, accepted=0, rejected=5, now=0.0)
    assert not kept.answered(2, accepted=5, rejected=5, now=0.0)
    assert kept.answered(2, accepted=0, rejected=6, now=1.0)
    assert (LaneState.CLOSED, LaneState.OPEN) == (kept.state(2), kept.state(3))
    kept.due(16.0)
    assert kept.answered(2, accepted=1, rejected=2, now=17.0)
    assert LaneState.CLOSED is kept.state(2)
    kept.due(60.0)
    assert kept.answered(2, accepted=2, rejected=1, now=61.0)
    assert not kept.answered(2, accepted=0, rejected=9, now=62.0)


def test_broken_calls_close_a_lane_only_while_others_pass() -> None:
    """Else the portal itself is asked."""
    kept = lanes()
    assert not any(kept.broke(2, others_pass=False, now=0.0) for _ in range(9))
    kept = lanes()
    assert [False, False, True] == [
        kept.broke(2, others_pass=True, now=0.0) for _ in range(BROKEN_CALLS)
    ]


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
            kept.refused_alone(Identity(kind, "a"), "100", attempts=1, since=0.0, now=now)
        case "break":
            kept.broke(kind, others_pass=True, now=now)
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
        assert alone.may_leave(2) == both.may_leave(2)


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
    assert kept.may_leave(2)
    assert kept.may_leave(3)
