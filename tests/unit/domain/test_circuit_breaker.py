"""Tests when intake pauses, when it is probed, and when it flows again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.circuit_breaker import CircuitBreaker, Mode, PausePolicy
from service.domain.events import Identity
from service.domain.outcomes import PauseReason

POLICY = PausePolicy(after=60.0, probe=15.0, probe_cap=100.0, brake_share=0.5, brake_items=4)
A, B = Identity(2, "a"), Identity(2, "b")


@pytest.fixture
def breaker() -> CircuitBreaker:
    """Give the test a flowing breaker: a minute's patience, a brake over four items."""
    return CircuitBreaker(POLICY)


def half_open(
    breaker: CircuitBreaker, reason: PauseReason = PauseReason.CREDENTIALS, now: float = 0.0
) -> CircuitBreaker:
    """Return the breaker after a pause and a good probe."""
    breaker.trip(reason, now)
    breaker.probed(now, ok=True)
    return breaker


def test_a_breaker_flows_at_first(breaker: CircuitBreaker) -> None:
    """Nothing is known against the portal."""
    assert (Mode.FLOWING, None, None) == (breaker.mode, breaker.reason, breaker.last_success)


@pytest.mark.parametrize(
    ("mode", "limit"), [(Mode.FLOWING, 7), (Mode.HALF_OPEN, 1), (Mode.PAUSED, 0)]
)
def test_the_mode_limits_the_calls_in_flight(
    breaker: CircuitBreaker, mode: Mode, limit: int
) -> None:
    """All the slots, one, none."""
    breaker.mode = mode
    assert limit == breaker.limit(7)


def test_half_open_a_suspected_event_waits_for_others_to_come(breaker: CircuitBreaker) -> None:
    """In other modes it goes like any other."""
    assert breaker.suspected_from() is None
    breaker.trip(PauseReason.SCOPE, 0.0)
    assert breaker.suspected_from() is None
    breaker.probed(50.0, ok=True)
    assert 50.2 == breaker.suspected_from()


def test_trouble_that_lasts_becomes_a_pause(breaker: CircuitBreaker) -> None:
    """Not a moment before; the pause is called after the last failure."""
    breaker.record_failure(PauseReason.UNAVAILABLE, 100.0)
    breaker.record_failure(PauseReason.UNAVAILABLE, 159.9)
    assert Mode.FLOWING is breaker.mode
    breaker.record_failure(PauseReason.OPERATING_LIMIT, 160.0)
    assert (Mode.PAUSED, PauseReason.OPERATING_LIMIT) == (breaker.mode, breaker.reason)
    assert 175.0 == breaker.probe_at


def test_an_accepted_import_ends_trouble(breaker: CircuitBreaker) -> None:
    """The minute starts anew with the next failure."""
    breaker.record_failure(PauseReason.UNAVAILABLE, 100.0)
    breaker.ended(1, 0, 130.0)
    breaker.record_failure(PauseReason.UNAVAILABLE, 161.0)
    breaker.record_failure(PauseReason.UNAVAILABLE, 220.9)
    assert 7 == breaker.limit(7)
    breaker.record_failure(PauseReason.UNAVAILABLE, 221.0)
    assert 0 == breaker.limit(7)


def test_a_report_of_rejections_ends_trouble_and_no_more(breaker: CircuitBreaker) -> None:
    """The portal is at work; whether it takes anything is not known."""
    breaker.record_failure(PauseReason.UNAVAILABLE, 100.0)
    breaker.ended(0, 1, 130.0)
    breaker.record_failure(PauseReason.UNAVAILABLE, 189.0)
    assert (Mode.FLOWING, None) == (breaker.mode, breaker.last_success)


def test_a_batch_of_which_nothing_ended_ends_no_trouble(breaker: CircuitBreaker) -> None:
    """It says nothing."""
    breaker.record_failure(PauseReason.UNAVAILABLE, 100.0)
    breaker.ended(0, 0, 130.0)
    breaker.record_failure(PauseReason.UNAVAILABLE, 160.0)
    assert Mode.PAUSED is breaker.mode


