"""Tests how doubt is cleared: what is found, what is believed absent, what nobody can tell."""

import time
from dataclasses import replace

import pytest

from service.domain.claim import Claim
from service.domain.claims import Claims
from service.domain.decisions import Cleared
from service.domain.events import NOTHING_ASKED, ItemEvent, Profile
from service.domain.history import Doubt, History
from service.domain.last_words import LastWords, Word, word_on
from service.domain.outcomes import (
    CallFailed,
    CallKind,
    Failed,
    FailureKind,
    Fault,
    Imported,
    PauseReason,
)
from service.importer.lookup import UNKNOWN_FATE, Clocks, Recovery
from service.telemetry import steady
from service.telemetry.metrics import Metrics
from tests.unit.bitrix.scripted import Clock, ScriptedPortal
from tests.unit.domain.samples import RULES, asking, claim, event, external_id, fault

PROOF_SECONDS = 100.0
TIMED_OUT = Failed(FailureKind.REJECTED, "CALL_TIMED_OUT", "no answer")
ZERO = Failed(FailureKind.REJECTED, "0", "perhaps", 200)


class Bench:
    """One recovery with its neighbours."""

    def __init__(self, *, resend: bool = False) -> None:
        """Start with an empty portal that may be read."""
        self.portal = ScriptedPortal()
        self.claims = Claims(remember=100)
        self.metrics = Metrics()
        self.clock, self.open_seconds = Clock(), Clock(0.0)
        self.recovery = Recovery(
            portal=self.portal,
            claims=self.claims,
            rules=replace(RULES, resend=resend, unproved_after=PROOF_SECONDS),
            metrics=self.metrics,
            clocks=Clocks(self.clock, lambda _: self.open_seconds.now),
        )

    def imported(self, item: ItemEvent) -> int:
        """Let the portal answer that it created the item of an event."""
        item_id = self.portal.create(item)
        assert self.recovery.answered(item, item_id)
        return item_id

    async def end(self, *claims: Claim) -> Cleared:
        """Look claims up when no proof is waited for any more."""
        await self.clear(*claims)
        self.open_seconds.now += PROOF_SECONDS
        return await self.clear(*claims)

    async def clear(self, *claims: Claim, tries: int = 0) -> Cleared:
        """Look claims up once, after so many look-ups that failed."""
        return await self.recovery.clear(claims, tries=tries)

    def counted(self, found: str) -> float:
        """Return how many doubtful items were found, or not."""
        name = "importer_reconciled_items_total"
        return self.metrics.registry.get_sample_value(name, {"found": found}) or 0.0


@pytest.fixture
def bench() -> Bench:
    """Give the test a recovery that sends nothing again."""
    return Bench()


def strong(name: str = "a", *, external: str | None = "", asks: Profile = NOTHING_ASKED) -> Claim:
    """Return the claim of an event that was perhaps sent, from here."""
    made = claim(asking(event(name, external=external), asks), doubt=Doubt.STRONG)
    made.known = made.known._replace(attempts=1)
    return made


def weak(name: str = "a") -> Claim:
    """Return the claim of an event that another process may have sent."""
    return claim(name, doubt=Doubt.WEAK)


async def test_a_found_item_settles_its_event(bench: Bench) -> None:
    """It is reconciled: found by asking rather than answered."""
    a = strong()
    item_id = bench.portal.create(a.event)
    cleared = await bench.clear(a)
    assert Cleared(ended=[(a, Imported(item_id, reconciled=True))]) == cleared
    assert (1.0, 0.0) == (bench.counted("yes"), bench.counted("no"))


async def test_a_look_up_that_comes_too_early_proves_nothing(bench: Bench) -> None:
    """A call that may still be working can make the item later; what it made already counts."""
    a, b = strong("a"), strong("b")
    for each in (a, b):
        each.known = each.known._replace(look_at=bench.clock.now + 5.0)
    bench.portal.create(b.event)
    for _ in range(3):
        cleared = await bench.clear(a)
        assert ([a], []) == (cleared.again, cleared.absent)
    assert [(b, Imported(1, reconciled=True))] == (await bench.clear(b)).ended
    bench.clock.now += 5.0
    assert [a] == (await bench.clear(a)).again
    assert [a] == (await bench.clear(a)).absent


