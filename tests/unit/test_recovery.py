"""Tests how doubt is cleared: what is found, what is believed absent, what nobody can tell."""

from dataclasses import replace

import pytest

from service.domain.claims import Claim, Claims
from service.domain.doubt import Doubt, Knowledge
from service.domain.outcomes import (
    CallFailed,
    CallKind,
    Failed,
    FailureKind,
    Fault,
    Imported,
    PauseReason,
)
from service.domain.sequel import Cleared
from service.recovery import UNKNOWN_FATE, Recovery
from service.telemetry.metrics import Metrics
from tests.unit.bitrix.scripted import ScriptedPortal
from tests.unit.domain.samples import RULES, claim, event, external_id, fault

TIMED_OUT = Failed(FailureKind.REJECTED, "CALL_TIMED_OUT", "no answer")
ZERO = Failed(FailureKind.REJECTED, "0", "perhaps", 200)


class Bench:
    """One recovery with its neighbours."""

    def __init__(self, *, resend: bool = False) -> None:
        """Start with an empty portal that may be read."""
        self.portal = ScriptedPortal()
        self.claims: Claims[str] = Claims(remember=100)
        self.metrics = Metrics()
        self._recovery: Recovery[str] = Recovery(
            portal=self.portal,
            claims=self.claims,
            rules=replace(RULES, resend=resend),
            metrics=self.metrics,
        )

    async def clear(self, *claims: Claim[str], tries: int = 0) -> Cleared[str]:
        """Look claims up once, after so many look-ups that failed."""
        return await self._recovery.clear(claims, tries=tries)

    def counted(self, found: str) -> float:
        """Return how many doubtful items were found, or not."""
        name = "importer_reconciled_items_total"
        return self.metrics.registry.get_sample_value(name, {"found": found}) or 0.0


@pytest.fixture
def bench() -> Bench:
    """Give the test a recovery that sends nothing again."""
    return Bench()


def strong(name: str = "a", **kwargs: str | None) -> Claim[str]:
    """Return the claim of an event that was perhaps sent."""
    return claim(event(name, **kwargs), doubt=Doubt.STRONG)  # type: ignore[arg-type]  # names of its own


def weak(name: str = "a") -> Claim[str]:
    """Return the claim of an event that another process may have sent."""
    return claim(name, doubt=Doubt.WEAK)


async def test_a_found_item_settles_its_event(bench: Bench) -> None:
    """It is reconciled: found by asking rather than answered."""
    a = strong()
    item_id = bench.portal.create(a.event)
    cleared = await bench.clear(a)
    assert Cleared(ended=[(a, Imported(item_id, reconciled=True))]) == cleared
    assert (1.0, 0.0) == (bench.counted("yes"), bench.counted("no"))


async def test_an_item_found_before_any_try_is_a_duplicate(bench: Bench) -> None:
    """Nobody here sent it: an earlier publish did."""
    tried, untried = weak("a"), weak("b")
    tried.known.attempts = 1
    for each in (tried, untried):
        bench.portal.create(each.event)
    cleared = await bench.clear(tried, untried)
    assert [
        (tried, Imported(1, reconciled=True)),
        (untried, Imported(2, reconciled=True, duplicate=True)),
    ] == cleared.ended


async def test_the_lowest_of_several_items_counts(bench: Bench) -> None:
    """The duplicates exist already; one of them settles the event."""
    a = strong()
    bench.portal.items[(2, a.event.external_id)] = [9, 7, 8]  # type: ignore[index]  # it has one
    assert [(a, Imported(7, reconciled=True))] == (await bench.clear(a)).ended


async def test_an_item_settles_at_most_one_event(bench: Bench) -> None:
    """Two events that share an external id need two items."""
    a, b = strong("a", external="shared"), strong("b", external="shared")
    bench.portal.create(a.event)
    cleared = await bench.clear(a, b)
    assert [(a, Imported(1, reconciled=True))] == cleared.ended
    assert [b] == cleared.again
    bench.portal.create(b.event)
    assert [(b, Imported(2, reconciled=True))] == (await bench.clear(b)).ended


async def test_an_item_that_was_answered_settles_no_other_event(bench: Bench) -> None:
    """It belongs to the event for which the portal named it."""
    a, b = strong("a", external="shared"), strong("b", external="shared")
    bench.claims.own(a.event, bench.portal.create(a.event))
    assert [b] == (await bench.clear(b)).again


