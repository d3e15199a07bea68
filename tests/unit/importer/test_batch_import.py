"""Tests how one batch is carried through its calls, whatever the portal says."""

import asyncio
import heapq
from collections.abc import Mapping
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bitrix.errors import classify_item
from service.domain.batch import Batch
from service.domain.circuit_breaker import CircuitBreaker, Mode, PausePolicy
from service.domain.claim import Claim
from service.domain.claims import Claims
from service.domain.decisions import UNFINISHED, Decision, Rules
from service.domain.events import ItemEvent
from service.domain.history import Doubt
from service.domain.lanes import Lanes
from service.domain.outcomes import (
    MISSING,
    Accepted,
    CallKind,
    Failed,
    FailureKind,
    Fault,
    Imported,
    Outcome,
    PauseReason,
    RefusalKind,
    Refused,
    Verdict,
)
from service.importer.batch_import import Importer
from service.importer.evidence import Evidence
from service.importer.memory import CallNotes
from service.telemetry.metrics import Metrics
from tests.unit.bitrix.scripted import Breaks, Clock, Says, ScriptedPortal
from tests.unit.domain.samples import RULES, batch, claim, event, fault
from tests.virtual_time import run

BROKE = fault(CallKind.AMBIGUOUS, "400", 400)
TIMED_OUT = fault(CallKind.AMBIGUOUS, "CALL_TIMED_OUT", None, answered=False)
BINDER = fault(CallKind.SUSPECT, "100", 400)
NO_AUTH = fault(CallKind.SUSPECT, "NO_AUTH_FOUND", 401, pause=PauseReason.CREDENTIALS)
UNREACHABLE = fault(CallKind.UNAVAILABLE, "CONNECTION_LOST", None, answered=False)
ILL = fault(CallKind.AMBIGUOUS, "INTERNAL_SERVER_ERROR", 500)
ZERO = Refused(RefusalKind.REFUSED_UNCLEAR, "0", "perhaps")
DENIED = Refused(RefusalKind.DENIED, "ACCESS_DENIED", "no right")
ARGUMENT = Refused(RefusalKind.REJECTED, "100", "no such value")
PLAN = classify_item("CREATE_DYNAMIC_ITEM_RESTRICTED", "no plan")
REQUIRED = Refused(RefusalKind.REJECTED, "CRM_FIELD_ERROR_REQUIRED", "no title")
MAX_ROUNDS = 200
PASSER_EVERY = 100


class PausingKeeper:
    """Has nowhere to let events of a closed lane wait: the intake pauses instead."""

    def __init__(self, breaker: CircuitBreaker, clock: Clock) -> None:
        """Pause with this breaker."""
        self.lanes = Lanes(breaker._policy)  # noqa: SLF001 - the policy of both
        self._breaker, self._clock = breaker, clock

    async def close(self, kind: int, reason: PauseReason, fault: Fault | None) -> None:
        """Pause."""
        self.lanes.forget(kind, self._clock.now)
        self._breaker.fault = fault
        self._breaker.trip(reason, self._clock.now)

    def opened(self, _: int) -> None:
        """Never happens."""
        raise AssertionError


class Bench:
    """One importer, its portal and its gate; `settle` plays the loop that calls it."""

    def __init__(
        self,
        *script: Breaks | Says,
        rules: Rules = RULES,
        brake: int = 0,
        portal: ScriptedPortal | None = None,
    ) -> None:
        """Let the portal follow a script, unless it is another portal."""
        self.portal = portal or ScriptedPortal(*script)
        self.pauses = 0
        self.clock = Clock()
        self.claims = Claims(remember=100)
        self.breaker = CircuitBreaker(
            PausePolicy(after=60, probe=15, probe_cap=300, brake_items=brake)
        )
        self.metrics = Metrics()
        self.ended: dict[str, Outcome] = {}
        self.ended_at: dict[str, float] = {}
        self._importer = Importer(
            portal=self.portal,
            claims=self.claims,
            evidence=Evidence(self.breaker, PausingKeeper(self.breaker, self.clock), self.clock),
            rules=rules,
            metrics=self.metrics,
            notes=CallNotes(proof=135.0, clock=self.clock),
        )

    async def carry(self, *claims: Claim) -> Decision:
        """Carry a batch of claims once, a moment later."""
        return await self.carry_batch(batch(*claims))

    async def carry_batch(self, whole: Batch) -> Decision:
        """Carry a batch once, a moment later; nothing may get lost."""
        self.clock.now += 0.1
        before = {id(each) for each in whole.claims}
        decision = await self._importer.carry(whole)
        after = [id(each) for each, _ in decision.ended]
        after += [id(each) for again in decision.again for each in again.claims]
        assert sorted(before) == sorted(after)
        for each, outcome in decision.ended:
            assert each.event.event_id not in self.ended
            self.ended[each.event.event_id] = outcome
            self.ended_at[each.event.event_id] = self.clock.now
        return decision

    async def settle(self, *claims: Claim) -> dict[str, Outcome]:
        """Carry a batch, and what goes again when it is due, until all has ended."""
        tickets = count()
        due = [(0.0, next(tickets), batch(*claims))]
        for turn in range(MAX_ROUNDS):
            if not due:
                return self.ended
            if turn and not turn % PASSER_EVERY:
                # Where two items break their calls, the last one ends only when others pass.
                passer = batch(claim(f"passer-{turn}"))
                heapq.heappush(due, (self.clock.now, next(tickets), passer))
            at, _, whole = heapq.heappop(due)
            self.clock.now = max(self.clock.now, at)
            if self.breaker.mode is Mode.PAUSED:
                self.pauses += 1
                self.breaker.probed(self.clock.now, ok=True)
            for again in (await self.carry_batch(whole)).again:
                heapq.heappush(due, (again.due, next(tickets), again))
        raise AssertionError("it never ends")

    def counted(self, name: str) -> float:
        """Return the value of a counter."""
        return self.metrics.registry.get_sample_value(f"importer_{name}") or 0.0


