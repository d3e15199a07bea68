"""Tests when intake pauses, when it is probed, and when it flows again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.events import Identity
from service.domain.outcomes import PauseReason
from service.domain.pausing import Gate, Mode, PausePolicy

POLICY = PausePolicy(after=60.0, probe=15.0, probe_cap=100.0, brake_share=0.5, brake_items=4)
A, B = Identity(2, "a"), Identity(2, "b")


@pytest.fixture
def gate() -> Gate:
    """Give the test a flowing gate: a minute's patience, a brake over four items."""
    return Gate(POLICY)


def half_open(gate: Gate, reason: PauseReason = PauseReason.CREDENTIALS, now: float = 0.0) -> Gate:
    """Return the gate after a pause and a good probe."""
    gate.bar(reason, now)
    gate.probed(now, ok=True)
    return gate


def test_a_gate_flows_at_first(gate: Gate) -> None:
    """Nothing is known against the portal."""
    assert (Mode.FLOWING, None, None) == (gate.mode, gate.reason, gate.last_success)


@pytest.mark.parametrize(
    ("mode", "limit"), [(Mode.FLOWING, 7), (Mode.HALF_OPEN, 1), (Mode.PAUSED, 0)]
)
def test_the_mode_limits_the_calls_in_flight(gate: Gate, mode: Mode, limit: int) -> None:
    """All the slots, one, none."""
    gate.mode = mode
    assert limit == gate.limit(7)


def test_trouble_that_lasts_becomes_a_pause(gate: Gate) -> None:
    """Not a moment before; the pause is called after the last failure."""
    gate.trouble(PauseReason.UNAVAILABLE, 100.0)
    gate.trouble(PauseReason.UNAVAILABLE, 159.9)
    assert Mode.FLOWING is gate.mode
    gate.trouble(PauseReason.OPERATING_LIMIT, 160.0)
    assert (Mode.PAUSED, PauseReason.OPERATING_LIMIT) == (gate.mode, gate.reason)
    assert 175.0 == gate.probe_at


def test_an_accepted_import_ends_trouble(gate: Gate) -> None:
    """The minute starts anew with the next failure."""
    gate.trouble(PauseReason.UNAVAILABLE, 100.0)
    gate.ended(1, 0, 130.0)
    gate.trouble(PauseReason.UNAVAILABLE, 161.0)
    gate.trouble(PauseReason.UNAVAILABLE, 220.9)
    assert 7 == gate.limit(7)
    gate.trouble(PauseReason.UNAVAILABLE, 221.0)
    assert 0 == gate.limit(7)


def test_a_report_of_rejections_ends_trouble_and_no_more(gate: Gate) -> None:
    """The portal is at work; whether it takes anything is not known."""
    gate.suspect("100", A)
    gate.broke_alone(A)
    gate.trouble(PauseReason.UNAVAILABLE, 100.0)
    gate.ended(0, 1, 130.0)
    gate.trouble(PauseReason.UNAVAILABLE, 189.0)
    assert (Mode.FLOWING, None) == (gate.mode, gate.last_success)
    assert [2, 2] == [gate.suspect("100", B), gate.broke_alone(B)]


def test_a_batch_of_which_nothing_ended_ends_no_trouble(gate: Gate) -> None:
    """It says nothing."""
    gate.trouble(PauseReason.UNAVAILABLE, 100.0)
    gate.ended(0, 0, 130.0)
    gate.trouble(PauseReason.UNAVAILABLE, 160.0)
    assert Mode.PAUSED is gate.mode


@pytest.mark.parametrize("sure", [True, False])
def test_trouble_that_lasts_pauses_however_sure(gate: Gate, *, sure: bool) -> None:
    """A whole minute in which nothing passes is the portal's, not an item's."""
    for now in (100.0, 130.0, 159.9):
        gate.trouble(PauseReason.UNAVAILABLE, now, sure=sure)
    assert Mode.FLOWING is gate.mode
    gate.trouble(PauseReason.UNAVAILABLE, 160.0, sure=sure)
    assert (Mode.PAUSED, PauseReason.UNAVAILABLE) == (gate.mode, gate.reason)


