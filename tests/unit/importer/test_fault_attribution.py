"""Tests whose fault a refusal is: the item's, or the portal's."""

import pytest

from service.bitrix.errors import classify_item
from service.domain.circuit_breaker import CircuitBreaker, Mode, PausePolicy
from service.domain.claim import Claim
from service.domain.decisions import Decision, rejected
from service.domain.events import Identity
from service.domain.history import Doubt
from service.domain.lanes import Lanes
from service.domain.outcomes import (
    Accepted,
    CallKind,
    Failed,
    FailureKind,
    Fault,
    PauseReason,
    RefusalKind,
    Refused,
)
from service.importer.evidence import Evidence
from service.importer.fault_attribution import FaultAttribution, refusal_kind_of
from tests.unit.bitrix.scripted import Clock, ScriptedPortal
from tests.unit.domain.samples import RULES, batch, claim, event, fault

RETRY = RULES.retry
POLICY = PausePolicy(after=60, probe=15, probe_cap=300)
BINDER = fault(CallKind.SUSPECT, "100", 400)
NO_AUTH = fault(CallKind.SUSPECT, "NO_AUTH_FOUND", 401, pause=PauseReason.CREDENTIALS)
UNREACHABLE = fault(CallKind.UNAVAILABLE, "CONNECTION_LOST", None, answered=False)
TIMED_OUT = fault(CallKind.AMBIGUOUS, "CALL_TIMED_OUT", None, answered=False)
DENIED = classify_item("ACCESS_DENIED", "no right")
TOKEN = classify_item("EXPIRED_TOKEN", "token")
UNPAID = classify_item("PAYMENT_REQUIRED", "pay")
PLANLESS = classify_item("CREATE_DYNAMIC_ITEM_RESTRICTED", "not in your plan")
DENIAL = Failed(FailureKind.REJECTED, "ACCESS_DENIED", "no right", 200)
OTHER = Identity(2, "other")
FRESH = RETRY.max_attempts * (RULES.settle + RULES.recheck + RETRY.delay(RETRY.max_attempts, 1.0))


class Bench:
    """One judge, the breaker it tells, and the portal it probes."""

    def __init__(self) -> None:
        """Start with a healthy portal and a flowing breaker."""
        self.portal = ScriptedPortal()
        self.clock = Clock()
        self.breaker = CircuitBreaker(POLICY)
        self.lanes = Lanes(POLICY)
        self.closed: list[tuple[int, PauseReason]] = []
        self.told: list[Fault | None] = []
        self.judge = FaultAttribution(
            portal=self.portal,
            evidence=Evidence(self.breaker, self, self.clock),
            rules=RULES,
            clock=self.clock,
        )

    def opened(self, _: int) -> None:
        """Never happens: nothing is accepted here."""
        raise AssertionError

    async def close(self, kind: int, reason: PauseReason, why: Fault | None) -> None:
        """Note what is closed, and close it."""
        self.told.append(why)
        self.closed.append((kind, reason))
        self.lanes.close(kind, reason, self.clock.now)

    async def broke(self, *claims: Claim) -> list[int]:
        """Let a call of claims break; return how often each has failed alone."""
        self.clock.now += 1.0
        for each in claims:
            each.known = each.known.broke(self.clock.now)
        await self.judge.broken(batch(*claims), TIMED_OUT)
        return [each.known.failures_alone for each in claims]

    async def suspected(self, each: Claim, why: Fault = BINDER) -> Decision:
        """Let the call of one claim be refused for what may be its own fault."""
        self.clock.now += 1.0
        return await self.judge.suspect(batch(each), why)

    async def denied(self, *verdicts: object, others: bool = False) -> Decision:
        """Let a report say this of the items `a`, `b` and so on."""
        claims = [claim(name) for name in "abcdef"[: len(verdicts)]]
        said = list(zip(claims, verdicts, strict=True))
        return await self.judge.denied(batch(*claims), said, others=others)

    def pass_others(self, entity_type_id: int = 2) -> None:
        """Let other items of a type be imported."""
        self.clock.now += 1.0
        self.breaker.ended(1, 0, self.clock.now)
        self.lanes.answered(entity_type_id, accepted=1, rejected=0, now=self.clock.now)

    def open_by_half(self) -> None:
        """Pause, and let the probe succeed."""
        self.breaker.trip(PauseReason.CREDENTIALS, self.clock.now)
        self.breaker.probed(self.clock.now, ok=True)