async def test_flawed_item_ends_without_a_call_and_its_neighbours_go_on() -> None:
    """Validation refuses before anything is sent."""
    bench = Bench(rules=replace(RULES, validation="reject"))
    flawed = replace(event("b"), fields=memoryview(b'{"titel":"x"}'))
    outcomes = await bench.settle(claim("a"), claim(flawed), claim("c"))
    assert [["a", "c"]] == bench.portal.calls
    failed = outcomes["b"]
    assert isinstance(failed, Failed)
    assert "VALIDATION_FAILED" == failed.code


async def test_batch_of_flawed_items_makes_no_call() -> None:
    """There is nothing to send."""
    bench = Bench(rules=replace(RULES, validation="reject"))
    await bench.settle(claim(replace(event("a"), fields=memoryview(b'{"titel":"x"}'))))
    assert [] == bench.portal.calls


def some(names: str) -> list[Claim]:
    """Return a claim for each letter."""
    return [claim(name) for name in names]


def unaskable(name: str) -> ItemEvent:
    """Return an event without external id."""
    return event(name, external=None)


def refusal(verdict: Refused) -> Failed:
    """Return how an event ends that was refused so."""
    return Failed(FailureKind.REJECTED, verdict.code, verdict.message, 200)


async def test_a_batch_nobody_doubts_is_imported_in_one_call() -> None:
    """In order, without asking first."""
    bench = Bench()
    a, b = some("ab")
    assert {"a": Imported(1), "b": Imported(2)} == await bench.settle(a, b)
    assert ([["a", "b"]], []) == (bench.portal.calls, bench.portal.failed_look_ups)
    assert [1, 1] == [a.known.attempts, b.known.attempts]
    assert a.known.batch_id == b.known.batch_id is not None
    assert bench.clock.now == bench.breaker.last_success


async def test_a_refused_item_never_changes_the_outcome_of_its_neighbours() -> None:
    """It ends with the portal's own code."""
    bench = Bench(Says({1: REQUIRED}))
    expected = {"a": Imported(1), "b": refusal(REQUIRED), "c": Imported(2)}
    assert expected == await bench.settle(*some("abc"))
    assert [["a", "b", "c"]] == bench.portal.calls


async def test_a_doubtful_item_that_is_found_is_not_sent() -> None:
    """Its neighbours are."""
    bench = Bench()
    a, b = claim("a", doubt=Doubt.STRONG), claim("b")
    bench.portal.create(a.event)
    found = Imported(1, reconciled=True, duplicate=True)
    assert {"a": found, "b": Imported(2)} == await bench.settle(a, b)
    assert [["b"]] == bench.portal.calls


async def test_a_lost_answer_is_found_and_nothing_is_sent_twice() -> None:
    """Asked when the portal cannot work on it any more."""
    sent_at = 1000.1
    bench = Bench(Breaks(replace(TIMED_OUT, sent_at=sent_at), after=3))
    expected = {name: Imported(at, reconciled=True) for at, name in enumerate("abc", start=1)}
    assert expected == await bench.settle(*some("abc"))
    assert [["a", "b", "c"]] == bench.portal.calls
    assert [["a", "b", "c"]] == bench.portal.failed_look_ups
    assert all(at >= sent_at + RULES.settle for at in bench.ended_at.values())


async def test_a_call_that_never_arrived_is_sent_again_after_two_looks() -> None:
    """In small parts, in case one of them broke the call."""
    bench = Bench(Breaks(TIMED_OUT))
    await bench.settle(*some("abc"))
    assert {"a": [2], "b": [1], "c": [3]} == bench.portal.created
    assert [["a", "b", "c"], ["b"], ["a"], ["c"]] == bench.portal.calls
    assert [["a", "b", "c"]] * 2 == bench.portal.failed_look_ups


async def test_an_answered_failure_is_looked_up_at_once_and_once_more_later() -> None:
    """The second look comes after the time a replica may lag."""
    bench = Bench()
    (a,) = some("a")
    bench.portal.poison["a"] = BROKE
    first = await bench.carry(a)
    assert bench.clock.now == first.again[0].due
    second = await bench.carry_batch(first.again[0])
    assert bench.clock.now + RULES.recheck == second.again[0].due


async def test_a_refusal_without_a_code_ends_an_item_that_is_absent() -> None:
    """By that code; it is not sent again."""
    bench = Bench(Says({1: ZERO}))
    expected = {"a": Imported(1), "b": refusal(ZERO)}
    assert expected == await bench.settle(*some("ab"))
    assert ([["a", "b"]], [["b", "a"]] * 2) == (bench.portal.calls, bench.portal.failed_look_ups)