@pytest.mark.parametrize("sure", [True, False])
def test_trouble_that_lasts_pauses_however_sure(breaker: CircuitBreaker, *, sure: bool) -> None:
    """A whole minute in which nothing passes is the portal's, not an item's."""
    for now in (100.0, 130.0, 159.9):
        breaker.record_failure(PauseReason.UNAVAILABLE, now, sure=sure)
    assert Mode.FLOWING is breaker.mode
    breaker.record_failure(PauseReason.UNAVAILABLE, 160.0, sure=sure)
    assert (Mode.PAUSED, PauseReason.UNAVAILABLE) == (breaker.mode, breaker.reason)


def test_a_half_open_breaker_is_shut_at_once_by_sure_trouble_only(breaker: CircuitBreaker) -> None:
    """A poison item in the first batch must be found, or the breaker would never open."""
    half_open(breaker)
    for now in (20.0, 50.0, 79.9):
        breaker.record_failure(PauseReason.UNAVAILABLE, now, sure=False)
    assert 1 == breaker.limit(7)
    breaker.record_failure(PauseReason.UNAVAILABLE, 80.0, sure=False)
    assert (0, PauseReason.CREDENTIALS) == (breaker.limit(7), breaker.reason)
    breaker.probed(110.0, ok=True)
    breaker.record_failure(PauseReason.UNAVAILABLE, 110.0)
    assert 0 == breaker.limit(7)


@pytest.mark.parametrize(("calls", "mode"), [(2, Mode.FLOWING), (3, Mode.PAUSED)])
def test_unsure_trouble_pauses_only_from_the_third_in_a_row(
    breaker: CircuitBreaker, calls: int, mode: Mode
) -> None:
    """However long it lasts: two slow calls may be one item's fault."""
    for number in range(calls):
        breaker.record_failure(PauseReason.UNAVAILABLE, 100.0 + 500.0 * number, sure=False)
    assert mode is breaker.mode


def test_sure_trouble_and_success_break_a_row_of_unsure_trouble(breaker: CircuitBreaker) -> None:
    """It is counted afresh."""
    for _ in range(2):
        breaker.record_failure(PauseReason.UNAVAILABLE, 100.0, sure=False)
    breaker.record_failure(PauseReason.UNAVAILABLE, 101.0)
    for _ in range(2):
        breaker.record_failure(PauseReason.UNAVAILABLE, 200.0, sure=False)
    breaker.ended(1, 0, 201.0)
    for now in (300.0, 400.0):
        breaker.record_failure(PauseReason.UNAVAILABLE, now, sure=False)
    assert Mode.FLOWING is breaker.mode


def test_what_was_found_is_evidence_and_opens_nothing(breaker: CircuitBreaker) -> None:
    """An earlier call accepted it: the portal may be ill now, but the items are good."""
    breaker.record_failure(PauseReason.UNAVAILABLE, 100.0)
    breaker.ended(0, 0, 101.0, found=2)
    assert 101.0 == breaker.last_success
    breaker.record_failure(PauseReason.UNAVAILABLE, 160.0)
    assert Mode.PAUSED is breaker.mode
    breaker.probed(175.0, ok=True)
    breaker.ended(0, 0, 176.0, found=2)
    assert 1 == breaker.limit(7)


def test_a_half_open_breaker_with_nothing_to_try_flows(breaker: CircuitBreaker) -> None:
    """After one interval of probes; a paused one does not."""
    assert POLICY.probe == breaker.idle_after
    breaker.trip(PauseReason.CREDENTIALS, 0.0)
    breaker.idle()
    assert Mode.PAUSED is breaker.mode
    breaker.probed(15.0, ok=True)
    breaker.idle()
    assert (Mode.FLOWING, None, None) == (breaker.mode, breaker.reason, breaker.last_success)


