"""Tests what follows a look-up, an answer or a failed call, for every claim of a batch."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.batch import Batch
from service.domain.claim import Claim
from service.domain.decisions import (
    LARGE_BYTES,
    PASSING_SECONDS,
    Cleared,
    Decision,
    after_failed_look_up,
    after_fault,
    after_look_up,
    after_report,
    refused_alone,
    rejected,
)
from service.domain.history import Doubt, History
from service.domain.outcomes import (
    MISSING,
    Accepted,
    CallKind,
    Failed,
    FailureKind,
    Fault,
    Imported,
    Outcome,
    RefusalKind,
    Refused,
    Report,
    Verdict,
)
from tests.unit.domain.samples import RULES, batch, claim, event, fault

NOW = 100.0
REFUSED = Refused(RefusalKind.REJECTED, "CRM_FIELD_ERROR_REQUIRED", "no title")
UNANSWERED = fault(CallKind.AMBIGUOUS, "CALL_TIMED_OUT", None, answered=False)
ZERO = Refused(RefusalKind.REFUSED_UNCLEAR, "0", "perhaps")


def three() -> list[Claim]:
    """Return claims of three events."""
    return [claim(name) for name in "abc"]


def look_up(whole: Batch, cleared: Cleared) -> tuple[Decision, list[str] | None]:
    """Return what follows a look-up, and the names of what may be sent now."""
    decision, ready = after_look_up(whole, cleared, rules=RULES, now=NOW, chance=1.0)
    return decision, None if ready is None else names(ready)


def failed(whole: Batch, why: Fault) -> Decision:
    """Return what follows a failed call."""
    return after_fault(whole, why, rules=RULES, now=NOW, chance=1.0)


def names(each: Batch) -> list[str]:
    """Return the event ids of a batch."""
    return [one.event.event_id for one in each.claims]


def again(decision: Decision) -> list[tuple[list[str], float]]:
    """Return what goes again, and when."""
    return [(names(each), each.due) for each in decision.again]


def test_what_a_decision_brings_can_be_asked_for() -> None:
    """The types of which an item is in the CRM, and what goes on later or elsewhere."""
    a, b, c = three()
    ended: list[tuple[Claim, Outcome]] = [(a, Imported(1)), (b, rejected(REFUSED))]
    decision = Decision(ended, later=[(b, 5.0)], parked=[(c, "links", "link")])
    assert ({2}, [b, c]) == (decision.imported_types, decision.waiting())


@pytest.mark.parametrize(
    ("asked", "wait"), [(1, 15.0), (2, 30.0), (5, 240.0), (6, 300.0), (99, 300.0)]
)
@pytest.mark.parametrize("why", [None, UNANSWERED])
def test_what_waits_for_a_proof_is_asked_for_at_a_growing_interval(
    asked: int, wait: float, why: Fault | None
) -> None:
    """Why it is in doubt stays known; the rest goes on without it."""
    a, b = claim("a"), claim("b")
    a.known = a.known._replace(asked=asked)
    whole = batch(a, b, fault=why)
    decision, ready = after_look_up(
        whole, Cleared(waiting=[a], absent=[b]), rules=RULES, now=NOW, chance=1.0
    )
    waiting = decision.again[0]
    assert ((a,), NOW + wait, NOW) == (waiting.claims, waiting.due, waiting.waits_since)
    assert why is waiting.fault
    assert (ready is None) == (why is not None)


def test_joining_decisions_keeps_everything() -> None:
    """Nothing that follows may be forgotten."""
    a, b, c = three()
    one = Decision([(a, Imported(1))], [batch(b)])
    both = one.add(Decision([(c, Imported(3))], [batch(c)]))
    assert both is one
    assert [Imported(1), Imported(3)] == [outcome for _, outcome in both.ended]
    assert [["b"], ["c"]] == [names(each) for each in both.again]


def test_an_absent_batch_is_sent_as_it_is() -> None:
    """Nothing was found, nothing waits: it is the same batch."""
    whole = batch(*three())
    decision, ready = after_look_up(
        whole, Cleared(absent=list(whole.claims)), rules=RULES, now=NOW, chance=1.0
    )
    assert whole == ready
    assert Decision() == decision


def test_what_is_found_has_ended_and_the_rest_is_sent() -> None:
    """In one batch, at once."""
    a, b, c = three()
    found = (b, Imported(5, reconciled=True))
    decision, ready = look_up(batch(a, b, c), Cleared(ended=[found], absent=[a, c]))
    assert ([found], [], ["a", "c"]) == (decision.ended, decision.again, ready)


def test_what_was_absent_once_is_asked_for_once_more_later() -> None:
    """A replica may lag; whoever is not in doubt need not wait."""
    a, b, c = three()
    decision, ready = look_up(batch(a, b, c), Cleared(absent=[a], again=[c, b]))
    assert ([(["b", "c"], NOW + RULES.recheck)], ["a"]) == (again(decision), ready)
    assert decision.again[0].fault is None


def test_what_was_asked_for_too_early_is_asked_for_when_that_can_prove_something() -> None:
    """A call that may still be working can make the item later."""
    (a, *_) = three()
    a.known = a.known._replace(look_at=NOW + 50.0)
    assert [(["a"], NOW + 50.0)] == again(look_up(batch(a), Cleared(again=[a]))[0])


def test_a_batch_that_may_be_sent_waits_for_a_proof_no_more() -> None:
    """Else its next look-up could be hastened to before it can prove anything."""
    whole = batch(*three()).waits_for_proof(NOW - 5.0, NOW)
    absent = Cleared(absent=list(whole.claims))
    _, ready = after_look_up(whole, absent, rules=RULES, now=NOW, chance=1.0)
    assert batch(*whole.claims)._replace(due=NOW) == ready


def test_nothing_is_sent_when_everything_has_ended() -> None:
    """No empty call."""
    (a, *_) = three()
    assert look_up(batch(a), Cleared(ended=[(a, Imported(5))]))[1] is None


def test_after_a_broken_call_the_first_absent_item_goes_alone() -> None:
    """The portal works in order: it broke there. The others go on as one batch."""
    a, b, c = three()
    d = claim("d")
    found = (a, Imported(1, reconciled=True))
    decision, ready = look_up(
        batch(a, b, c, d, fault=fault()), Cleared(ended=[found], absent=[b, c, d])
    )
    assert ([found], [(["b"], NOW)], ["c", "d"]) == (decision.ended, again(decision), ready)
    assert decision.again[0].fault is None


def test_after_a_call_that_broke_before_any_item_the_others_go_in_parts() -> None:
    """Of 20 items the guilty one is alone after three calls."""
    claims = [claim(f"c{number}") for number in range(20)]
    decision, ready = look_up(batch(*claims, fault=fault()), Cleared(absent=claims))
    alone, *parts = [len(each) for each, _ in again(decision)]
    assert (1, [5, 5, 5, 4]) == (alone, sorted([*parts, len(ready or [])], reverse=True))


def test_after_a_broken_call_nobody_goes_before_all_are_known() -> None:
    """Else the wrong one would seem to be the first absent."""
    a, b, c = three()
    why = fault()
    decision, ready = look_up(batch(a, b, c, fault=why), Cleared(absent=[c], again=[b]))
    assert ([(["b", "c"], NOW + RULES.recheck)], None) == (again(decision), ready)
    assert decision.again[0].fault is why


def test_a_lone_absent_item_is_tried_again() -> None:
    """The first time at once, then with growing waits."""
    a = claim("a")
    assert ([(["a"], NOW)], None) == _retried(a)
    a.known = a.known._replace(failures_alone=1)
    assert ([(["a"], NOW + 2.0)], None) == _retried(a)
    a.known = a.known._replace(failures_alone=4)
    assert ([(["a"], NOW + 16.0)], None) == _retried(a)


def test_what_cannot_be_asked_for_goes_singly() -> None:
    """So that the next failure leaves one item in doubt, not twenty."""
    claims = [claim(event(name, external=None)) for name in "abc"]
    decision, ready = look_up(batch(*claims, fault=fault()), Cleared(absent=claims))
    assert ([(["a"], NOW), (["b"], NOW), (["c"], NOW)], None) == (again(decision), ready)


@pytest.mark.parametrize("broken", [False, True])
def test_an_item_that_failed_alone_too_often_ends(*, broken: bool) -> None:
    """By its last failure; the others go on."""
    a, b = claim("a"), claim("b")
    a.known = History(failures_alone=RULES.retry.max_attempts, fault=rejected(REFUSED))
    whole = batch(a, b, fault=fault() if broken else None)
    decision, ready = look_up(whole, Cleared(absent=[a, b]))
    assert [(a, rejected(REFUSED))] == decision.ended
    assert ["b"] == (ready or names(decision.again[0]))


def test_an_item_never_ends_without_a_failure_to_show() -> None:
    """Refused alone before, but nothing is held against it now."""
    a = claim("a")
    a.known = a.known._replace(failures_alone=RULES.retry.max_attempts)
    decision, ready = look_up(batch(a), Cleared(absent=[a]))
    assert ([], ["a"]) == (decision.ended, ready)


def test_refusals_by_a_code_of_credentials_wear_no_item_out() -> None:
    """However many there were: one failure of another kind after them is the first."""
    a = claim("a")
    a.known = History(refusals_alone=99, failures_alone=1, fault=rejected(REFUSED))
    decision, ready = look_up(batch(a), Cleared(absent=[a]))
    assert ([], ["a"]) == (decision.ended, ready)


def test_a_report_ends_what_it_is_clear_about() -> None:
    """Accepted and rejected; in the order of the batch."""
    a, b, c = three()
    decision = after_report(
        batch(a, b, c), Report(3, {0: Accepted(7), 1: REFUSED, 2: Accepted(8)}), now=NOW
    )
    refusal = Failed(FailureKind.REJECTED, "CRM_FIELD_ERROR_REQUIRED", "no title", http_status=200)
    assert [(a, Imported(7)), (b, refusal), (c, Imported(8))] == decision.ended
    assert [] == decision.again


def test_a_report_leaves_the_unclear_to_a_look_up_at_once() -> None:
    """The portal has answered, so it works on them no longer."""
    a, b, c = three()
    decision = after_report(batch(a, b, c), Report(3, {0: ZERO, 1: Accepted(7)}), now=NOW)
    assert [(b, Imported(7))] == decision.ended
    assert [(["a", "c"], NOW)] == again(decision)
    assert [Doubt.STRONG, Doubt.STRONG] == [each.known.doubt for each in (a, c)]
    assert [NOW, NOW] == [each.known.look_at for each in (a, c)]
    assert decision.again[0].fault is not None
    assert decision.again[0].fault.answered


@pytest.mark.parametrize("verdict", [ZERO, MISSING])
def test_an_unclear_verdict_on_an_item_alone_is_a_failure_of_its_own(verdict: Verdict) -> None:
    """Else an item that the portal never speaks of would go again for ever, without a pause."""
    a = claim("a")
    for times, wait in enumerate((2.0, 4.0, 8.0, 16.0), start=1):
        (waiting,) = after_report(batch(a), Report(1, {0: verdict}), now=NOW).again
        assert times == a.known.failures_alone
        decision, ready = look_up(waiting, Cleared(absent=[a]))
        assert ([(["a"], NOW + wait)], None) == (again(decision), ready)
    (waiting,) = after_report(batch(a), Report(1, {0: verdict}), now=NOW).again
    assert isinstance(verdict, Refused)
    assert [(a, rejected(verdict))] == look_up(waiting, Cleared(absent=[a]))[0].ended


@pytest.mark.parametrize("verdict", [ZERO, MISSING])
def test_an_unclear_verdict_among_others_counts_against_nobody(verdict: Verdict) -> None:
    """Whose fault it is shows when the item goes alone."""
    a, b = claim("a"), claim("b")
    after_report(batch(a, b), Report(2, {0: verdict, 1: verdict}), now=NOW)
    assert [0, 0] == [each.known.failures_alone for each in (a, b)]


@pytest.mark.parametrize(
    ("unproved", "kind"), [(False, FailureKind.REJECTED), (True, FailureKind.AMBIGUOUS)]
)
def test_a_worn_out_item_that_was_sent_again_without_proof_is_ambiguous(
    *, unproved: bool, kind: FailureKind
) -> None:
    """Each of its tries may have been executed, unless it was seen to be absent."""
    a = claim("a")
    said = Failed(FailureKind.REJECTED, "400", "said so", 400)
    worn_out = RULES.retry.max_attempts
    a.known = a.known._replace(unproved=unproved, failures_alone=worn_out, fault=said)
    decision, ready = look_up(batch(a, fault=fault()), Cleared(absent=[a]))
    assert ([(a, Failed(kind, "400", "said so", 400))], None) == (decision.ended, ready)


def test_a_refusal_that_may_hide_an_item_stands_and_silence_does_not() -> None:
    """Absent after "0": refused. Absent after nothing: sent again."""
    a, b = claim("a"), claim("b")
    after_report(batch(a, b), Report(2, {0: ZERO, 1: MISSING}), now=NOW)
    assert (rejected(ZERO), None) == (a.known.refusal, b.known.refusal)
    assert (rejected(ZERO), rejected(MISSING)) == (a.known.fault, b.known.fault)


def test_an_item_refused_for_the_rate_is_looked_up_later_and_never_worn_out() -> None:
    """It counts against nobody, and its neighbours are settled."""
    late = Refused(RefusalKind.PASSING, "QUERY_LIMIT_EXCEEDED", "too fast")
    a, b = claim("a"), claim("b")
    decision = after_report(batch(a, b), Report(2, {0: late, 1: Accepted(7)}), now=NOW)
    [again_a] = decision.again
    assert ((a,), NOW + PASSING_SECONDS, None) == (again_a.claims, again_a.due, again_a.fault)
    assert [(b, Imported(7))] == decision.ended
    for _ in range(RULES.retry.max_attempts + 1):
        after_report(batch(a), Report(1, {0: late}), now=NOW)
    assert (Doubt.STRONG, None, 0) == (a.known.doubt, a.known.refusal, a.known.failures_alone)


@pytest.mark.parametrize(
    "refusal_kind", [RefusalKind.DENIED, RefusalKind.BARRED, RefusalKind.BARRED_UNCLEAR]
)
def test_denied_items_are_left_to_the_caller(refusal_kind: RefusalKind) -> None:
    """They may be everybody's trouble; the breaker must be asked."""
    a = claim("a")
    report = Report(1, {0: Refused(refusal_kind, "ACCESS_DENIED", "no")})
    assert Decision() == after_report(batch(a), report, now=NOW)
    assert Doubt.NONE is a.known.doubt