async def test_a_refusal_without_a_code_is_no_end_for_an_item_that_exists() -> None:
    """It was saved without its file, say."""
    bench = Bench(Says({1: ZERO}, saved=frozenset({1})))
    expected = {"a": Imported(2), "b": Imported(1, reconciled=True)}
    outcomes = await bench.settle(*some("ab"))
    assert {type(each) for each in expected.values()} == {type(e) for e in outcomes.values()}
    assert [["a", "b"]] == bench.portal.calls
    assert 1 == len(bench.portal.created["b"])


async def test_silence_about_an_item_is_asked_about_and_absent_is_sent_again() -> None:
    """The answer forgot it."""
    bench = Bench(Says({1: MISSING}))
    assert {"a": Imported(1), "b": Imported(2)} == await bench.settle(*some("ab"))
    assert [["a", "b"], ["b"]] == bench.portal.calls


async def test_a_poison_item_is_found_and_set_aside() -> None:
    """What was created is found, the first absent goes alone, the rest goes as one batch."""
    bench = Bench()
    bench.portal.poison["c"] = BROKE
    outcomes = await bench.settle(*some("abcde"))
    solo = [["c"]] * RULES.retry.max_attempts
    assert [["a", "b", "c", "d", "e"], ["d", "e"], *solo] == bench.portal.calls
    assert {"a": [1], "b": [2], "d": [3], "e": [4]} == bench.portal.created
    assert Failed(FailureKind.REJECTED, "400", "said so", 400) == outcomes.pop("c")
    assert all(isinstance(outcome, Imported) for outcome in outcomes.values())
    assert RULES.retry.max_attempts - 1 == bench.counted("isolation_requests_total")


async def test_several_poison_items_are_found_one_after_another() -> None:
    """The others are imported once; the last of them shows that the portal is well."""
    bench = Bench()
    for name in "adf":
        bench.portal.poison[name] = BROKE
    outcomes = await bench.settle(*some("abcdefg"))
    assert set("adf") == {n for n, outcome in outcomes.items() if isinstance(outcome, Failed)}
    assert {"b", "c", "e", "g"} == {n for n, ids in bench.portal.created.items() if len(ids) == 1}


async def test_one_suspect_among_others_is_found_by_halving_and_rejected() -> None:
    """Nothing was executed, so nobody has to be asked."""
    bench = Bench()
    bench.portal.poison["c"] = BINDER
    outcomes = await bench.settle(*some("abcd"))
    assert Failed(FailureKind.REJECTED, "100", "said so", 400) == outcomes.pop("c")
    assert {"a": 1, "b": 1, "d": 1} == {n: len(ids) for n, ids in bench.portal.created.items()}
    assert (Mode.FLOWING, []) == (bench.breaker.mode, bench.portal.failed_look_ups)
    assert 0 == bench.pauses


async def test_two_different_suspects_pause_the_intake() -> None:
    """The second refusal says that it is not the item."""
    bench = Bench(Breaks(NO_AUTH), Breaks(NO_AUTH))
    a, b = some("ab")
    assert [["a"]] == [_names(each) for each in (await bench.carry(a)).again]
    assert Mode.FLOWING is bench.breaker.mode
    decision = await bench.carry(b)
    assert (Mode.PAUSED, PauseReason.CREDENTIALS) == (bench.breaker.mode, bench.breaker.reason)
    assert ([], bench.clock.now + RULES.retry.cap) == (decision.ended, decision.again[0].due)


async def test_a_probe_that_fails_too_pauses_at_the_first_suspect() -> None:
    """And nothing counts against the item."""
    bench = Bench(Breaks(NO_AUTH))
    bench.portal.probe_faults.append(NO_AUTH)
    (a,) = some("a")
    decision = await bench.carry(a)
    assert (Mode.PAUSED, PauseReason.CREDENTIALS) == (bench.breaker.mode, bench.breaker.reason)
    assert ([], 0) == (decision.ended, a.known.failures_alone)
    assert bench.clock.now + RULES.retry.cap == decision.again[0].due


async def test_a_suspect_is_judged_later_when_the_portal_cannot_be_reached() -> None:
    """The probe says nothing about the item."""
    bench = Bench(Breaks(BINDER))
    bench.portal.probe_faults.append(UNREACHABLE)
    (a,) = some("a")
    assert [] == (await bench.carry(a)).ended
    assert (Mode.FLOWING, 0) == (bench.breaker.mode, a.known.failures_alone)


async def test_one_suspect_alone_in_the_world_is_worn_out() -> None:
    """One message can never hold up the intake."""
    bench = Bench()
    bench.portal.poison["a"] = BINDER
    outcomes = await bench.settle(*some("a"))
    assert {"a": Failed(FailureKind.REJECTED, "100", "said so", 400)} == outcomes
    assert RULES.retry.max_attempts == len(bench.portal.calls)
    assert Mode.FLOWING is bench.breaker.mode


@pytest.mark.parametrize("earlier", [0.0, 10.0])
async def test_a_success_before_the_first_refusal_proves_nothing(earlier: float) -> None:
    """Others must pass since."""
    bench = Bench(Breaks(BINDER))
    bench.breaker.ended(1, 0, bench.clock.now + 0.1 - earlier)
    (a,) = some("a")
    assert [] == (await bench.carry(a)).ended
    assert 1 == a.known.failures_alone