@pytest.fixture
def bench() -> Bench:
    """Give the test a judge with its neighbours."""
    return Bench()


@pytest.mark.parametrize(
    ("why", "mode", "reason"),
    [
        (fault(CallKind.BARRED, pause=PauseReason.PLAN), Mode.PAUSED, PauseReason.PLAN),
        (fault(CallKind.BARRED), Mode.PAUSED, PauseReason.UNAVAILABLE),
        (NO_AUTH, Mode.PAUSED, PauseReason.CREDENTIALS),
        (BINDER, Mode.PAUSED, PauseReason.UNAVAILABLE),
        (UNREACHABLE, Mode.FLOWING, None),
        (fault(CallKind.OVER_BUDGET, pause=PauseReason.OPERATING_LIMIT), Mode.FLOWING, None),
        (fault(CallKind.AMBIGUOUS), Mode.FLOWING, None),
        (fault(CallKind.THROTTLED), Mode.FLOWING, None),
        (fault(CallKind.TOO_LARGE), Mode.FLOWING, None),
        (fault(CallKind.UNSUPPORTED), Mode.FLOWING, None),
    ],
)
def test_only_what_a_person_must_mend_pauses_at_once(
    bench: Bench, why: Fault, mode: Mode, reason: PauseReason | None
) -> None:
    """Under the name of what must be mended."""
    bench.judge.portal_failed(why)
    assert (mode, reason) == (bench.breaker.mode, bench.breaker.reason)


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (UNREACHABLE, PauseReason.UNAVAILABLE),
        (fault(CallKind.UNAVAILABLE, pause=PauseReason.AUTH_SERVER), PauseReason.AUTH_SERVER),
        (
            fault(CallKind.OVER_BUDGET, pause=PauseReason.OPERATING_LIMIT),
            PauseReason.OPERATING_LIMIT,
        ),
        (fault(CallKind.AMBIGUOUS, "INTERNAL_SERVER_ERROR", 500), PauseReason.UNAVAILABLE),
        (TIMED_OUT, PauseReason.UNAVAILABLE),
        (fault(CallKind.THROTTLED), None),
        (fault(CallKind.TOO_LARGE), None),
        (fault(CallKind.UNSUPPORTED), None),
    ],
)
def test_trouble_of_the_portal_pauses_when_it_lasts(
    bench: Bench, why: Fault, reason: PauseReason | None
) -> None:
    """An answered failure too: a portal that answers nothing but errors is ill."""
    for _ in range(3):
        bench.judge.portal_failed(why)
        bench.clock.now += POLICY.after / 2
    assert reason == bench.breaker.reason


@pytest.mark.parametrize(
    ("why", "mode"),
    [
        (UNREACHABLE, Mode.PAUSED),
        (TIMED_OUT, Mode.HALF_OPEN),
        (fault(CallKind.AMBIGUOUS, "400", 400), Mode.HALF_OPEN),
    ],
)
def test_a_half_open_breaker_is_not_shut_by_what_may_be_one_items_fault(
    bench: Bench, why: Fault, mode: Mode
) -> None:
    """Else the poison item in the first batch would never be found."""
    bench.open_by_half()
    bench.judge.portal_failed(why)
    assert mode is bench.breaker.mode