def test_an_unsupported_type_fails_all_its_items() -> None:
    """With the portal's own code."""
    a, b, c = three()
    decision = failed(batch(a, b, c), fault(CallKind.UNSUPPORTED, "NOT_FOUND"))
    failure = Failed(FailureKind.UNSUPPORTED, "NOT_FOUND", "said so", 400)
    assert ([(a, failure), (b, failure), (c, failure)], []) == (decision.ended, decision.again)


@pytest.mark.parametrize("kind", [CallKind.TOO_LARGE, CallKind.SUSPECT])
def test_a_call_that_one_item_may_have_spoilt_is_halved(kind: CallKind) -> None:
    """Nothing was executed, so both halves may go at once."""
    a, b, c = three()
    decision = failed(batch(a, b, c), fault(kind, "HTTP_413", 413))
    assert [(["a"], NOW), (["b", "c"], NOW)] == again(decision)
    assert [Doubt.NONE] * 3 == [each.known.doubt for each in (a, b, c)]


def test_an_item_too_large_by_itself_is_rejected() -> None:
    """There is nothing left to split."""
    a = claim("a")
    decision = failed(batch(a), fault(CallKind.TOO_LARGE, "HTTP_413", 413))
    ((claimed, failure),) = decision.ended
    assert isinstance(failure, Failed)
    assert (a, FailureKind.REJECTED) == (claimed, failure.kind)
    assert "too large for the portal's server: it has" in failure.message