async def test_some_denied_items_are_rejected() -> None:
    """The others show that the right is there."""
    bench = Bench(Says({1: DENIED, 2: DENIED}))
    expected = {"a": Imported(1), "b": refusal(DENIED), "c": refusal(DENIED)}
    assert expected == await bench.settle(*some("abc"))
    assert Mode.FLOWING is bench.breaker.mode


async def test_an_item_refused_for_its_content_shows_the_right_too() -> None:
    """Fields are checked after the right to import."""
    bench = Bench(Says({0: REQUIRED, 1: DENIED}))
    assert {"a": refusal(REQUIRED), "b": refusal(DENIED)} == await bench.settle(*some("ab"))
    assert Mode.FLOWING is bench.breaker.mode


async def test_an_argument_refused_shows_nothing_of_the_right() -> None:
    """It is read before rights are looked at: its item ends, the denied are judged."""
    bench = Bench(Says({0: ARGUMENT, 1: DENIED, 2: DENIED}))
    decision = await bench.carry(*some("abc"))
    assert {"a": refusal(ARGUMENT)} == bench.ended
    assert (Mode.PAUSED, PauseReason.SCOPE) == (bench.breaker.mode, bench.breaker.reason)
    assert [["b", "c"]] == [_names(each) for each in decision.again]


async def test_one_item_denied_beside_a_refused_argument_is_a_lone_suspect() -> None:
    """It goes again alone; nothing pauses yet."""
    bench = Bench(Says({0: ARGUMENT, 1: DENIED}))
    a, b = some("ab")
    decision = await bench.carry(a, b)
    assert ({"a": refusal(ARGUMENT)}, Mode.FLOWING) == (bench.ended, bench.breaker.mode)
    assert ([["b"]], 1) == ([_names(each) for each in decision.again], b.known.refusals_alone)


@pytest.mark.parametrize("verdict", [ZERO, MISSING, PLAN])
async def test_an_unclear_neighbour_shows_nothing_of_the_right(verdict: Refused) -> None:
    """Only an item that passed, or was refused for its content, does."""
    bench = Bench(Says({0: verdict, 1: DENIED}))
    await bench.carry(*some("ab"))
    assert {} == bench.ended


async def test_all_items_denied_pause_the_intake() -> None:
    """It is the right to import that is missing; nothing is rejected."""
    bench = Bench(Says({0: DENIED, 1: DENIED}))
    decision = await bench.carry(*some("ab"))
    assert (Mode.PAUSED, PauseReason.SCOPE) == (bench.breaker.mode, bench.breaker.reason)
    assert ([], [["a", "b"]]) == (decision.ended, [_names(each) for each in decision.again])
    assert bench.clock.now + RULES.retry.cap == decision.again[0].due


async def test_a_lone_denied_item_waits_for_others_to_pass() -> None:
    """Then it was the item."""
    bench = Bench(Says({0: DENIED}), Says({}), Says({0: DENIED}))
    a, b = some("ab")
    again = (await bench.carry(a)).again
    assert [["a"]] == [_names(each) for each in again]
    await bench.carry(b)
    await bench.carry_batch(again[0])
    assert {"b": Imported(1), "a": refusal(DENIED)} == bench.ended


async def test_a_second_lone_denied_item_pauses_the_intake() -> None:
    """Then it was the right."""
    bench = Bench(Says({0: DENIED}), Says({0: DENIED}))
    a, b = some("ab")
    await bench.carry(a)
    assert [] == (await bench.carry(b)).ended
    assert (Mode.PAUSED, PauseReason.SCOPE) == (bench.breaker.mode, bench.breaker.reason)


async def test_a_spent_plan_pauses_and_keeps_its_items() -> None:
    """What was accepted beside them is settled."""
    bench = Bench(Says({1: PLAN, 2: PLAN}))
    decision = await bench.carry(*some("abc"))
    assert (Mode.PAUSED, PauseReason.PLAN) == (bench.breaker.mode, bench.breaker.reason)
    assert {"a": Imported(1)} == bench.ended
    assert [["b", "c"]] == [_names(each) for each in decision.again]
    assert bench.clock.now + RULES.retry.cap == decision.again[0].due


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        (CallKind.THROTTLED, Mode.FLOWING),
        (CallKind.OVER_BUDGET, Mode.FLOWING),
        (CallKind.UNAVAILABLE, Mode.FLOWING),
        (CallKind.BARRED, Mode.PAUSED),
    ],
)
async def test_a_call_that_never_ran_is_no_attempt(kind: CallKind, mode: Mode) -> None:
    """The items wait, without doubt; only what a person must mend pauses at once."""
    bench = Bench(Breaks(fault(kind, "X", 503)))
    a, b = some("ab")
    decision = await bench.carry(a, b)
    assert ([], [["a", "b"]]) == (decision.ended, [_names(each) for each in decision.again])
    assert [(0, Doubt.NONE)] * 2 == [(e.known.attempts, e.known.doubt) for e in (a, b)]
    assert mode is bench.breaker.mode


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (UNREACHABLE, PauseReason.UNAVAILABLE),
        (replace(UNREACHABLE, pause=PauseReason.AUTH_SERVER), PauseReason.AUTH_SERVER),
        (
            fault(CallKind.OVER_BUDGET, "X", 429, pause=PauseReason.OPERATING_LIMIT),
            PauseReason.OPERATING_LIMIT,
        ),
        (TIMED_OUT, PauseReason.UNAVAILABLE),
    ],
)
async def test_trouble_that_lasts_a_minute_pauses(why: Fault, reason: PauseReason) -> None:
    """Whatever the portal's trouble; shorter trouble is waited out."""
    bench = Bench(*[Breaks(why)] * 3)
    for name in "ab":
        await bench.carry(claim(unaskable(name)), claim(unaskable(f"{name}2")))
        assert Mode.FLOWING is bench.breaker.mode
        bench.clock.now += 30
    await bench.carry(claim(unaskable("c")), claim(unaskable("c2")))
    assert (Mode.PAUSED, reason) == (bench.breaker.mode, bench.breaker.reason)