async def test_nothing_follows_where_nobody_is_denied(bench: Bench) -> None:
    """Other refusals are no concern of the judge."""
    assert Decision() == await bench.denied(Accepted(1), Refused(RefusalKind.REJECTED, "X", "no"))
    assert Mode.FLOWING is bench.breaker.mode


async def test_items_denied_beside_others_that_pass_are_rejected(bench: Bench) -> None:
    """The right is there; theirs is missing."""
    decision = await bench.denied(DENIED, Accepted(1), DENIED, others=True)
    assert [("a", DENIAL), ("c", DENIAL)] == [(c.event.event_id, why) for c, why in decision.ended]
    assert ([], Mode.FLOWING) == (decision.again, bench.breaker.mode)


@pytest.mark.parametrize(
    ("verdict", "reason", "others"),
    [
        (DENIED, PauseReason.SCOPE, False),
        (PLANLESS, PauseReason.PLAN, False),
        (PLANLESS, PauseReason.PLAN, True),
    ],
)
async def test_two_items_denied_close_their_lane(
    bench: Bench, verdict: Refused, reason: PauseReason, *, others: bool
) -> None:
    """It is the right to import that is missing; nothing is rejected. A plan tells of all."""
    decision = await bench.denied(verdict, verdict, others=others)
    assert ([(2, reason)], Mode.FLOWING) == (bench.closed, bench.breaker.mode)
    [why] = bench.told
    assert why is not None
    assert (verdict.code, 200) == (why.code, why.http_status)
    assert verdict.code in why.cause
    assert why.remedy
    assert [bench.clock.now + RETRY.cap] == [each.due for each in decision.again]
    assert ([], 2) == (decision.ended, len(decision.again[0].claims))
    assert [0, 0] == [each.known.failures_alone for each in decision.again[0].claims]


async def test_items_refused_for_credentials_may_be_saved_and_close_their_lane(
    bench: Bench,
) -> None:
    """They are looked up before anything else; each reason closes for itself."""
    several = (TOKEN, TOKEN, UNPAID, UNPAID)
    decision = await bench.denied(*several, others=True)
    assert [(2, PauseReason.CREDENTIALS), (2, PauseReason.PLAN)] == bench.closed
    assert [] == decision.ended
    claims = [each for batch in decision.again for each in batch.claims]
    assert [(Doubt.STRONG, None)] * 4 == [(c.known.doubt, c.known.refusal) for c in claims]


async def test_a_lone_item_refused_for_credentials_ends_only_if_it_is_not_there(
    bench: Bench,
) -> None:
    """While others pass it is its own fault; but it may have been saved before."""
    a = claim("a")
    for _ in range(RETRY.max_attempts + 1):
        bench.clock.now += 1.0
        decision = await bench.judge.denied(batch(a), [(a, TOKEN)], others=False)
        assert [] == decision.ended
        bench.pass_others()
    assert (Doubt.STRONG, rejected(TOKEN)) == (a.known.doubt, a.known.refusal)
    assert [] == bench.closed


async def test_one_item_denied_without_others_goes_again(bench: Bench) -> None:
    """Alone, later; it is counted."""
    (again,) = (await bench.denied(DENIED)).again
    assert [1] == [each.known.refusals_alone for each in again.claims]
    assert bench.clock.now <= again.due <= bench.clock.now + RETRY.base * 2
    assert Mode.FLOWING is bench.breaker.mode


async def test_a_broken_call_of_several_counts_against_nobody(bench: Bench) -> None:
    """Nobody knows which one it was."""
    assert [0, 0] == await bench.broke(claim("a"), claim("b"))
    assert 0 == bench.portal.probes
    assert 1 == bench.lanes.broke_alone(OTHER)


async def test_the_only_item_that_breaks_its_calls_is_counted_while_the_portal_answers(
    bench: Bench,
) -> None:
    """However often: one message can never hold up the intake."""
    a = claim("a")
    assert [[1], [2], [3]] == [await bench.broke(a) for _ in range(3)]
    assert 3 == bench.portal.probes