@pytest.mark.parametrize(("size", "told"), [(LARGE_BYTES, True), (LARGE_BYTES - 100, False)])
def test_a_large_item_whose_body_never_reached_the_portal_was_too_large(
    size: int, *, told: bool
) -> None:
    """A small one was refused for something else, in the portal's own words."""
    a = claim(event("a", body="x" * size))
    why = replace(fault(CallKind.SUSPECT, "100", 400), bodiless=True)
    assert told == ("too large" in refused_alone(a, why).message)
    assert "said so" == refused_alone(a, replace(why, bodiless=False)).message


@pytest.mark.parametrize(
    "kind",
    [
        CallKind.THROTTLED,
        CallKind.OVER_BUDGET,
        CallKind.UNAVAILABLE,
        CallKind.BARRED,
        CallKind.SUSPECT,
    ],
)
def test_what_was_refused_before_execution_goes_again_as_it_is(kind: CallKind) -> None:
    """With growing waits, without doubt, without end."""
    whole = batch(claim("a"))
    for wait in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
        decision = failed(whole, fault(kind))
        [again] = decision.again
        assert (whole.claims, []) == (again.claims, decision.ended)
        assert (NOW + wait, None) == (again.due, again.fault)
        whole = again
    assert (8, Doubt.NONE) == (whole.tries, whole.claims[0].known.doubt)