def test_a_half_open_gate_is_shut_at_once_by_sure_trouble_only(gate: Gate) -> None:
    """A poison item in the first batch must be found, or the gate would never open."""
    half_open(gate)
    for now in (20.0, 50.0, 79.9):
        gate.trouble(PauseReason.UNAVAILABLE, now, sure=False)
    assert 1 == gate.limit(7)
    gate.trouble(PauseReason.UNAVAILABLE, 80.0, sure=False)
    assert (0, PauseReason.CREDENTIALS) == (gate.limit(7), gate.reason)
    gate.probed(110.0, ok=True)
    gate.trouble(PauseReason.UNAVAILABLE, 110.0)
    assert 0 == gate.limit(7)


@pytest.mark.parametrize(("calls", "mode"), [(2, Mode.FLOWING), (3, Mode.PAUSED)])
def test_unsure_trouble_pauses_only_from_the_third_in_a_row(
    gate: Gate, calls: int, mode: Mode
) -> None:
    """However long it lasts: two slow calls may be one item's fault."""
    for number in range(calls):
        gate.trouble(PauseReason.UNAVAILABLE, 100.0 + 500.0 * number, sure=False)
    assert mode is gate.mode


def test_sure_trouble_and_success_break_a_row_of_unsure_trouble(gate: Gate) -> None:
    """It is counted afresh."""
    for _ in range(2):
        gate.trouble(PauseReason.UNAVAILABLE, 100.0, sure=False)
    gate.trouble(PauseReason.UNAVAILABLE, 101.0)
    for _ in range(2):
        gate.trouble(PauseReason.UNAVAILABLE, 200.0, sure=False)
    gate.ended(1, 0, 201.0)
    for now in (300.0, 400.0):
        gate.trouble(PauseReason.UNAVAILABLE, now, sure=False)
    assert Mode.FLOWING is gate.mode


def test_what_was_found_is_evidence_and_opens_nothing(gate: Gate) -> None:
    """An earlier call accepted it: the portal may be ill now, but the items are good."""
    gate.suspect("100", A)
    gate.trouble(PauseReason.UNAVAILABLE, 100.0)
    gate.ended(0, 0, 101.0, found=2)
    assert (101.0, 2) == (gate.last_success, gate.suspect("100", B))
    gate.ended(0, 2, 102.0)
    assert Mode.FLOWING is gate.mode
    gate.ended(0, 1, 103.0)
    assert (Mode.PAUSED, PauseReason.FAILURE_SHARE) == (gate.mode, gate.reason)


def test_a_half_open_gate_with_nothing_to_try_flows(gate: Gate) -> None:
    """A paused one does not."""
    gate.bar(PauseReason.CREDENTIALS, 0.0)
    gate.idle()
    assert Mode.PAUSED is gate.mode
    gate.probed(15.0, ok=True)
    gate.idle()
    assert (Mode.FLOWING, None, None) == (gate.mode, gate.reason, gate.last_success)


def test_trouble_in_a_pause_does_not_shut_the_gate_after_it(gate: Gate) -> None:
    """It belongs to calls from before."""
    gate.bar(PauseReason.CREDENTIALS, 0.0)
    gate.trouble(PauseReason.UNAVAILABLE, 1.0, sure=False)
    gate.probed(15.0, ok=True)
    gate.trouble(PauseReason.UNAVAILABLE, 70.0, sure=False)
    assert Mode.HALF_OPEN is gate.mode


def test_a_pause_forgets_the_trouble_before_it(gate: Gate) -> None:
    """After a recovery a single failure is a new beginning."""
    gate.trouble(PauseReason.UNAVAILABLE, 0.0)
    gate.bar(PauseReason.CREDENTIALS, 1.0)
    gate.probed(2.0, ok=True)
    gate.ended(1, 0, 3.0)
    gate.trouble(PauseReason.UNAVAILABLE, 100.0)
    assert Mode.FLOWING is gate.mode


def test_a_bar_pauses_at_once(gate: Gate) -> None:
    """Only a person can mend it; patience is vain."""
    gate.bar(PauseReason.CREDENTIALS, 10.0)
    assert (Mode.PAUSED, PauseReason.CREDENTIALS) == (gate.mode, gate.reason)
    assert 25.0 == gate.probe_at