async def test_a_broken_call_in_an_outage_counts_against_nobody(bench: Bench) -> None:
    """The probe fails too."""
    bench.portal.probe_faults.extend([UNREACHABLE, TIMED_OUT])
    a = claim("a")
    assert [[0], [0], [1]] == [await bench.broke(a) for _ in range(3)]


async def test_two_items_that_break_their_calls_count_for_nothing_at_first(bench: Bench) -> None:
    """It may be the portal, whatever it says to a probe; when it lasts, it is their type."""
    a, b = claim("a"), claim("b")
    assert [1] == await bench.broke(a)
    assert [[0], [1], [0]] == [await bench.broke(each) for each in (b, a, b)]
    assert (1, []) == (bench.portal.probes, bench.closed)
    bench.clock.now += POLICY.after
    await bench.broke(a)
    assert [(2, PauseReason.UNAVAILABLE)] == bench.closed


async def test_no_trial_of_a_closed_lane_counts_against_what_is_alone_in_it(bench: Bench) -> None:
    """Others of its type broke their calls too, and none has passed since."""
    a, b = claim("a"), claim("b")
    for each in (a, b, a):
        await bench.broke(each)
    for _ in range(9):
        bench.lanes.close(2, PauseReason.UNAVAILABLE, bench.clock.now)
        bench.clock.now += POLICY.probe_cap
        assert [2] == bench.lanes.due(bench.clock.now)
        assert [1] == await bench.broke(a)
    bench.pass_others()
    assert [2] == await bench.broke(a)


async def test_while_calls_of_all_types_break_no_item_is_alone_in_that(bench: Bench) -> None:
    """The portal may answer a probe and break every import all the same."""
    a, other = claim("a"), claim(event("o", entity_type_id=31))
    assert [1] == await bench.broke(a)
    bench.clock.now += 1.0
    assert [0] == await bench.broke(other)
    assert [[1], [0]] == [await bench.broke(each) for each in (a, other)]
    bench.clock.now += FRESH + 1.0
    assert [2] == await bench.broke(a)


async def test_two_items_that_break_their_calls_in_an_outage_close_no_lane(bench: Bench) -> None:
    """It is the portal's trouble."""
    bench.portal.probe_faults.extend([UNREACHABLE] * 9)
    for _ in range(5):
        bench.clock.now += POLICY.after
        assert [[0], [0]] == [await bench.broke(claim(each)) for each in "ab"]
    assert [] == bench.closed


async def test_calls_of_a_type_that_break_in_a_row_close_its_lane_while_others_pass(
    bench: Bench,
) -> None:
    """Two in a row may be one item; without others the portal may be ill, unless it lasts."""
    pair = claim("a"), claim("b")
    for _ in range(2):
        await bench.broke(*pair)
    bench.pass_others(entity_type_id=1)
    assert [] == bench.closed
    await bench.broke(*pair)
    assert [(2, PauseReason.UNAVAILABLE)] == bench.closed


async def test_calls_that_break_for_long_close_the_lane_while_the_portal_answers(
    bench: Bench,
) -> None:
    """Nobody else has to pass."""
    pair = claim("a"), claim("b")
    for _ in range(5):
        await bench.broke(*pair)
    assert ([], 0) == (bench.closed, bench.portal.probes)
    bench.clock.now += POLICY.after
    await bench.broke(*pair)
    assert [(2, PauseReason.UNAVAILABLE)] == bench.closed


async def test_others_that_pass_show_whose_fault_a_broken_call_is(bench: Bench) -> None:
    """Other breakers do not matter then; the portal must answer a probe all the same."""
    a, b = claim("a"), claim("b")
    bench.portal.probe_faults.append(UNREACHABLE)
    await bench.broke(a)
    await bench.broke(b)
    bench.pass_others()
    assert [[1], [1]] == [await bench.broke(each) for each in (a, b)]
    assert ([], 3) == (bench.closed, bench.portal.probes)