def test_failed_look_ups_are_counted_by_themselves() -> None:
    """A batch whose import was refused has not been looked up in vain."""
    refused = fault(CallKind.THROTTLED)
    [whole] = failed(batch(claim("a")), refused).again
    whole = after_failed_look_up(whole, refused, rules=RULES, now=NOW, chance=1.0)
    assert (2, 1) == (whole.tries, whole.failed_look_ups)


def test_a_hint_of_the_portal_is_kept() -> None:
    """It is never asked earlier than it said."""
    [whole] = failed(batch(claim("a")), fault(CallKind.THROTTLED, retry_after=90.0)).again
    assert NOW + 90.0 == whole.due


def test_an_answered_failure_is_looked_up_at_once() -> None:
    """The portal works on it no longer."""
    why = replace(fault(), sent_at=99.0)
    decision = failed(batch(*three()), why)
    assert [(["a", "b", "c"], NOW)] == again(decision)
    [whole] = decision.again
    assert why is whole.fault
    for each in whole.claims:
        assert (Doubt.STRONG, NOW) == (each.known.doubt, each.known.look_at)
        assert Failed(FailureKind.REJECTED, "400", "said so", 400) == each.known.fault
        assert each.known.refusal is None


@pytest.mark.parametrize(("sent_at", "due"), [(90.0, 155.0), (10.0, NOW)])
def test_an_unanswered_call_is_looked_up_when_it_has_settled(sent_at: float, due: float) -> None:
    """The portal may work on it for so long after its send."""
    whole = batch(*three())
    why = replace(UNANSWERED, sent_at=sent_at)
    assert [(["a", "b", "c"], due)] == again(failed(whole, why))
    assert [due] * 3 == [each.known.look_at for each in whole.claims]