async def test_a_look_up_that_ends_in_an_error_of_the_portal_is_trouble() -> None:
    """A minute of it pauses where no probe is answered; nothing is decided, nothing is sent."""
    bench = Bench()
    bench.portal.look_up_faults.extend([ILL] * 3)
    bench.portal.probe_faults.extend([ILL] * 3)
    a = claim("a", doubt=Doubt.STRONG)
    (again,) = (await bench.carry(a)).again
    for seconds in (30, 30):
        assert Mode.FLOWING is bench.breaker.mode
        bench.clock.now += seconds
        (again,) = (await bench.carry_batch(again)).again
    assert (Mode.PAUSED, PauseReason.UNAVAILABLE) == (bench.breaker.mode, bench.breaker.reason)
    assert (Doubt.STRONG, []) == (a.known.doubt, bench.portal.calls)


@pytest.mark.parametrize(
    ("why", "mode"),
    [(ILL, Mode.HALF_OPEN), (TIMED_OUT, Mode.HALF_OPEN), (UNREACHABLE, Mode.PAUSED)],
)
async def test_a_look_up_that_breaks_does_not_shut_a_half_open_gate(
    why: Fault, mode: Mode
) -> None:
    """It may be the item's fault; a portal that cannot be reached is nobody's."""
    bench = Bench()
    bench.breaker.trip(PauseReason.CREDENTIALS, bench.clock.now)
    bench.breaker.probed(bench.clock.now, ok=True)
    bench.portal.look_up_faults.append(why)
    await bench.carry(claim("a", doubt=Doubt.STRONG))
    assert mode is bench.breaker.mode


async def test_a_look_up_refused_again_and_again_goes_to_a_person() -> None:
    """The right to read may come back; a person must look when it did not."""
    bench = Bench()
    refused = fault(CallKind.AMBIGUOUS, "SOMETHING_NEW", 400)
    bench.portal.look_up_faults.extend([refused] * MAX_ROUNDS)
    a = claim("a", doubt=Doubt.STRONG)
    bench.portal.create(a.event)
    (outcome,) = (await bench.settle(a)).values()
    assert isinstance(outcome, Failed)
    assert FailureKind.AMBIGUOUS is outcome.kind
    assert RULES.unproved_after <= bench.ended_at["a"] - 1000 < RULES.unproved_after + 900
    assert [] == bench.portal.calls


async def test_an_unsupported_type_is_not_looked_up_twice() -> None:
    """The look-up says that there are no items, the import says why."""
    unsupported = fault(CallKind.UNSUPPORTED, "NOT_FOUND")
    bench = Bench(Breaks(unsupported))
    bench.portal.look_up_faults.append(unsupported)
    failure = Failed(FailureKind.UNSUPPORTED, "NOT_FOUND", "said so", 400)
    doubtful = claim("a", doubt=Doubt.STRONG)
    assert {"a": failure, "b": failure} == await bench.settle(doubtful, claim("b"))
    assert ([["a"]], [["a", "b"]]) == (bench.portal.failed_look_ups, bench.portal.calls)


@pytest.mark.parametrize("kind", [CallKind.BARRED, CallKind.SUSPECT])
async def test_a_look_up_refused_by_a_shut_portal_pauses(kind: CallKind) -> None:
    """And everything stays in doubt."""
    shut = fault(kind, "X", 401, pause=PauseReason.CREDENTIALS)
    bench = Bench()
    bench.portal.look_up_faults.append(shut)
    bench.portal.probe_faults.append(shut)
    a = claim("a", doubt=Doubt.STRONG)
    decision = await bench.carry(a, claim("b"))
    assert (Mode.PAUSED, PauseReason.CREDENTIALS) == (bench.breaker.mode, bench.breaker.reason)
    assert ([], [["a"], ["b"]]) == (decision.ended, [_names(each) for each in decision.again])
    assert (Doubt.STRONG, []) == (a.known.doubt, bench.portal.calls)


@pytest.mark.parametrize("why", [ILL, fault(CallKind.OVER_BUDGET, "OPERATION_TIME_LIMIT", 429)])
async def test_a_look_up_that_fails_stops_no_import_while_the_portal_answers(why: Fault) -> None:
    """Also of the same batch; what could not be looked up waits alone, however long it lasts."""
    bench = Bench()
    bench.portal.look_up_faults.extend([why] * 5)
    (again,) = (await bench.carry(claim("a", doubt=Doubt.STRONG), claim("b"))).again
    assert (["a"], ["b"]) == (_names(again), [*bench.ended])
    for _ in range(4):
        bench.clock.now += 40.0
        (again,) = (await bench.carry_batch(again)).again
    assert (Mode.FLOWING, ["a"]) == (bench.breaker.mode, _names(again))