async def test_an_item_found_before_any_try_is_a_duplicate(bench: Bench) -> None:
    """Nobody here sent it: an earlier publish did, or a process that died in its call."""
    tried, untried, died = weak("a"), weak("b"), strong("c")
    tried.known = tried.known._replace(attempts=1)
    died.known = died.known._replace(attempts=0)
    for each in (tried, untried, died):
        bench.portal.create(each.event)
    cleared = await bench.clear(tried, untried, died)
    assert [
        (tried, Imported(1, reconciled=True)),
        (untried, Imported(2, reconciled=True, duplicate=True)),
        (died, Imported(3, reconciled=True, duplicate=True)),
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
    bench.imported(a.event)
    assert [b] == (await bench.clear(b)).again


async def test_only_the_doubtful_are_asked_for(bench: Bench) -> None:
    """The others may be sent."""
    sure, doubtful = claim("a"), weak("b")
    cleared = await bench.clear(sure, doubtful)
    assert [sure, doubtful] == cleared.absent
    assert [["b"]] == bench.portal.failed_look_ups


async def test_nobody_is_asked_where_nothing_is_in_doubt(bench: Bench) -> None:
    """No call at all."""
    assert Cleared(absent=[a := claim("a")]) == await bench.clear(a)
    assert ([], 0) == (bench.portal.failed_look_ups, bench.portal.asked_oneself)


async def test_an_absent_item_is_looked_up_once_more(bench: Bench) -> None:
    """Then it is believed, and may be sent."""
    a = strong()
    assert Cleared(again=[a]) == await bench.clear(a)
    assert History(doubt=Doubt.STRONG, absent_once=True, attempts=1) == a.known
    assert Cleared(absent=[a]) == await bench.clear(a)
    assert History(attempts=1) == a.known
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
    assert (Doubt.NONE, 0) == (a.known.doubt, bench.portal.asked_oneself)


async def test_a_refusal_stands_when_the_item_is_absent(bench: Bench) -> None:
    """It is not sent again to be refused again."""
    a = strong()
    a.known = a.known.perhaps_sent(ZERO, 0.0, stands=True)
    assert Cleared(again=[a]) == await bench.clear(a)
    assert Cleared(ended=[(a, ZERO)]) == await bench.clear(a)


async def test_absent_is_not_believed_where_reading_is_not_proved(bench: Bench) -> None:
    """What may not be read looks absent: it waits for a proof, then a person must look."""
    bench.portal.readable = False
    a = strong()
    a.known = a.known.perhaps_sent(TIMED_OUT, 0.0)
    assert Cleared(waiting=[a]) == await bench.clear(a)
    expected = Failed(FailureKind.AMBIGUOUS, "CALL_TIMED_OUT", "no answer")
    assert Cleared(ended=[(a, expected)]) == await bench.end(a)


async def test_a_redelivery_of_unknown_fate_says_so(bench: Bench) -> None:
    """No call of ours failed: the message names the remedy."""
    bench.portal.readable = False
    a = strong()
    assert [(a, UNKNOWN_FATE)] == (await bench.end(a)).ended


async def test_what_has_no_external_id_cannot_be_asked_for(bench: Bench) -> None:
    """Nor is the portal asked whether it could be."""
    a = strong(external=None)
    assert [(a, UNKNOWN_FATE)] == (await bench.clear(a)).ended
    assert ([], 0) == (bench.portal.failed_look_ups, bench.portal.asked_oneself)


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
async def test_a_look_up_refused_for_good_proves_nothing(bench: Bench, why: Fault) -> None:
    """What was perhaps sent waits: the right may come back. Nobody sent the other: it is sent."""
    bench.portal.look_up_faults.append(why)
    a, b = strong("a"), weak("b")
    assert Cleared(waiting=[a], absent=[b]) == await bench.clear(a, b)
    assert int(why.kind is CallKind.SUSPECT) == bench.portal.probes


@pytest.mark.parametrize("why", FOR_GOOD, ids=_code)
async def test_who_does_not_say_who_we_are_does_not_call_us_an_administrator(
    bench: Bench, why: Fault
) -> None:
    """A word that is refused is no word."""
    bench.portal.readable = why
    assert [UNKNOWN_FATE] == [failed for _, failed in (await bench.end(strong())).ended]


@pytest.mark.parametrize("witnessed", [False, True])
@pytest.mark.parametrize("why", FOR_GOOD, ids=_code)
async def test_a_refused_look_up_is_never_taken_for_absent(why: Fault, *, witnessed: bool) -> None:
    """Though items were shown before: this one exists, and only a person can find it."""
    bench = Bench()
    if witnessed:
        bench.imported(event("earlier"))
    a = strong("a")
    bench.portal.create(a.event)
    for _ in range(2):
        bench.portal.look_up_faults.append(why)
        assert Cleared(waiting=[a]) == await bench.clear(a)
    bench.open_seconds.now += PROOF_SECONDS
    bench.portal.look_up_faults.append(why)
    assert Cleared(ended=[(a, UNKNOWN_FATE)]) == await bench.clear(a)
    assert Doubt.STRONG is a.known.doubt


@pytest.mark.parametrize("why", FOR_GOOD, ids=_code)
async def test_what_is_never_proved_is_sent_again_if_the_policy_says_so(why: Fault) -> None:
    """With `AMBIGUOUS=resend`, when no proof is waited for any more."""
    bench = Bench(resend=True)
    bench.portal.look_up_faults.extend([why, why])
    assert Cleared(absent=[a := strong()]) == await bench.end(a)
    assert Doubt.NONE is a.known.doubt


async def test_an_unknown_refusal_is_believed_when_patience_is_over(bench: Bench) -> None:
    """Before, it may be the portal's passing trouble."""
    a = strong()
    for tries in range(PATIENCE):
        bench.portal.look_up_faults.append(UNKNOWN_400)
        with pytest.raises(CallFailed):
            await bench.clear(a, tries=tries)
    bench.portal.look_up_faults.append(UNKNOWN_400)
    assert Cleared(waiting=[a]) == await bench.clear(a, tries=PATIENCE)


@pytest.mark.parametrize("resend", [False, True])
@pytest.mark.parametrize("external", ["", None])
async def test_a_refusal_that_nobody_can_check_is_ambiguous(
    *, resend: bool, external: str | None
) -> None:
    """Not `rejected`, for the item may be saved; not sent again, for it was refused."""
    bench = Bench(resend=resend)
    bench.portal.readable = False
    a = strong(external=external)
    a.known = a.known.perhaps_sent(ZERO, 0.0, stands=True)
    expected = Failed(FailureKind.AMBIGUOUS, "0", "perhaps", 200)
    ended = await (bench.clear(a) if external is None else bench.end(a))
    assert Cleared(ended=[(a, expected)]) == ended


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
    before = a.known
    with pytest.raises(CallFailed):
        await bench.clear(a, tries=tries)
    bench.portal.readable = why
    with pytest.raises(CallFailed):
        await bench.clear(a, tries=tries)
    assert before == a.known


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


ANNES = Profile(responsible="8")
CASES = {
    "a responsible person": Profile(responsible="8"),
    "a pipeline": Profile(pipeline="5"),
    "open to everyone": Profile(opened="N"),
    "all three": Profile("8", "5", "N"),
}


@pytest.mark.parametrize("asks", CASES.values(), ids=CASES)
async def test_absent_is_believed_with_a_witness_of_the_same_kind(
    bench: Bench, asks: Profile
) -> None:
    """Asked for in the same call; who is no administrator needs it each time."""
    bench.portal.admin = False
    bench.imported(asking("witness", asks))
    a = strong(asks=asks)
    assert Cleared(again=[a]) == await bench.clear(a)
    assert Cleared(absent=[a]) == await bench.clear(a)
    assert [["a", "witness"]] * 2 == bench.portal.failed_look_ups


@pytest.mark.parametrize("asks", CASES.values(), ids=CASES)
async def test_an_item_of_another_kind_is_no_witness(bench: Bench, asks: Profile) -> None:
    """Who sees items of one kind may not see those of another."""
    bench.portal.admin = False
    bench.imported(event("other"))
    assert Cleared(waiting=[a := strong(asks=asks)]) == await bench.clear(a)


@pytest.mark.parametrize("asks", CASES.values(), ids=CASES)
async def test_a_witness_that_was_changed_is_none(bench: Bench, asks: Profile) -> None:
    """It counts what the item has today, not what it was made with."""
    bench.portal.admin = False
    item_id = bench.imported(asking("witness", asks))
    bench.portal.profiles[item_id] = Profile("77", "77", "Y")
    assert Cleared(waiting=[a := strong(asks=asks)]) == await bench.clear(a)


async def test_a_witness_handed_over_is_none_where_nobody_was_asked_for(bench: Bench) -> None:
    """The portal makes us responsible; others may see what they were given."""
    bench.portal.admin = False
    item_id = bench.imported(event("witness"))
    bench.clock.now += 3600
    bench.portal.profiles[item_id] = Profile("8", "0", "Y")
    assert Cleared(waiting=[a := strong()]) == await bench.clear(a)
    bench.portal.profiles[item_id] = Profile("1", "0", "Y")
    assert Cleared(again=[a]) == await bench.clear(a)


async def test_what_the_portal_gives_is_learnt_from_the_item_seen_youngest(bench: Bench) -> None:
    """Whether items are open to everyone depends on the portal's settings."""
    bench.portal.admin = False
    item_id = bench.imported(event("young"))
    bench.portal.profiles[item_id] = Profile("1", "0", "N")
    assert Cleared(again=[a := strong("a")]) == await bench.clear(a)
    bench.clock.now += 3600
    bench.portal.profiles[item_id] = Profile("1", "0", "Y")
    assert Cleared(waiting=[b := strong("b")]) == await bench.clear(b)


async def test_one_of_several_witnesses_will_do(bench: Bench) -> None:
    """The others were deleted."""
    bench.portal.admin = False
    for name in "vwxyz":
        bench.imported(event(name))
    for name in "wxyz":
        bench.portal.items[(2, strong(name).event.external_id)].clear()  # type: ignore[index]  # it has one
    assert Cleared(again=[a := strong()]) == await bench.clear(a)


@pytest.mark.parametrize("admin", [False, True])
async def test_where_items_were_made_and_none_is_shown_nothing_will_do(*, admin: bool) -> None:
    """Not even an administrator's word: a right that was proved once may be gone."""
    bench = Bench()
    bench.portal.admin = admin
    bench.imported(event("witness"))
    assert Cleared(again=[a := strong()]) == await bench.clear(a)
    bench.portal.items.clear()
    assert Cleared(waiting=[a]) == await bench.clear(a)


async def test_an_administrators_word_will_do_where_none_was_ever_made(bench: Bench) -> None:
    """Asked anew at each look-up; for that kind of items only."""
    for name in "abc":
        assert [] == (await bench.clear(strong(name))).waiting
    assert 3 == bench.portal.asked_oneself
    bench.portal.admin = False
    assert Cleared(waiting=[d := strong("d")]) == await bench.clear(d)


async def test_an_item_found_in_the_same_call_is_a_witness(bench: Bench) -> None:
    """A part of a broken call was saved: the rest would be shown as well."""
    bench.portal.admin = False
    a, b = strong("a"), strong("b")
    bench.portal.create(a.event)
    cleared = await bench.clear(a, b)
    assert ([a], [b]) == ([each for each, _ in cleared.ended], cleared.again)


async def test_an_item_of_another_type_is_no_witness(bench: Bench) -> None:
    """Rights are given by type."""
    bench.portal.admin = False
    bench.imported(event("lead", entity_type_id=1))
    assert Cleared(waiting=[a := strong()]) == await bench.clear(a)


async def test_a_weak_doubt_waits_where_witnesses_are_known_and_none_is_shown(
    bench: Bench,
) -> None:
    """It is sent when no proof is waited for any more; it was perhaps never sent."""
    item_id = bench.imported(event("witness"))
    bench.portal.items.clear()
    assert Cleared(waiting=[a := weak()]) == await bench.clear(a)
    bench.open_seconds.now += PROOF_SECONDS
    assert Cleared(absent=[a]) == await bench.clear(a)
    assert 0 < item_id


async def test_a_weak_doubt_waits_for_no_item_that_is_shown_whatever_it_has_today(
    bench: Bench,
) -> None:
    """Such as where a rule of the portal hands every new item over to somebody."""
    bench.portal.admin = False
    item_id = bench.imported(event("witness"))
    bench.portal.profiles[item_id] = Profile("8", "3", "N")
    assert Cleared(absent=[a := weak()]) == await bench.clear(a)
    assert Cleared(waiting=[b := strong("b")]) == await bench.clear(b)


@pytest.mark.parametrize("shown", [Profile(), Profile(opened="Y"), Profile(responsible="1")])
async def test_what_the_portal_does_not_tell_of_its_items_keeps_nobody_waiting(
    bench: Bench, shown: Profile
) -> None:
    """Some types have no pipeline, some lists no responsible person."""
    bench.portal.admin = False
    item_id = bench.imported(event("witness"))
    bench.portal.profiles[item_id] = shown
    assert Cleared(again=[a := strong("a")]) == await bench.clear(a)
    assert Cleared(absent=[b := weak("b")]) == await bench.clear(b)


async def test_what_another_message_of_the_id_asked_for_needs_a_witness_too(
    bench: Bench,
) -> None:
    """The item of that message may be one that we cannot see."""
    bench.portal.admin = False
    bench.imported(event("witness"))
    a = strong("a")
    a.known = a.known.suspected(Doubt.STRONG, 0.0, frozenset({ANNES}))
    assert Cleared(waiting=[a]) == await bench.clear(a)
    bench.imported(asking("annes", ANNES))
    assert Cleared(again=[a]) == await bench.clear(a)
    assert Cleared(absent=[a]) == await bench.clear(a)


async def test_waiting_for_a_proof_counts_from_an_answered_look_up(bench: Bench) -> None:
    """And only while the portal takes imports."""
    bench.portal.readable = False
    a = strong()
    bench.portal.look_up_faults.append(PASSING[0])
    with pytest.raises(CallFailed):
        await bench.clear(a)
    bench.open_seconds.now += 2 * PROOF_SECONDS
    assert Cleared(waiting=[a]) == await bench.clear(a)
    bench.open_seconds.now += PROOF_SECONDS - 1
    assert Cleared(waiting=[a]) == await bench.clear(a)
    bench.clock.now += 2 * PROOF_SECONDS
    assert Cleared(waiting=[a]) == await bench.clear(a)
    bench.open_seconds.now += 1
    assert Cleared(ended=[(a, UNKNOWN_FATE)]) == await bench.clear(a)


# ---- a portal that was set back ----


@pytest.mark.error_logs
async def test_an_item_shown_under_our_pair_is_ours_though_its_number_is_known(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The portal lost what it had, and gives its numbers out again: one line, one count."""
    bench.imported(event("old"))
    a, b = strong("a"), strong("b")
    bench.portal.items = {
        (2, a.event.external_id): [1],  # type: ignore[dict-item]  # it has one
        (2, b.event.external_id): [2],  # type: ignore[dict-item]  # as above
    }
    bench.imported(event("older"))
    assert [a] == [each for each, _ in (await bench.clear(a)).ended]
    assert [b] == [each for each, _ in (await bench.clear(b)).ended]
    assert 1.0 == bench.metrics.registry.get_sample_value("importer_portal_set_back_total")
    assert 1 == sum("set back" in each.message for each in caplog.records)


async def test_an_answer_that_names_a_known_number_is_looked_up(bench: Bench) -> None:
    """Somebody on the way may have answered twice with one thing; the portal is asked."""
    bench.imported(event("old"))
    assert not bench.recovery.answered(event("new"), 1)
    assert 0.0 == bench.metrics.registry.get_sample_value("importer_portal_set_back_total")


@pytest.mark.error_logs
async def test_where_nobody_can_be_asked_one_known_number_is_doubted(bench: Bench) -> None:
    """It may be a mistake. The next ones are not doubted: the portal counts anew."""
    for name in ("a", "b"):
        assert bench.recovery.answered(event(name, external=None), ord(name))
    assert not bench.recovery.answered(event("c", external=None), ord("a"))
    assert bench.recovery.answered(event("d", external=None), ord("b"))
    assert 1.0 == bench.metrics.registry.get_sample_value("importer_portal_set_back_total")


async def test_two_events_that_bring_one_id_are_no_set_back(bench: Bench) -> None:
    """The number is known with the same pair: it is the other's item."""
    bench.imported(event("a", external="shared"))
    b = strong("b", external="shared")
    assert [b] == (await bench.clear(b)).again
    assert 0.0 == bench.metrics.registry.get_sample_value("importer_portal_set_back_total")


def remembered(bench: Bench, item: ItemEvent, item_id: int) -> None:
    """Let the memory say that another process has imported an event."""
    words = LastWords(9)
    words.say(word_on(item, Word.IMPORTED, steady.time() - 9, 7, item_id))
    bench.recovery.words = lambda: words


@pytest.mark.error_logs
@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_a_number_that_another_process_noted_tells_of_a_set_back_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """Once: what was noted before it is no answer any more, however the clock was set."""
    remembered(bench, event("old"), 1)
    told = time.time() + step
    monkeypatch.setattr(time, "time", lambda: told)
    assert not bench.recovery.answered(event("a"), 1)
    a = strong("a")
    bench.portal.items = {(2, a.event.external_id): [1]}  # type: ignore[dict-item]  # it has one
    assert [a] == [each for each, _ in (await bench.clear(a)).ended]
    assert 1.0 == bench.metrics.registry.get_sample_value("importer_portal_set_back_total")
    words = bench.recovery.words()
    owner = words.owner(2, 1)
    assert owner is not None
    assert owner.stale
    words.say(word_on(event("new"), Word.IMPORTED, steady.time() + 1, 7, 2))
    later = words.owner(2, 2)
    assert later is not None
    assert not later.stale


@pytest.mark.parametrize(
    ("asks", "shown", "admin", "believed"),
    [
        (NOTHING_ASKED, True, False, True),
        (NOTHING_ASKED, False, True, False),
        (ANNES, True, False, False),
        (ANNES, True, True, True),
    ],
    ids=["shown", "not shown", "made for other things", "none made, an administrator"],
)
async def test_items_that_another_process_noted_are_witnesses(
    bench: Bench, asks: Profile, *, shown: bool, admin: bool, believed: bool
) -> None:
    """Asked for by number; where some were made and none is shown, nobody's word will do."""
    noted = event("old")
    remembered(bench, noted, 1)
    bench.portal.admin = admin
    if shown:
        bench.portal.items = {(2, external_id("old")): [1]}
    first = await bench.clear(a := strong("a", asks=asks))
    assert believed is (first == Cleared(again=[a]))
    assert believed is not (first == Cleared(waiting=[a]))


async def test_an_item_that_another_process_noted_settles_no_second_event(bench: Bench) -> None:
    """Both bring one id; the item is the other's, after a restart as well."""
    remembered(bench, event("a", external="shared"), 1)
    b = strong("b", external="shared")
    bench.portal.items = {(2, b.event.external_id): [1]}  # type: ignore[dict-item]  # it has one
    assert [b] == (await bench.clear(b)).again
    assert not bench.recovery.answered(b.event, 1)
    a = strong("a", external="shared")
    assert [a] == [each for each, _ in (await bench.clear(a)).ended]


@pytest.mark.error_logs
async def test_after_a_set_back_older_witnesses_are_none(bench: Bench) -> None:
    """And what was imported before is no answer, but a reason to ask."""
    old = claim("old")
    bench.claims.admit(old, copy=False)
    bench.claims.resolve(old, Imported(bench.imported(old.event)))
    a = strong("a")
    bench.portal.items = {(2, a.event.external_id): [1]}  # type: ignore[dict-item]  # it has one
    await bench.clear(a)
    bench.portal.admin = False
    bench.portal.items.clear()
    assert Cleared(waiting=[b := strong("b", asks=ANNES)]) == await bench.clear(b)
    again = claim("old")
    assert again is bench.claims.admit(again, copy=False)
    assert Doubt.STRONG is again.known.doubt
    item_id = bench.portal.create(again.event)
    expected = Imported(item_id, reconciled=True, duplicate=True)
    assert [(again, expected)] == (await bench.clear(again)).ended


@pytest.mark.error_logs
async def test_after_a_set_back_nobody_waits_for_witnesses_that_are_gone(bench: Bench) -> None:
    """They will never be shown again; an administrator's word will do, as where none was made."""
    bench.imported(event("old"))
    bench.imported(asking("annes", ANNES))
    a, b = strong("a"), strong("b", asks=ANNES)
    bench.portal.items = {(2, a.event.external_id): [1]}  # type: ignore[dict-item]  # it has one
    assert [a] == [each for each, _ in (await bench.clear(a)).ended]
    bench.portal.admin = True
    assert Cleared(again=[b]) == await bench.clear(b)