def test_nobody_waits_for_a_look_up_that_is_impossible() -> None:
    """Without an external id the policy decides, now."""
    why, lone = replace(UNANSWERED, sent_at=90.0), event("a", external=None)
    assert [(["a"], NOW)] == again(failed(batch(claim(lone)), why))
    assert [(["a", "b"], 155.0)] == again(failed(batch(claim(lone), claim("b")), why))


@pytest.mark.parametrize("kind", list(CallKind))
def test_a_failed_look_up_changes_nothing_but_the_time(kind: CallKind) -> None:
    """It is made again, whatever it was."""
    whole = batch(claim("a", doubt=Doubt.STRONG), fault=(why := fault()))
    after = after_failed_look_up(
        whole, fault(kind), rules=replace(RULES, resend=True), now=NOW, chance=1.0
    )
    assert after == whole._replace(due=NOW + 1.0, tries=1, failed_look_ups=1)
    assert (why, Doubt.STRONG) == (after.fault, after.claims[0].known.doubt)


VERDICTS = st.one_of(
    st.builds(Accepted, st.integers(1)),
    st.builds(
        Refused,
        st.sampled_from([RefusalKind.REJECTED, RefusalKind.UNCLEAR, RefusalKind.REFUSED_UNCLEAR]),
        st.just("0"),
        st.just("no"),
    ),
)