def test_a_late_bar_renames_a_pause_and_no_more(gate: Gate) -> None:
    """A call that was in flight neither hurries nor delays the probe."""
    gate.bar(PauseReason.CREDENTIALS, 10.0)
    gate.bar(PauseReason.PLAN, 20.0)
    gate.trouble(PauseReason.UNAVAILABLE, 90.0)
    assert (PauseReason.PLAN, 25.0) == (gate.reason, gate.probe_at)
    gate.probed(25.0, ok=False)
    assert 55.0 == gate.probe_at


def test_a_failed_probe_doubles_the_interval_up_to_the_cap(gate: Gate) -> None:
    """15, 30, 60, 100, 100 seconds."""
    gate.bar(PauseReason.CREDENTIALS, 0.0)
    times = [gate.probe_at]
    for _ in range(4):
        gate.probed(gate.probe_at, ok=False)
        times.append(gate.probe_at)
    assert [15.0, 45.0, 105.0, 205.0, 305.0] == times
    assert Mode.PAUSED is gate.mode


def test_a_failed_probe_may_name_another_reason(gate: Gate) -> None:
    """What it does not name stays as it was."""
    gate.bar(PauseReason.CREDENTIALS, 0.0)
    gate.probed(15.0, ok=False, reason=PauseReason.BLOCKED)
    assert PauseReason.BLOCKED is gate.reason
    gate.probed(45.0, ok=False)
    assert PauseReason.BLOCKED is gate.reason


def test_a_good_probe_opens_the_gate_by_half(gate: Gate) -> None:
    """The reason stays shown until an import is accepted."""
    half_open(gate)
    assert (Mode.HALF_OPEN, PauseReason.CREDENTIALS) == (gate.mode, gate.reason)


def test_a_probe_that_comes_late_changes_nothing(gate: Gate) -> None:
    """Nobody waits for it any more."""
    gate.probed(1.0, ok=True)
    gate.probed(1.0, ok=False, reason=PauseReason.PLAN)
    assert (Mode.FLOWING, None) == (gate.mode, gate.reason)
    half_open(gate, now=2.0)
    gate.probed(3.0, ok=False, reason=PauseReason.PLAN)
    assert (Mode.HALF_OPEN, PauseReason.CREDENTIALS) == (gate.mode, gate.reason)


def test_an_accepted_import_opens_the_gate_wholly(gate: Gate) -> None:
    """And only it resets the interval."""
    half_open(gate)
    gate.ended(1, 3, 20.0)
    assert (Mode.FLOWING, None, 20.0) == (gate.mode, gate.reason, gate.last_success)
    gate.bar(PauseReason.PLAN, 100.0)
    assert 115.0 == gate.probe_at


def test_a_good_probe_does_not_reset_the_interval(gate: Gate) -> None:
    """A portal that answers probes and fails imports is asked less and less."""
    half_open(gate)
    gate.trouble(PauseReason.UNAVAILABLE, 20.0)
    assert (Mode.PAUSED, PauseReason.CREDENTIALS, 50.0) == (gate.mode, gate.reason, gate.probe_at)
    gate.probed(50.0, ok=True)
    gate.bar(PauseReason.PLAN, 51.0)
    assert (Mode.PAUSED, PauseReason.PLAN, 111.0) == (gate.mode, gate.reason, gate.probe_at)


def test_a_refused_item_neither_opens_nor_shuts_a_half_open_gate(gate: Gate) -> None:
    """Its own fault says nothing of the portal's trouble."""
    half_open(gate)
    gate.ended(0, 3, 20.0)
    assert (Mode.HALF_OPEN, PauseReason.CREDENTIALS) == (gate.mode, gate.reason)


def test_the_brake_pauses_when_most_items_are_rejected(gate: Gate) -> None:
    """More than the share of the last four, and not before four were answered."""
    gate.ended(0, 3, 1.0)
    assert Mode.FLOWING is gate.mode
    gate.ended(1, 0, 2.0)
    assert (Mode.PAUSED, PauseReason.FAILURE_SHARE) == (gate.mode, gate.reason)


def test_the_brake_allows_exactly_its_share(gate: Gate) -> None:
    """Half of four is not more than half."""
    gate.ended(2, 2, 1.0)
    assert Mode.FLOWING is gate.mode