def test_trouble_in_a_pause_does_not_shut_the_breaker_after_it(breaker: CircuitBreaker) -> None:
    """It belongs to calls from before."""
    breaker.trip(PauseReason.CREDENTIALS, 0.0)
    breaker.record_failure(PauseReason.UNAVAILABLE, 1.0, sure=False)
    breaker.probed(15.0, ok=True)
    breaker.record_failure(PauseReason.UNAVAILABLE, 70.0, sure=False)
    assert Mode.HALF_OPEN is breaker.mode


def test_a_pause_forgets_the_trouble_before_it(breaker: CircuitBreaker) -> None:
    """After a recovery a single failure is a new beginning."""
    breaker.record_failure(PauseReason.UNAVAILABLE, 0.0)
    breaker.trip(PauseReason.CREDENTIALS, 1.0)
    breaker.probed(2.0, ok=True)
    breaker.ended(1, 0, 3.0)
    breaker.record_failure(PauseReason.UNAVAILABLE, 100.0)
    assert Mode.FLOWING is breaker.mode


def test_a_bar_pauses_at_once(breaker: CircuitBreaker) -> None:
    """Only a person can mend it; patience is vain."""
    breaker.trip(PauseReason.CREDENTIALS, 10.0)
    assert (Mode.PAUSED, PauseReason.CREDENTIALS) == (breaker.mode, breaker.reason)
    assert 25.0 == breaker.probe_at


def test_a_late_bar_renames_a_pause_and_no_more(breaker: CircuitBreaker) -> None:
    """A call that was in flight neither hurries nor delays the probe."""
    breaker.trip(PauseReason.CREDENTIALS, 10.0)
    breaker.trip(PauseReason.PLAN, 20.0)
    breaker.record_failure(PauseReason.UNAVAILABLE, 90.0)
    assert (PauseReason.PLAN, 25.0) == (breaker.reason, breaker.probe_at)
    breaker.probed(25.0, ok=False)
    assert 55.0 == breaker.probe_at


def test_a_failed_probe_doubles_the_interval_up_to_the_cap(breaker: CircuitBreaker) -> None:
    """15, 30, 60, 100, 100 seconds."""
    breaker.trip(PauseReason.CREDENTIALS, 0.0)
    times = [breaker.probe_at]
    for _ in range(4):
        breaker.probed(breaker.probe_at, ok=False)
        times.append(breaker.probe_at)
    assert [15.0, 45.0, 105.0, 205.0, 305.0] == times
    assert Mode.PAUSED is breaker.mode


def test_a_failed_probe_may_name_another_reason(breaker: CircuitBreaker) -> None:
    """What it does not name stays as it was."""
    breaker.trip(PauseReason.CREDENTIALS, 0.0)
    breaker.probed(15.0, ok=False, reason=PauseReason.BLOCKED)
    assert PauseReason.BLOCKED is breaker.reason
    breaker.probed(45.0, ok=False)
    assert PauseReason.BLOCKED is breaker.reason


def test_a_good_probe_opens_the_breaker_by_half(breaker: CircuitBreaker) -> None:
    """The reason stays shown until an import is accepted."""
    half_open(breaker)
    assert (Mode.HALF_OPEN, PauseReason.CREDENTIALS) == (breaker.mode, breaker.reason)


def test_a_probe_that_comes_late_changes_nothing(breaker: CircuitBreaker) -> None:
    """Nobody waits for it any more."""
    breaker.probed(1.0, ok=True)
    breaker.probed(1.0, ok=False, reason=PauseReason.PLAN)
    assert (Mode.FLOWING, None) == (breaker.mode, breaker.reason)
    half_open(breaker, now=2.0)
    breaker.probed(3.0, ok=False, reason=PauseReason.PLAN)
    assert (Mode.HALF_OPEN, PauseReason.CREDENTIALS) == (breaker.mode, breaker.reason)


def test_an_accepted_import_opens_the_breaker_wholly(breaker: CircuitBreaker) -> None:
    """And only it resets the interval."""
    half_open(breaker)
    breaker.ended(1, 3, 20.0)
    assert (Mode.FLOWING, None, 20.0) == (breaker.mode, breaker.reason, breaker.last_success)
    breaker.trip(PauseReason.PLAN, 100.0)
    assert 115.0 == breaker.probe_at