async def test_only_the_doubtful_are_asked_for(bench: Bench) -> None:
    """The others may be sent."""
    sure, doubtful = claim("a"), weak("b")
    cleared = await bench.clear(sure, doubtful)
    assert [sure, doubtful] == cleared.absent
    assert [["b"]] == bench.portal.look_ups


async def test_nobody_is_asked_where_nothing_is_in_doubt(bench: Bench) -> None:
    """No call at all."""
    assert Cleared(absent=[a := claim("a")]) == await bench.clear(a)
    assert ([], 0) == (bench.portal.look_ups, bench.portal.asked_readable)


async def test_an_absent_item_is_looked_up_once_more(bench: Bench) -> None:
    """Then it is believed, and may be sent."""
    a = strong()
    assert Cleared(again=[a]) == await bench.clear(a)
    assert Knowledge(doubt=Doubt.STRONG, absent_once=True) == a.known
    assert Cleared(absent=[a]) == await bench.clear(a)
    assert Knowledge() == a.known
    assert (0.0, 1.0) == (bench.counted("yes"), bench.counted("no"))


async def test_the_second_look_may_find_what_the_first_did_not(bench: Bench) -> None:
    """A replica lags."""
    a = strong()
    await bench.clear(a)
    bench.portal.create(a.event)
    assert [(a, Imported(1, reconciled=True))] == (await bench.clear(a)).ended


async def test_a_weak_doubt_is_asked_once(bench: Bench) -> None:
    """Absent is sent, whether reading is proved or not."""
    bench.portal.readable = False
    assert Cleared(absent=[a := weak()]) == await bench.clear(a)
    assert (Doubt.NONE, 0) == (a.known.doubt, bench.portal.asked_readable)


async def test_a_refusal_stands_when_the_item_is_absent(bench: Bench) -> None:
    """It is not sent again to be refused again."""
    a = strong()
    a.known.perhaps_sent(ZERO, 0.0, stands=True)
    assert Cleared(again=[a]) == await bench.clear(a)
    assert Cleared(ended=[(a, ZERO)]) == await bench.clear(a)


async def test_absent_is_not_believed_where_reading_is_not_proved(bench: Bench) -> None:
    """What may not be read looks absent: a person must look."""
    bench.portal.readable = False
    a = strong()
    a.known.perhaps_sent(TIMED_OUT, 0.0)
    expected = Failed(FailureKind.AMBIGUOUS, "CALL_TIMED_OUT", "no answer")
    assert Cleared(ended=[(a, expected)]) == await bench.clear(a)


async def test_a_redelivery_of_unknown_fate_says_so(bench: Bench) -> None:
    """No call of ours failed: the message names the remedy."""
    bench.portal.readable = False
    a = strong()
    assert [(a, UNKNOWN_FATE)] == (await bench.clear(a)).ended


async def test_what_has_no_external_id_cannot_be_asked_for(bench: Bench) -> None:
    """Nor is the portal asked whether it could be."""
    a = strong(external=None)
    assert [(a, UNKNOWN_FATE)] == (await bench.clear(a)).ended
    assert ([], 0) == (bench.portal.look_ups, bench.portal.asked_readable)


async def test_what_cannot_be_asked_for_is_sent_again_if_the_policy_says_so() -> None:
    """With `AMBIGUOUS=resend` nothing waits for a person."""
    bench = Bench(resend=True)
    a = strong(external=None)
    assert Cleared(absent=[a]) == await bench.clear(a)
    assert Doubt.NONE is a.known.doubt


async def test_what_was_returned_unsent_is_sent_though_nobody_can_be_asked(bench: Bench) -> None:
    """This process knows that it did not send it."""
    a = claim(event("a", external=None), doubt=Doubt.WEAK)
    assert Cleared(absent=[a]) == await bench.clear(a)


async def test_reading_is_proved_once(bench: Bench) -> None:
    """For each entity type; the proof is remembered."""
    for name in "abc":
        await bench.clear(strong(name))
    assert 1 == bench.portal.asked_readable
    await bench.clear(claim(event("a", entity_type_id=1), doubt=Doubt.STRONG))
    assert 2 == bench.portal.asked_readable


async def test_a_found_item_proves_reading(bench: Bench) -> None:
    """No further call is needed."""
    a, b = strong("a"), strong("b")
    bench.portal.create(a.event)
    cleared = await bench.clear(a, b)
    assert ([(a, Imported(1, reconciled=True))], [b]) == (cleared.ended, cleared.again)
    assert 0 == bench.portal.asked_readable