async def test_a_broken_call_counts_for_nothing_while_no_probe_is_answered(bench: Bench) -> None:
    """Others passed before the portal fell ill."""
    a = claim("a")
    bench.portal.probe_faults.extend([UNREACHABLE, UNREACHABLE])
    await bench.broke(a)
    bench.pass_others()
    assert [[0], [1]] == [await bench.broke(a) for _ in range(2)]


async def test_a_broken_call_takes_nothing_back_of_a_refusal_before_it(bench: Bench) -> None:
    """Else an item that is refused never ends beside one that breaks the calls of both."""
    refused, breaks = claim("a"), claim("b")
    refused.known = refused.known.refused(bench.clock.now)
    bench.pass_others()
    await bench.broke(refused, breaks)
    decision = await bench.suspected(refused)
    assert ["a"] == [each.event.event_id for each, _ in decision.ended]


async def test_an_old_success_shows_nothing_of_the_portal_now(bench: Bench) -> None:
    """It is fresh for as long as all tries of an item may take."""
    a, b = claim("a"), claim("b")
    await bench.broke(a)
    bench.pass_others()
    await bench.broke(b)
    bench.clock.now += FRESH - 2.0
    assert [[2], [2]] == [await bench.broke(a) for _ in range(2)]


async def test_a_success_before_the_first_broken_call_proves_nothing(bench: Bench) -> None:
    """The portal may have fallen ill since."""
    bench.pass_others()
    bench.portal.probe_faults.append(UNREACHABLE)
    assert [0] == await bench.broke(claim("a"))


async def test_a_suspect_is_judged_when_the_probe_has_answered(bench: Bench) -> None:
    """Counted, and tried again with growing waits."""
    a = claim("a")
    for times in range(1, RETRY.max_attempts):
        (again,) = (await bench.suspected(a)).again
        assert (times, times) == (a.known.failures_alone, bench.portal.probes)
        assert bench.clock.now <= again.due <= bench.clock.now + RETRY.base * 2**times
    failure = Failed(FailureKind.REJECTED, "100", "said so", 400)
    assert Decision(ended=[(a, failure)]) == await bench.suspected(a)
    assert Mode.FLOWING is bench.breaker.mode


async def test_a_suspect_of_a_shut_portal_is_no_suspect(bench: Bench) -> None:
    """What the probe says counts, under its own name."""
    bench.portal.probe_faults.append(fault(CallKind.BARRED, "X", 401, pause=PauseReason.PLAN))
    a = claim("a")
    decision = await bench.suspected(a, NO_AUTH)
    assert (Mode.PAUSED, PauseReason.PLAN) == (bench.breaker.mode, bench.breaker.reason)
    assert ([bench.clock.now + RETRY.cap], []) == ([e.due for e in decision.again], decision.ended)
    assert (0, None) == (a.known.failures_alone, a.known.first_failed_at)
    assert 1 == bench.lanes.suspect("NO_AUTH_FOUND", OTHER)


@pytest.mark.parametrize("why", [UNREACHABLE, TIMED_OUT])
async def test_a_suspect_waits_while_the_portal_cannot_be_probed(bench: Bench, why: Fault) -> None:
    """The probe says nothing about the item."""
    bench.portal.probe_faults.append(why)
    a = claim("a")
    assert [] == (await bench.suspected(a)).ended
    assert (Mode.FLOWING, 0) == (bench.breaker.mode, a.known.failures_alone)


async def test_a_second_suspect_with_the_same_code_closes_the_lane(bench: Bench) -> None:
    """Then it is not the item; nothing is rejected."""
    await bench.suspected(claim("a"), NO_AUTH)
    decision = await bench.suspected(claim("b"), NO_AUTH)
    assert ([(2, PauseReason.CREDENTIALS)], Mode.FLOWING) == (bench.closed, bench.breaker.mode)
    assert ([], bench.clock.now + RETRY.cap) == (decision.ended, decision.again[0].due)