def test_a_good_probe_does_not_reset_the_interval(breaker: CircuitBreaker) -> None:
    """A portal that answers probes and fails imports is asked less and less."""
    half_open(breaker)
    breaker.record_failure(PauseReason.UNAVAILABLE, 20.0)
    assert (Mode.PAUSED, PauseReason.CREDENTIALS, 50.0) == (
        breaker.mode,
        breaker.reason,
        breaker.probe_at,
    )
    breaker.probed(50.0, ok=True)
    breaker.trip(PauseReason.PLAN, 51.0)
    assert (Mode.PAUSED, PauseReason.PLAN, 111.0) == (
        breaker.mode,
        breaker.reason,
        breaker.probe_at,
    )


def test_a_refused_item_neither_opens_nor_shuts_a_half_open_breaker(
    breaker: CircuitBreaker,
) -> None:
    """Its own fault says nothing of the portal's trouble."""
    half_open(breaker)
    breaker.ended(0, 3, 20.0)
    assert (Mode.HALF_OPEN, PauseReason.CREDENTIALS) == (breaker.mode, breaker.reason)


@pytest.mark.parametrize(
    ("imported", "rejected", "mode"),
    [
        (3, 3, Mode.FLOWING),
        (3, 4, Mode.PAUSED),
        (0, 1, Mode.PAUSED),
        (0, 0, Mode.HALF_OPEN),
        (1, 0, Mode.FLOWING),
    ],
)
def test_a_braked_breaker_wants_a_mostly_accepted_batch(
    breaker: CircuitBreaker, imported: int, rejected: int, mode: Mode
) -> None:
    """Otherwise it brakes again; a batch without a verdict decides nothing."""
    half_open(breaker, PauseReason.FAILURE_SHARE)
    breaker.ended(imported, rejected, 20.0)
    assert mode is breaker.mode


def test_answers_that_come_in_a_pause_change_no_mode(breaker: CircuitBreaker) -> None:
    """The call was in flight when the breaker shut."""
    breaker.trip(PauseReason.CREDENTIALS, 0.0)
    breaker.ended(5, 0, 1.0)
    breaker.ended(0, 5, 1.0)
    assert (Mode.PAUSED, PauseReason.CREDENTIALS, 1.0) == (
        breaker.mode,
        breaker.reason,
        breaker.last_success,
    )


MOVES = st.one_of(
    st.tuples(st.just("trouble"), st.sampled_from(PauseReason), st.booleans()),
    st.tuples(st.just("bar"), st.sampled_from(PauseReason)),
    st.tuples(st.just("ended"), st.integers(0, 5), st.integers(0, 5)),
    st.tuples(st.just("probed"), st.booleans()),
)


HISTORY = st.lists(st.tuples(st.floats(0, 100), MOVES), max_size=40)


def play(breaker: CircuitBreaker, move: tuple[object, ...], now: float) -> None:
    """Tell the breaker what has happened."""
    match move:
        case ("trouble", PauseReason() as reason, bool(sure)):
            breaker.record_failure(reason, now, sure=sure)
        case ("bar", PauseReason() as reason):
            breaker.trip(reason, now)
        case ("ended", int(imported), int(rejected)):
            breaker.ended(imported, rejected, now)
        case ("probed", bool(ok)):
            breaker.probed(now, ok=ok)
        case _:
            raise AssertionError(move)


@given(HISTORY)
def test_any_history_keeps_the_breaker_explainable(
    history: list[tuple[float, tuple[object, ...]]],
) -> None:
    """Shut has a reason and a probe within the cap; open comes only from an accepted import."""
    breaker, now = CircuitBreaker(POLICY), 0.0
    for seconds, move in history:
        now, before = now + seconds, breaker.mode
        play(breaker, move, now)
        if breaker.mode is Mode.FLOWING and before is not Mode.FLOWING:
            assert ("ended", True) == (move[0], bool(move[1]))
        assert (breaker.mode is Mode.FLOWING) == (breaker.reason is None)
        assert not (before is Mode.PAUSED and breaker.mode is Mode.FLOWING)
        if breaker.mode is Mode.PAUSED and before is not Mode.PAUSED:
            assert POLICY.probe <= breaker.probe_at - now + 1e-6
        assert breaker.probe_at <= now + POLICY.probe_cap