async def test_a_lack_of_proof_is_not_remembered(bench: Bench) -> None:
    """The right may be granted, or the first item appear."""
    bench.portal.readable = False
    await bench.clear(strong("a"))
    bench.portal.readable = True
    assert Cleared(again=[b := strong("b")]) == await bench.clear(b)


def _code(why: Fault) -> str:
    return f"{why.code} {why.http_status}"


PATIENCE = RULES.retry.max_attempts
DENIED = fault(CallKind.SUSPECT, "ACCESS_DENIED", 400, pause=PauseReason.SCOPE)
UNKNOWN_400 = fault(CallKind.AMBIGUOUS, "SOMETHING_NEW", 400)
FOR_GOOD = [
    fault(CallKind.AMBIGUOUS, "INVALID_ARG_VALUE", 400),
    fault(CallKind.AMBIGUOUS, "invalid_arg_value", 400),
    fault(CallKind.AMBIGUOUS, "ERROR_ARGUMENT", 400),
    DENIED,
    fault(CallKind.SUSPECT, "ACCESS_DENIED", 403, pause=PauseReason.PLAN),
]
PASSING = [
    fault(CallKind.THROTTLED, "QUERY_LIMIT_EXCEEDED", 503),
    fault(CallKind.OVER_BUDGET, "OPERATION_TIME_LIMIT", 429),
    fault(CallKind.BARRED, "INVALID_CREDENTIALS", 401),
    fault(CallKind.UNAVAILABLE, "CONNECTION_LOST", None, answered=False),
    fault(CallKind.AMBIGUOUS, "CALL_TIMED_OUT", None, answered=False),
    fault(CallKind.AMBIGUOUS, "HTTP_502", 502, answered=False),
    fault(CallKind.AMBIGUOUS, "INTERNAL_SERVER_ERROR", 500),
    fault(CallKind.AMBIGUOUS, "INVALID_ARG_VALUE", 500),
    fault(CallKind.AMBIGUOUS, "HTTP_400", 400, answered=False),
    fault(CallKind.AMBIGUOUS, "UNREADABLE_ANSWER", 200, answered=False),
]


@pytest.mark.parametrize("why", FOR_GOOD, ids=_code)
async def test_a_look_up_refused_for_good_is_one_that_cannot_be_made(
    bench: Bench, why: Fault
) -> None:
    """Waiting would not help: strong doubt goes to a person, weak doubt is sent."""
    bench.portal.look_up_faults.append(why)
    a, b = strong("a"), weak("b")
    cleared = await bench.clear(a, b)
    assert ([(a, UNKNOWN_FATE)], [b], []) == (cleared.ended, cleared.absent, cleared.again)
    assert int(why.kind is CallKind.SUSPECT) == bench.portal.probes


@pytest.mark.parametrize("why", FOR_GOOD, ids=_code)
async def test_a_proof_refused_for_good_is_none(bench: Bench, why: Fault) -> None:
    """As if nothing were visible."""
    bench.portal.readable = why
    assert [UNKNOWN_FATE] == [failed for _, failed in (await bench.clear(strong())).ended]


@pytest.mark.parametrize("proved", [False, True])
@pytest.mark.parametrize("why", FOR_GOOD, ids=_code)
async def test_a_refused_look_up_is_never_taken_for_absent(why: Fault, *, proved: bool) -> None:
    """Though reading was proved before: the item exists, and only a person can find it."""
    bench = Bench()
    if proved:
        await bench.clear(strong("earlier"))
    a = strong("a")
    bench.portal.create(a.event)
    for _ in range(2):
        bench.portal.look_up_faults.append(why)
        cleared = await bench.clear(a)
        assert ([(a, UNKNOWN_FATE)], [], []) == (cleared.ended, cleared.absent, cleared.again)
    assert Doubt.STRONG is a.known.doubt


@pytest.mark.parametrize("why", FOR_GOOD, ids=_code)
async def test_a_refused_look_up_is_sent_again_if_the_policy_says_so(why: Fault) -> None:
    """It is one that cannot be made, as for a type without external id."""
    bench = Bench(resend=True)
    bench.portal.look_up_faults.append(why)
    assert Cleared(absent=[a := strong()]) == await bench.clear(a)
    assert Doubt.NONE is a.known.doubt