async def test_suspects_with_different_codes_do_not_accuse_the_portal(bench: Bench) -> None:
    """Each may be its own fault."""
    await bench.suspected(claim("a"), NO_AUTH)
    await bench.suspected(claim("b"), BINDER)
    assert [] == bench.closed


async def test_a_suspect_is_rejected_while_others_pass(bench: Bench) -> None:
    """At its second refusal: the portal takes the others."""
    a = claim("a")
    assert [] == (await bench.suspected(a)).ended
    bench.pass_others()
    assert [a] == [each for each, _ in (await bench.suspected(a)).ended]


async def test_a_success_before_the_first_refusal_proves_nothing(bench: Bench) -> None:
    """The portal may have shut since."""
    bench.pass_others()
    assert [] == (await bench.suspected(claim("a"))).ended


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_lone_suspect_ends_after_all_its_tries_whatever_the_mode(
    bench: Bench, mode: Mode
) -> None:
    """One message never holds up the intake; the breaker does not move."""
    bench.open_by_half()
    bench.breaker.mode = mode
    a = claim("a")
    ended = [len((await bench.suspected(a)).ended) for _ in range(RETRY.max_attempts)]
    assert [0] * (RETRY.max_attempts - 1) + [1] == ended
    assert mode is bench.breaker.mode


async def test_a_lone_item_without_the_right_never_ends_for_its_tries_alone(bench: Bench) -> None:
    """The right may be missing for everybody; others that pass twice show that it is not."""
    a, why = claim("a"), fault(CallKind.SUSPECT, "ACCESS_DENIED", pause=PauseReason.SCOPE)
    for _ in range(RETRY.max_attempts + 1):
        assert [] == (await bench.suspected(a, why)).ended
    bench.pass_others()
    assert [] == (await bench.suspected(a, why)).ended
    bench.pass_others()
    assert [a] == [each for each, _ in (await bench.suspected(a, why)).ended]


@pytest.mark.parametrize("sooner", [0, RETRY.max_attempts - 2, RETRY.max_attempts + 1])
async def test_a_lone_refused_item_ends_though_nothing_comes_after_what_passed(
    bench: Bench, sooner: int
) -> None:
    """Others passed once and there are no more of them: it is tried as often again, and ends."""
    a, why = claim("a"), fault(CallKind.SUSPECT, "ACCESS_DENIED", pause=PauseReason.PLAN)
    a.known = a.known.refused(bench.clock.now)
    for _ in range(sooner):
        assert [] == (await bench.suspected(a, why)).ended
    bench.pass_others()
    for _ in range(RETRY.max_attempts - 1):
        assert [] == (await bench.suspected(a, why)).ended
    assert [a] == [each for each, _ in (await bench.suspected(a, why)).ended]


async def test_who_passed_after_a_broken_call_says_nothing_of_rights(bench: Bench) -> None:
    """The right may have gone since: only who passes after a refusal speaks against an item."""
    a, why = claim("a"), fault(CallKind.SUSPECT, "NO_AUTH_FOUND", pause=PauseReason.CREDENTIALS)
    a.known = a.known.broke(bench.clock.now)
    bench.pass_others()
    for _ in range(2 * RETRY.max_attempts):
        assert [] == (await bench.suspected(a, why)).ended


async def test_an_item_denied_again_is_rejected_when_others_passed_meanwhile(bench: Bench) -> None:
    """It is the only one of its call that is denied."""
    a = claim("a")
    a.known = a.known.refused(bench.clock.now)
    bench.pass_others()
    decision = await bench.judge.denied(batch(a), [(a, DENIED)], others=False)
    assert ([(a, DENIAL)], [], Mode.FLOWING) == (
        decision.ended,
        decision.again,
        bench.breaker.mode,
    )