@given(HISTORY)
def test_no_history_lets_unsure_trouble_shut_a_half_open_breaker_early(
    history: list[tuple[float, tuple[object, ...]]],
) -> None:
    """Whatever was before the pause: patience starts when the breaker opens by half."""
    breaker, now, opened = CircuitBreaker(POLICY), 0.0, 0.0
    for seconds, move in history:
        now, before = now + seconds, breaker.mode
        play(breaker, move, now)
        if before is Mode.PAUSED and breaker.mode is Mode.HALF_OPEN:
            opened = now
        unsure = move[0] == "trouble" and move[-1] is False
        if before is Mode.HALF_OPEN and unsure and now < opened + POLICY.after:
            assert Mode.HALF_OPEN is breaker.mode


def test_refusals_of_our_own_say_nothing_of_the_portal() -> None:
    """An outage becomes a pause although flawed items end meanwhile."""
    breaker = CircuitBreaker(PausePolicy(after=60, probe=15, probe_cap=300, brake_items=4))
    breaker.record_failure(PauseReason.UNAVAILABLE, 100.0)
    breaker.ended(0, 0, 130.0, judged=1)
    breaker.record_failure(PauseReason.UNAVAILABLE, 161.0)
    assert PauseReason.UNAVAILABLE is breaker.reason


def test_a_portal_that_wants_to_be_left_alone_for_long_is_a_pause_at_once() -> None:
    """It says itself that its trouble lasts; less than a pause takes is only a wait."""
    breaker = CircuitBreaker(PausePolicy(after=60, probe=15, probe_cap=300))
    breaker.left_alone(PauseReason.UNAVAILABLE, 59.9, 0.0)
    assert Mode.FLOWING is breaker.mode
    breaker.left_alone(PauseReason.OPERATING_LIMIT, 60.0, 1.0)
    assert (Mode.PAUSED, PauseReason.OPERATING_LIMIT) == (breaker.mode, breaker.reason)
    breaker.left_alone(PauseReason.UNAVAILABLE, 3600.0, 2.0)
    assert (PauseReason.OPERATING_LIMIT, 16.0) == (breaker.reason, breaker.probe_at)


def test_the_time_of_a_pause_is_remembered(breaker: CircuitBreaker) -> None:
    """Waiting is counted without it."""
    assert 0.0 == breaker.shut.within(0.0, 150.0)
    breaker.trip(PauseReason.CREDENTIALS, 160.0)
    assert 340.0 == breaker.shut.within(100.0, 500.0)
    breaker.probed(1000.0, ok=True)
    assert (840.0, 40.0) == (breaker.shut.within(0.0, 1005.0), breaker.shut.within(960.0, 1005.0))


def test_a_portal_that_answers_a_probe_is_not_ill_as_a_whole(breaker: CircuitBreaker) -> None:
    """The trouble so far was that of one type."""
    breaker.record_failure(PauseReason.UNAVAILABLE, 100.0)
    breaker.healthy()
    breaker.record_failure(PauseReason.UNAVAILABLE, 161.0)
    assert Mode.FLOWING is breaker.mode
    assert POLICY.after == breaker.lasting


@pytest.mark.parametrize(
    ("reason", "at"), [(PauseReason.CREDENTIALS, 5.0), (PauseReason.UNAVAILABLE, 15.0)]
)
def test_new_credentials_have_a_pause_for_credentials_probed_at_once(
    breaker: CircuitBreaker, reason: PauseReason, at: float
) -> None:
    """No other pause ends by them."""
    breaker.trip(reason, 0.0)
    breaker.hurry(5.0)
    assert at == breaker.probe_at