async def test_a_refused_look_up_takes_the_proof_of_reading_back(bench: Bench) -> None:
    """The right is gone: what is not shown next time is not absent. For that type only."""
    first, other = strong("first"), claim(event("o", entity_type_id=1), doubt=Doubt.STRONG)
    await bench.clear(first)
    await bench.clear(other)
    bench.portal.look_up_faults.append(DENIED)
    await bench.clear(strong("second"))
    bench.portal.readable = False
    assert [(third := strong("third"), UNKNOWN_FATE)] == (await bench.clear(third)).ended
    assert 3 == bench.portal.asked_readable
    late = claim(event("late", entity_type_id=1), doubt=Doubt.STRONG)
    assert Cleared(again=[late]) == await bench.clear(late)
    assert 3 == bench.portal.asked_readable


async def test_an_unknown_refusal_is_believed_when_patience_is_over(bench: Bench) -> None:
    """Before, it may be the portal's passing trouble."""
    a = strong()
    for tries in range(PATIENCE):
        bench.portal.look_up_faults.append(UNKNOWN_400)
        with pytest.raises(CallFailed):
            await bench.clear(a, tries=tries)
    bench.portal.look_up_faults.append(UNKNOWN_400)
    assert [(a, UNKNOWN_FATE)] == (await bench.clear(a, tries=PATIENCE)).ended


@pytest.mark.parametrize("resend", [False, True])
@pytest.mark.parametrize("external", ["", None])
async def test_a_refusal_that_nobody_can_check_is_ambiguous(
    *, resend: bool, external: str | None
) -> None:
    """Not `rejected`, for the item may be saved; not sent again, for it was refused."""
    bench = Bench(resend=resend)
    bench.portal.readable = False
    a = strong(external=external)
    a.known.perhaps_sent(ZERO, 0.0, stands=True)
    expected = Failed(FailureKind.AMBIGUOUS, "0", "perhaps", 200)
    assert Cleared(ended=[(a, expected)]) == await bench.clear(a)


async def test_a_type_that_the_portal_does_not_know_has_no_items(bench: Bench) -> None:
    """The import will say the same, for the sure and the doubtful."""
    unknown = fault(CallKind.UNSUPPORTED, "NOT_FOUND", 400)
    bench.portal.look_up_faults.append(unknown)
    a, b, c = strong("a"), weak("b"), claim("c")
    assert Cleared(absent=[a, b, c]) == await bench.clear(a, b, c)
    bench.portal.readable = unknown
    assert Cleared(absent=[d := strong("d")]) == await bench.clear(d)
    assert [Doubt.NONE] * 4 == [each.known.doubt for each in (a, b, c, d)]


@pytest.mark.parametrize("tries", [0, PATIENCE, 1000])
@pytest.mark.parametrize("why", PASSING, ids=_code)
async def test_a_look_up_that_may_succeed_later_decides_nothing(why: Fault, tries: int) -> None:
    """Every claim stays as it was, however long it lasts."""
    bench = Bench(resend=True)
    bench.portal.look_up_faults.append(why)
    a = strong()
    before = replace(a.known)
    with pytest.raises(CallFailed):
        await bench.clear(a, tries=tries)
    bench.portal.readable = why
    with pytest.raises(CallFailed):
        await bench.clear(a, tries=tries)
    assert before == a.known


async def test_a_look_up_that_fails_for_now_keeps_the_proof_of_reading(bench: Bench) -> None:
    """It says nothing about the right."""
    await bench.clear(strong("a"))
    bench.portal.look_up_faults.append(PASSING[0])
    with pytest.raises(CallFailed):
        await bench.clear(strong("b"))
    await bench.clear(strong("c"))
    assert 1 == bench.portal.asked_readable


async def test_a_look_up_refused_by_a_shut_portal_decides_nothing(bench: Bench) -> None:
    """The probe tells a missing right to read from credentials that are gone."""
    shut = fault(CallKind.SUSPECT, "NO_AUTH_FOUND", 401, pause=PauseReason.CREDENTIALS)
    bench.portal.look_up_faults.append(shut)
    bench.portal.probe_faults.append(shut)
    a = strong()
    with pytest.raises(CallFailed):
        await bench.clear(a)
    assert Doubt.STRONG is a.known.doubt


async def test_an_absence_that_proves_nothing_ends_nothing(bench: Bench) -> None:
    """The portal may keep another text than the one that was brought and is asked for."""
    brought = replace(event("a"), external_id=replace(external_id("a "), exact=False))
    cleared = await bench.clear(claim(brought, doubt=Doubt.STRONG))
    assert ([], []) == (cleared.absent, cleared.again)
    ((_, outcome),) = cleared.ended
    assert isinstance(outcome, Failed)
    assert FailureKind.AMBIGUOUS is outcome.kind