def test_the_brake_looks_at_the_last_items_only(gate: Gate) -> None:
    """Old refusals roll out of its sight."""
    gate.ended(2, 2, 1.0)
    gate.ended(2, 0, 2.0)
    gate.ended(0, 2, 3.0)
    assert 7 == gate.limit(7)
    gate.ended(0, 1, 4.0)
    assert 0 == gate.limit(7)


def test_no_brake_where_it_is_off() -> None:
    """Everything may be rejected."""
    gate = Gate(PausePolicy(after=60.0, probe=15.0, probe_cap=100.0))
    gate.ended(0, 500, 1.0)
    assert Mode.FLOWING is gate.mode


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
def test_a_braked_gate_wants_a_mostly_accepted_batch(
    gate: Gate, imported: int, rejected: int, mode: Mode
) -> None:
    """Otherwise it brakes again; a batch without a verdict decides nothing."""
    half_open(gate, PauseReason.FAILURE_SHARE)
    gate.ended(imported, rejected, 20.0)
    assert mode is gate.mode


def test_the_brake_starts_counting_afresh_when_the_gate_opens(gate: Gate) -> None:
    """The refusals that shut it do not shut it twice."""
    gate.ended(0, 4, 1.0)
    gate.probed(16.0, ok=True)
    gate.ended(2, 2, 17.0)
    gate.ended(0, 1, 18.0)
    assert Mode.FLOWING is gate.mode


def test_answers_that_come_in_a_pause_change_no_mode(gate: Gate) -> None:
    """The call was in flight when the gate shut."""
    gate.bar(PauseReason.CREDENTIALS, 0.0)
    gate.ended(5, 0, 1.0)
    gate.ended(0, 5, 1.0)
    assert (Mode.PAUSED, PauseReason.CREDENTIALS, 1.0) == (
        gate.mode,
        gate.reason,
        gate.last_success,
    )


def test_suspects_are_counted_once_each_and_by_code(gate: Gate) -> None:
    """A second refusal of the same item proves nothing new."""
    assert [1, 1, 2, 1] == [
        gate.suspect("100", A),
        gate.suspect("100", A),
        gate.suspect("100", B),
        gate.suspect("ACCESS_DENIED", B),
    ]


def test_a_success_clears_the_suspicion(gate: Gate) -> None:
    """Items that pass show that the portal is open."""
    gate.suspect("100", A)
    gate.ended(0, 1, 1.0)
    assert 2 == gate.suspect("100", B)
    gate.ended(1, 0, 2.0)
    assert 1 == gate.suspect("100", B)


def test_items_that_break_their_call_alone_are_counted_once_each(gate: Gate) -> None:
    """By type, and until an item of that type passes."""
    assert [1, 1, 2] == [gate.broke_alone(each) for each in (A, A, B)]
    gate.ended(1, 0, 1.0, entity_type_id=1)
    assert (2, 1) == (gate.broke_alone(B), gate.broke_alone(Identity(1, "a")))
    gate.ended(1, 0, 2.0, entity_type_id=2)
    assert 1 == gate.broke_alone(B)


def test_a_pause_clears_the_suspicion(gate: Gate) -> None:
    """It has done its work."""
    gate.suspect("100", A)
    half_open(gate)
    assert 1 == gate.suspect("100", B)


MOVES = st.one_of(
    st.tuples(st.just("trouble"), st.sampled_from(PauseReason), st.booleans()),
    st.tuples(st.just("bar"), st.sampled_from(PauseReason)),
    st.tuples(st.just("ended"), st.integers(0, 5), st.integers(0, 5)),
    st.tuples(st.just("probed"), st.booleans()),
)


HISTORY = st.lists(st.tuples(st.floats(0, 100), MOVES), max_size=40)


def play(gate: Gate, move: tuple[object, ...], now: float) -> None:
    """Tell the gate what has happened."""
    match move:
        case ("trouble", PauseReason() as reason, bool(sure)):
            gate.trouble(reason, now, sure=sure)
        case ("bar", PauseReason() as reason):
            gate.bar(reason, now)
        case ("ended", int(imported), int(rejected)):
            gate.ended(imported, rejected, now)
        case ("probed", bool(ok)):
            gate.probed(now, ok=ok)
        case _:
            raise AssertionError(move)