@given(st.lists(VERDICTS, min_size=1, max_size=20))
def test_a_report_leads_every_claim_to_exactly_one_place(verdicts: list[Verdict]) -> None:
    """Ended or again, never both, never neither."""
    whole = batch(*(claim(f"{number}") for number in range(len(verdicts))))
    report = Report(len(verdicts), dict(enumerate(verdicts)))
    assert _ids(whole) == _places(after_report(whole, report, now=NOW))


@given(st.sampled_from(CallKind), st.integers(1, 20), st.booleans(), st.booleans())
def test_a_failed_call_leads_every_claim_to_exactly_one_place(
    kind: CallKind,
    size: int,
    answered: bool,  # noqa: FBT001 - drawn
    askable: bool,  # noqa: FBT001 - drawn
) -> None:
    """Whatever the failure."""
    external = "" if askable else None
    whole = batch(*(claim(event(f"{number}", external=external)) for number in range(size)))
    before = _ids(whole)
    assert before == _places(failed(whole, fault(kind, answered=answered)))


@given(st.lists(st.sampled_from(["ended", "absent", "again"]), min_size=1, max_size=20), st.data())
def test_a_look_up_leads_every_claim_to_exactly_one_place(
    fates: list[str], data: st.DataObject
) -> None:
    """Ended, again, or in the batch that may be sent."""
    claims = [claim(f"{number}") for number in range(len(fates))]
    cleared = Cleared()
    for each, fate in zip(claims, fates, strict=True):
        failed = data.draw(st.sampled_from([0, 0, 5]))
        each.known = each.known._replace(failures_alone=failed, fault=rejected(REFUSED))
        if fate == "ended":
            cleared.ended.append((each, Imported(1)))
        else:
            (cleared.absent if fate == "absent" else cleared.again).append(each)
    whole = batch(*claims, fault=fault() if data.draw(st.booleans()) else None)
    decision, ready = after_look_up(whole, cleared, rules=RULES, now=NOW, chance=0.5)
    sent = [] if ready is None else _ids(ready)
    assert sorted(_ids(batch(*claims))) == sorted(_places(decision) + sent)


def _retried(each: Claim) -> tuple[list[tuple[list[str], float]], list[str] | None]:
    """Return when a lone item goes again after a broken call."""
    each.known = each.known._replace(fault=rejected(REFUSED))
    decision, ready = look_up(batch(each, fault=fault()), Cleared(absent=[each]))
    return again(decision), ready


def _ids(each: Batch) -> list[int]:
    return sorted(id(one) for one in each.claims)


def _places(decision: Decision) -> list[int]:
    ended = [id(one) for one, _ in decision.ended]
    return sorted(ended + [id(one) for each in decision.again for one in each.claims])