async def test_a_look_up_that_cannot_be_answered_now_is_made_again() -> None:
    """It costs no item anything."""
    bench = Bench()
    bench.portal.look_up_faults.extend([UNREACHABLE, TIMED_OUT])
    a = claim("a", doubt=Doubt.STRONG)
    bench.portal.create(a.event)
    assert {"a": Imported(1, reconciled=True, duplicate=True)} == await bench.settle(a)
    assert 3 == len(bench.portal.failed_look_ups)


async def test_an_unsupported_type_fails_its_items() -> None:
    """Other types are other batches; the gate does not move."""
    bench = Bench(Breaks(fault(CallKind.UNSUPPORTED, "NOT_FOUND")))
    failure = Failed(FailureKind.UNSUPPORTED, "NOT_FOUND", "said so", 400)
    assert {"a": failure, "b": failure} == await bench.settle(*some("ab"))
    assert Mode.FLOWING is bench.breaker.mode


async def test_a_call_too_large_is_halved_until_it_fits() -> None:
    """In order, each item once."""
    big = Breaks(fault(CallKind.TOO_LARGE, "HTTP_413", 413))
    bench = Bench(big, big)
    await bench.settle(*some("abcd"))
    assert {"a", "b", "c", "d"} == set(bench.portal.created)
    assert all(len(ids) == 1 for ids in bench.portal.created.values())


async def test_what_cannot_be_read_goes_to_a_person_and_what_was_not_sent_goes_out() -> None:
    """Read permission is unproved: absent is not believed of what was perhaps sent."""
    bench = Bench()
    bench.portal.readable = False
    outcomes = await bench.settle(claim("a", doubt=Doubt.STRONG), claim("b", doubt=Doubt.WEAK))
    assert Imported(1) == outcomes["b"]
    assert isinstance(outcomes["a"], Failed)
    assert FailureKind.AMBIGUOUS is outcomes["a"].kind


async def test_an_unknown_outcome_without_external_id_goes_to_a_person() -> None:
    """At once; with the code of the call."""
    bench = Bench(Breaks(TIMED_OUT, after=1))
    expected = Failed(FailureKind.AMBIGUOUS, "CALL_TIMED_OUT", "said so", None)
    outcomes = await bench.settle(claim(unaskable("a")), claim(unaskable("b")))
    assert {"a": expected, "b": expected} == outcomes
    assert ([["a", "b"]], []) == (bench.portal.calls, bench.portal.failed_look_ups)


async def test_an_unknown_outcome_without_external_id_may_be_sent_again_singly() -> None:
    """With `AMBIGUOUS=resend` the next failure leaves one item in doubt, not all."""
    bench = Bench(Breaks(TIMED_OUT), rules=replace(RULES, resend=True))
    await bench.settle(claim(unaskable("a")), claim(unaskable("b")))
    assert [["a", "b"], ["a"], ["b"]] == bench.portal.calls


async def test_a_worn_out_item_that_cannot_be_asked_for_goes_to_a_person() -> None:
    """Though the policy says resend: one of its tries may have been executed."""
    bench = Bench(rules=replace(RULES, resend=True))
    bench.portal.poison["a"] = BROKE
    outcomes = await bench.settle(claim(unaskable("a")))
    assert {"a": Failed(FailureKind.AMBIGUOUS, "400", "said so", 400)} == outcomes
    assert RULES.retry.max_attempts == len(bench.portal.calls)


@pytest.mark.parametrize("resend", [False, True])
async def test_a_refusal_without_a_code_that_nobody_can_check_goes_to_a_person(
    *, resend: bool
) -> None:
    """It may be saved, so it is not `rejected`; it was refused, so it is not sent again."""
    bench = Bench(Says({0: ZERO}, saved=frozenset({0})), rules=replace(RULES, resend=resend))
    expected = Failed(FailureKind.AMBIGUOUS, "0", "perhaps", 200)
    assert {"a": expected} == await bench.settle(claim(unaskable("a")))
    assert [["a"]] == bench.portal.calls


@pytest.mark.parametrize(
    ("external", "kind"), [("", FailureKind.REJECTED), (None, FailureKind.AMBIGUOUS)]
)
async def test_an_item_of_which_the_portal_never_speaks_is_worn_out(
    external: str | None, kind: FailureKind
) -> None:
    """Each silence is a failure of its own; between them it waits longer and longer."""
    attempts = RULES.retry.max_attempts
    bench = Bench(*[Says({0: MISSING})] * 50, rules=replace(RULES, resend=True))
    outcomes = await bench.settle(claim(event("a", external=external)))
    assert {"a": replace(refusal(MISSING), kind=kind)} == outcomes
    assert attempts == len(bench.portal.calls)


async def test_an_item_id_of_another_event_is_not_believed() -> None:
    """The portal named an item twice: the second event is looked up, and has its own."""
    bench = Bench()
    await bench.carry(claim("a"))
    bench.portal.script.append(Says({0: Accepted(1)}, saved=frozenset({0})))
    b = claim("b")
    (again,) = (await bench.carry(b)).again
    assert (Doubt.STRONG, 1) == (b.known.doubt, b.known.failures_alone)
    bench.clock.now = again.due
    await bench.carry_batch(again)
    assert {"a": Imported(1), "b": Imported(2, reconciled=True)} == bench.ended