@pytest.mark.parametrize("tried_enough", [False, True])
async def test_several_items_denied_again_are_their_types_trouble_at_first(
    bench: Bench, *, tried_enough: bool
) -> None:
    """The right may come and go; who is denied again and again while others pass is at fault."""
    a, b = claim("a"), claim("b")
    for each in (a, b):
        attempts = RETRY.max_attempts if tried_enough else RETRY.max_attempts - 1
        each.known = each.known.refused(bench.clock.now)._replace(attempts=attempts)
    bench.pass_others()
    said = [(a, DENIED), (b, DENIED)]
    decision = await bench.judge.denied(batch(a, b), said, others=False)
    ended, again, closed = (
        ([(a, DENIAL), (b, DENIAL)], [], [])
        if tried_enough
        else ([], [(a, b)], [(2, PauseReason.SCOPE)])
    )
    assert (ended, again, closed) == (
        decision.ended,
        [each.claims for each in decision.again],
        bench.closed,
    )


def test_only_a_refusal_has_a_refusal_kind() -> None:
    """What was accepted has none."""
    assert [RefusalKind.DENIED, None, None] == [
        refusal_kind_of(v) for v in (DENIED, Accepted(1), "x")
    ]


async def test_items_of_another_type_show_nothing_of_this_one(bench: Bench) -> None:
    """The right may be missing, or the calls may break, for one type alone."""
    a, b = claim("a"), claim("b")
    why = fault(CallKind.SUSPECT, "ACCESS_DENIED", pause=PauseReason.SCOPE)
    for _ in range(RETRY.max_attempts):
        assert [] == (await bench.suspected(a, why)).ended
        bench.pass_others(entity_type_id=1)
    assert [(2, PauseReason.SCOPE)] == bench.closed
    await bench.broke(b)
    await bench.broke(claim("c"))
    bench.pass_others(entity_type_id=1)
    assert [1] == await bench.broke(b)


@pytest.mark.parametrize("reason", [PauseReason.CREDENTIALS, PauseReason.SCOPE, PauseReason.PLAN])
async def test_a_code_of_credentials_scope_or_plan_ends_no_item_on_its_own_evidence(
    bench: Bench, reason: PauseReason
) -> None:
    """However often: after all tries its lane closes for it, so that somebody sees it."""
    a, why = claim("a"), fault(CallKind.SUSPECT, "X", 401, pause=reason)
    for _ in range(RETRY.max_attempts - 1):
        assert [] == (await bench.suspected(a, why)).ended
        assert [] == bench.closed
    for times in range(1, RETRY.max_attempts):
        assert [] == (await bench.suspected(a, why)).ended
        assert [(2, reason)] * times == bench.closed
    assert Mode.FLOWING is bench.breaker.mode


async def test_an_item_tried_often_before_it_waited_is_tried_once_on_trial(bench: Bench) -> None:
    """A closed lane costs one call in an interval."""
    a = claim("a")
    a.known = a.known._replace(attempts=RETRY.max_attempts)
    assert ([], []) == ((await bench.suspected(a, NO_AUTH)).ended, bench.closed)
    bench.lanes.close(2, PauseReason.CREDENTIALS, bench.clock.now)
    bench.lanes.due(bench.clock.now + POLICY.probe)
    assert [] == (await bench.suspected(a, NO_AUTH)).ended
    assert [(2, PauseReason.CREDENTIALS)] == bench.closed


async def test_a_type_that_the_portal_refuses_as_a_whole_has_its_lane_closed(
    bench: Bench,
) -> None:
    """Its plan has none of it; the others flow."""
    why = fault(CallKind.BARRED, "CREATE_DYNAMIC_ITEM_RESTRICTED", 400, pause=PauseReason.PLAN)
    decision = await bench.judge.lane_refused(batch(claim("a")), why)
    assert ([], 1) == (decision.ended, len(decision.again))
    assert ([(2, PauseReason.PLAN)], Mode.FLOWING) == (bench.closed, bench.breaker.mode)