@given(HISTORY)
def test_any_history_keeps_the_gate_explainable(
    history: list[tuple[float, tuple[object, ...]]],
) -> None:
    """Shut has a reason and a probe within the cap; open comes only from an accepted import."""
    gate, now = Gate(POLICY), 0.0
    for seconds, move in history:
        now, before = now + seconds, gate.mode
        play(gate, move, now)
        if gate.mode is Mode.FLOWING and before is not Mode.FLOWING:
            assert ("ended", True) == (move[0], bool(move[1]))
        assert (gate.mode is Mode.FLOWING) == (gate.reason is None)
        assert not (before is Mode.PAUSED and gate.mode is Mode.FLOWING)
        if gate.mode is Mode.PAUSED and before is not Mode.PAUSED:
            assert POLICY.probe <= gate.probe_at - now + 1e-6
        assert gate.probe_at <= now + POLICY.probe_cap


@given(HISTORY)
def test_no_history_lets_unsure_trouble_shut_a_half_open_gate_early(
    history: list[tuple[float, tuple[object, ...]]],
) -> None:
    """Whatever was before the pause: patience starts when the gate opens by half."""
    gate, now, opened = Gate(POLICY), 0.0, 0.0
    for seconds, move in history:
        now, before = now + seconds, gate.mode
        play(gate, move, now)
        if before is Mode.PAUSED and gate.mode is Mode.HALF_OPEN:
            opened = now
        unsure = move[0] == "trouble" and move[-1] is False
        if before is Mode.HALF_OPEN and unsure and now < opened + POLICY.after:
            assert Mode.HALF_OPEN is gate.mode


@pytest.mark.parametrize(("share", "items"), [(0.0, 4), (0.5, 0), (0.0, 0)])
def test_either_zero_takes_the_brake_off(share: float, items: int) -> None:
    """However many items are refused."""
    gate = Gate(PausePolicy(60, 15, 300, brake_share=share, brake_items=items))
    gate.ended(0, 100, 100.0)
    assert Mode.FLOWING is gate.mode


def test_refusals_of_our_own_say_nothing_of_the_portal() -> None:
    """An outage becomes a pause although flawed items end meanwhile; for the brake they count."""
    gate = Gate(PausePolicy(after=60, probe=15, probe_cap=300, brake_items=4))
    gate.trouble(PauseReason.UNAVAILABLE, 100.0)
    gate.ended(0, 0, 130.0, judged=1)
    gate.trouble(PauseReason.UNAVAILABLE, 161.0)
    assert PauseReason.UNAVAILABLE is gate.reason
    braked = Gate(PausePolicy(after=60, probe=15, probe_cap=300, brake_items=4))
    braked.ended(0, 0, 100.0, judged=4)
    assert PauseReason.FAILURE_SHARE is braked.reason


def test_a_portal_that_wants_to_be_left_alone_for_long_is_a_pause_at_once() -> None:
    """It says itself that its trouble lasts; less than a pause takes is only a wait."""
    gate = Gate(PausePolicy(after=60, probe=15, probe_cap=300))
    gate.left_alone(PauseReason.UNAVAILABLE, 59.9, 0.0)
    assert Mode.FLOWING is gate.mode
    gate.left_alone(PauseReason.OPERATING_LIMIT, 60.0, 1.0)
    assert (Mode.PAUSED, PauseReason.OPERATING_LIMIT) == (gate.mode, gate.reason)
    gate.left_alone(PauseReason.UNAVAILABLE, 3600.0, 2.0)
    assert (PauseReason.OPERATING_LIMIT, 16.0) == (gate.reason, gate.probe_at)


def test_the_time_in_which_the_portal_takes_imports_is_counted(gate: Gate) -> None:
    """From the first question on; not while the intake is paused."""
    assert 0.0 == gate.open_seconds(100.0)
    assert 50.0 == gate.open_seconds(150.0)
    gate.bar(PauseReason.CREDENTIALS, 160.0)
    assert 60.0 == gate.open_seconds(500.0)
    gate.probed(1000.0, ok=True)
    assert 65.0 == gate.open_seconds(1005.0)