@pytest.mark.error_logs
async def test_an_item_id_of_another_event_is_no_proof_where_nobody_can_be_asked() -> None:
    """A person must look."""
    bench = Bench(Says({}), Says({0: Accepted(1)}, saved=frozenset({0})))
    await bench.carry(claim("a"))
    outcomes = await bench.settle(claim(unaskable("b")))
    assert Failed(FailureKind.AMBIGUOUS, MISSING.code, MISSING.message, 200) == outcomes["b"]


async def test_an_item_id_of_another_event_shows_nothing_of_the_right() -> None:
    """What is not believed has not passed."""
    bench = Bench(Says({}), Says({0: Accepted(1), 1: DENIED}))
    await bench.carry(claim("a"))
    await bench.carry(*some("bc"))
    assert {"a": Imported(1)} == bench.ended


class Bug(Exception):  # noqa: N818 - the test's own
    """Something that nobody expected."""


@pytest.mark.parametrize("error", [Bug, asyncio.CancelledError, RecursionError, KeyError])
@pytest.mark.parametrize("external", ["", None])
async def test_a_call_that_breaks_off_on_our_side_was_perhaps_executed(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], external: str | None
) -> None:
    """The claims go back in strong doubt, and nothing is proved before the call has settled."""
    bench = Bench()

    async def broken(*_: object) -> object:
        raise error

    monkeypatch.setattr(bench.portal, "import_items", broken)
    claims = [claim(event(name, external=external)) for name in "ab"]
    with pytest.raises(error):
        await bench.carry(*claims)
    look_at = bench.clock.now + RULES.settle
    for each in claims:
        known = each.known
        assert (Doubt.STRONG, look_at, UNFINISHED) == (known.doubt, known.look_at, known.fault)
        assert (None, 1) == (known.refusal, known.attempts)


async def test_what_broke_off_on_our_side_is_found_when_it_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its knowledge survives the return of its delivery: the item is not sent twice."""
    bench = Bench()
    first = claim("a")
    bench.claims.admit(first, copy=False)

    async def broken(*_: object) -> object:
        bench.portal.create(first.event)
        raise Bug

    with monkeypatch.context() as patched:
        patched.setattr(bench.portal, "import_items", broken)
        with pytest.raises(Bug):
            await bench.carry(first)
    bench.claims.release(first)
    back = claim("a")
    bench.claims.admit(back, copy=True)
    assert {"a": Imported(1, reconciled=True)} == await bench.settle(back)
    assert [1] == bench.portal.created["a"]


async def test_an_item_the_portal_named_settles_no_second_event() -> None:
    """An event that shares the external id is sent, not settled by it."""
    bench = Bench()
    first, second = claim(event("a", external="x")), claim(event("b", external="x"))
    await bench.carry(first)
    second.known = second.known._replace(doubt=Doubt.WEAK)
    await bench.carry(second)
    assert {"a": Imported(1), "b": Imported(2)} == bench.ended


async def test_timeouts_of_several_lone_items_count_against_none() -> None:
    """The portal is slow for everybody."""
    bench = Bench(*[Breaks(TIMED_OUT)] * 2)
    a, b = some("ab")
    await bench.carry(a)
    await bench.carry(b)
    assert [1, 0] == [a.known.failures_alone, b.known.failures_alone]


async def test_a_failure_in_an_outage_counts_against_nobody() -> None:
    """The probe fails too."""
    bench = Bench(Breaks(BROKE))
    bench.portal.probe_faults.append(UNREACHABLE)
    (a,) = some("a")
    await bench.carry(a)
    assert 0 == a.known.failures_alone


async def test_a_failure_while_others_pass_counts_when_the_portal_answers() -> None:
    """Their success alone proves nothing of the portal now."""
    bench = Bench(Breaks(TIMED_OUT), Says({}), Breaks(TIMED_OUT))
    bench.portal.probe_faults.append(UNREACHABLE)
    a, b = some("ab")
    await bench.carry(a)
    assert 0 == a.known.failures_alone
    await bench.carry(b)
    a.known = a.known._replace(doubt=Doubt.NONE)
    await bench.carry(a)
    assert (1, 2) == (a.known.failures_alone, bench.portal.probes)


async def test_a_broken_call_is_in_doubt_before_anybody_is_asked_about_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever becomes of the probe, the item was perhaps sent."""
    bench = Bench(Breaks(TIMED_OUT))

    async def broken() -> None:
        raise Bug

    monkeypatch.setattr(bench.portal, "probe", broken)
    (a,) = some("a")
    with pytest.raises(Bug):
        await bench.carry(a)
    assert (Doubt.STRONG, 0) == (a.known.doubt, a.known.failures_alone)


async def test_mostly_rejected_items_brake_the_intake() -> None:
    """A bad deploy upstream does not flood the dead letters."""
    bench = Bench(Says(dict.fromkeys(range(4), REQUIRED)), brake=4)
    await bench.carry(*some("abcd"))
    assert (Mode.PAUSED, PauseReason.FAILURE_SHARE) == (bench.breaker.mode, bench.breaker.reason)


async def test_the_brake_counts_every_item_that_ends_rejected() -> None:
    """Also those refused after a look-up, alone, or for being too large."""
    large = fault(CallKind.TOO_LARGE, "HTTP_413", 413)
    bench = Bench(Says({0: ZERO}), Breaks(large), Says({0: REQUIRED}), Says({}), brake=4)
    await bench.settle(claim("a"))
    await bench.settle(claim("b"))
    await bench.settle(claim("c"))
    assert Mode.FLOWING is bench.breaker.mode
    await bench.settle(claim("d"))
    assert (Mode.PAUSED, PauseReason.FAILURE_SHARE) == (bench.breaker.mode, bench.breaker.reason)


async def test_the_brake_counts_no_item_that_was_not_rejected() -> None:
    """Unsupported, ambiguous, and duplicates of earlier imports are no bad deploy."""
    unsupported = Breaks(fault(CallKind.UNSUPPORTED, "NOT_FOUND"))
    bench = Bench(unsupported, Breaks(TIMED_OUT), brake=1)
    await bench.settle(*some("ab"))
    await bench.settle(claim(unaskable("c")))
    earlier = claim("d", doubt=Doubt.WEAK)
    bench.portal.create(earlier.event)
    outcomes = await bench.settle(earlier)
    assert Imported(1, reconciled=True, duplicate=True) == outcomes["d"]
    assert (Mode.FLOWING, None) == (bench.breaker.mode, bench.breaker.last_success)


async def test_a_report_of_rejections_ends_the_trouble_and_opens_nothing() -> None:
    """The portal is at work; nothing has been accepted yet."""
    bench = Bench(Breaks(UNREACHABLE), Says({0: REQUIRED}), Breaks(UNREACHABLE))
    await bench.carry(claim("a"))
    bench.clock.now += 59
    await bench.carry(claim("b"))
    bench.clock.now += 59
    await bench.carry(claim("c"))
    assert (Mode.FLOWING, None) == (bench.breaker.mode, bench.breaker.last_success)


async def test_two_items_that_break_their_calls_become_a_pause_and_no_rejection() -> None:
    """The portal answers probes and fails every import: that is its trouble."""
    bench = Bench(*[Breaks(BROKE)] * 100)
    due = [batch(each) for each in some("ab")]
    while bench.breaker.mode is Mode.FLOWING:
        due.sort(key=lambda each: each.due)
        whole = due.pop(0)
        bench.clock.now = max(bench.clock.now, whole.due)
        due += (await bench.carry_batch(whole)).again
    assert ({}, PauseReason.UNAVAILABLE) == (bench.ended, bench.breaker.reason)
    assert sorted("ab") == sorted(name for each in due for name in _names(each))
    assert bench.clock.now >= 1060.0


STEPS = st.lists(
    st.one_of(
        st.builds(Breaks, st.sampled_from([BROKE, TIMED_OUT]), st.integers(0, 6)),
        st.builds(
            Breaks,
            st.sampled_from([UNREACHABLE, BINDER, fault(CallKind.THROTTLED, "X", 503)]),
        ),
        st.builds(
            Says,
            st.dictionaries(st.integers(0, 5), st.sampled_from([MISSING, REQUIRED, ZERO, DENIED])),
            st.frozensets(st.integers(0, 5)),
        ),
    ),
    max_size=12,
)


LOOK_UPS = st.lists(
    st.sampled_from(
        [
            None,
            None,
            UNREACHABLE,
            TIMED_OUT,
            ILL,
            fault(CallKind.AMBIGUOUS, "SOMETHING_NEW", 400),
            fault(CallKind.AMBIGUOUS, "INVALID_ARG_VALUE", 400),
            fault(CallKind.SUSPECT, "ACCESS_DENIED", 400, pause=PauseReason.SCOPE),
        ]
    ),
    max_size=8,
)


@given(STEPS, LOOK_UPS, st.integers(1, 6), st.sampled_from(["", "b", "bd"]), st.data())
def test_no_item_is_in_the_crm_twice_whatever_the_portal_does(
    script: list[Breaks | Says],
    failed_look_ups: list[Fault | None],
    size: int,
    poison: str,
    data: st.DataObject,
) -> None:
    """Every event ends once; imported names its only item, rejected has none."""
    external = data.draw(st.sampled_from(["", None]))
    readable = data.draw(st.booleans())

    async def play() -> None:
        bench = Bench(*(_honest(step) for step in script))
        bench.portal.poison = dict.fromkeys(poison, BROKE)
        bench.portal.look_up_faults.extend(failed_look_ups)
        bench.portal.readable = readable
        names = "abcdef"[:size]
        await bench.settle(*(claim(event(name, external=external)) for name in names))
        assert set(names) <= set(bench.ended)
        for name in names:
            outcome = bench.ended[name]
            match outcome:
                case Imported(item_id):
                    assert [item_id] == bench.portal.created[name]
                case Failed(kind=FailureKind.AMBIGUOUS):
                    assert 1 >= len(bench.portal.created[name])
                case Failed():
                    assert [] == bench.portal.created[name]

    run(play())


def _honest(step: Breaks | Says) -> Breaks | Says:
    """Return the step of a portal that saves no item it refuses by name."""
    if isinstance(step, Breaks):
        return step if step.fault in {BROKE, TIMED_OUT} else replace(step, after=0)
    verdicts: Mapping[int, Verdict] = step.verdicts
    vague = {at for at, verdict in verdicts.items() if verdict in {MISSING, ZERO}}
    return replace(step, saved=step.saved & vague)


def _names(each: Batch) -> list[str]:
    return [one.event.event_id for one in each.claims]
