"""Tests whose turn an event is, who joins, and what is remembered of it."""

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.claim import Claim
from service.domain.claim_making import Noted, claim_of, doubt_by_word, noted_claim_of
from service.domain.claims import Claims, Repeat
from service.domain.delivery import Delivery
from service.domain.events import Identity, ItemEvent, Profile, event_digest
from service.domain.history import Doubt, History
from service.domain.last_words import LastWord, Word, word_on
from service.domain.linking import Linking
from service.domain.outcomes import Failed, FailureKind, Imported, Outcome
from service.domain.owning import Owners
from service.domain.parking import Stay
from tests.fakes import FakeDelivery
from tests.unit.domain.samples import Named, claim, event, named

NOTHING_NOTED = Noted(None, own=False, look_at=0.0, since=0.0)
PARKED = Stay("7", "plan", 0.0, 500.0, None, 0, 400.0)

REJECTED = Failed(FailureKind.REJECTED, "100", "no", 200)


@pytest.fixture
def claims() -> Claims:
    """Give the test an empty register that remembers ten of everything."""
    return Claims(remember=10)


def start(claims: Claims, each: Claim) -> Claim:
    """Admit a claim that nobody else holds."""
    assert claims.admit(each, copy=False) is each
    return each


def test_a_new_event_may_start(claims: Claims) -> None:
    """Nobody works on it."""
    start(claims, claim("a"))
    assert 1 == len(claims)


@pytest.mark.parametrize("copy", [False, True])
def test_a_copy_joins_the_first_and_shares_its_outcome(claims: Claims, *, copy: bool) -> None:
    """All its deliveries end together."""
    first = start(claims, claim("a", "one"))
    assert claims.admit(claim("a", "two"), copy=copy) is None
    assert named("one", "two") == first.deliveries
    assert ([], []) == _ends(claims, first, Imported(5))


def test_a_new_publish_after_the_result_is_out_is_a_new_try(claims: Claims) -> None:
    """Whoever publishes again because of a result waits for another one; its own copy does not."""
    first = start(claims, claim("a", "one"))
    first.known = first.known.told_result()
    lose(first)
    copy, new, another = claim("a", "copy"), claim("a", "new"), claim("a", "another")
    assert (None, None, None) == (
        claims.admit(copy, copy=True),
        claims.admit(new, copy=False),
        claims.admit(another, copy=False),
    )
    assert (named("one", "copy"), named("new", "another")) == (first.deliveries, new.deliveries)
    assert ([new], []) == _ends(claims, first, REJECTED)


def test_a_publish_that_was_never_seen_before_the_cut_is_a_new_try(claims: Claims) -> None:
    """The broker says that it was delivered before: it lay in the line that was cut."""
    first = start(claims, claim("a", "one"))
    first.known = first.known.told_result()
    lose(first)
    claims.admit(claim("a", "one again"), copy=True)
    unseen = claim("a", "unseen")
    claims.admit(unseen, copy=True)
    assert (named("one", "one again"), [unseen]) == (first.deliveries, first.waiters)


def lose(*claims: Claim) -> None:
    """Let the deliveries of claims be lost with their connection."""
    for each in claims:
        for delivery in each.deliveries:
            cast("Named", delivery).live = False


def test_what_is_out_of_a_kept_outcome_stays_so_for_its_own_copy_only(
    claims: Claims,
) -> None:
    """Neither its result nor its dead letter is published twice."""
    for copy in (True, False):
        first = start(claims, claim("a"))
        first.known = first.known.buried_letter()
        claims.keep(first, REJECTED)
        later = claim("a")
        assert claims.admit(later, copy=copy) is later
        expected = (REJECTED, True, True) if copy else (None, False, False)
        assert expected == (later.known.outcome, later.known.told, later.known.buried)
        claims.release(later)


def test_the_same_id_with_another_body_waits(claims: Claims) -> None:
    """It starts when the first has failed: a new publish is a new try."""
    first = start(claims, claim(event("a", body="one")))
    other = claim(event("a", body="two"))
    assert claims.admit(other, copy=False) is None
    assert ([other], []) == _ends(claims, first, REJECTED)
    assert 1 == len(claims)


def test_the_same_id_with_another_body_shares_a_success(claims: Claims) -> None:
    """The event is in the CRM; importing it again would double it."""
    first = start(claims, claim(event("a", body="one")))
    other = claim(event("a", body="two"))
    claims.admit(other, copy=False)
    assert ([], [other]) == _ends(claims, first, Imported(5))
    assert 0 == len(claims)


def test_a_redriven_message_is_no_copy(claims: Claims) -> None:
    """It was failed once more than the one in flight."""
    first = start(claims, claim("a"))
    redriven = claim(event("a", redriven=1))
    assert claims.admit(redriven, copy=False) is None
    assert ([redriven], []) == _ends(claims, first, REJECTED)


def test_events_that_share_an_external_id_go_one_after_another(claims: Claims) -> None:
    """The second starts only when the first has ended, whichever way."""
    first = start(claims, claim(event("a", external="shared")))
    second = claim(event("b", external="shared"))
    third = claim(event("c", external="shared"))
    assert claims.admit(second, copy=False) is None
    assert claims.admit(third, copy=False) is None
    assert ([second], []) == _ends(claims, first, Imported(5))
    assert ([third], []) == _ends(claims, second, Imported(6))
    assert ([], []) == _ends(claims, third, REJECTED)


def test_an_event_waits_for_one_that_waits_with_its_external_id(claims: Claims) -> None:
    """Another body has another external id: it is taken from the moment its event waits."""
    first = start(claims, claim(event("a", body="one", external="p")))
    other = claim(event("a", body="two", external="q"))
    third = claim(event("c", external="q"))
    assert claims.admit(other, copy=False) is None
    assert claims.admit(third, copy=False) is None
    assert 1 == len(claims)
    assert ([other], []) == _ends(claims, first, REJECTED)
    assert [third] == other.waiters
    assert ([third], []) == _ends(claims, other, REJECTED)


def test_an_event_starts_when_the_one_it_waited_with_shares_a_success(
    claims: Claims,
) -> None:
    """The external id of the other body was never used."""
    first = start(claims, claim(event("a", body="one", external="p")))
    other = claim(event("a", body="two", external="q"))
    third = claim(event("c", external="q"))
    claims.admit(other, copy=False)
    claims.admit(third, copy=False)
    assert ([third], [other]) == _ends(claims, first, Imported(5))


def test_a_waiter_starts_only_when_nobody_holds_its_other_key(claims: Claims) -> None:
    """Its id came free, but its external id is another's: it waits on, now for that one."""
    first = start(claims, claim(event("a", body="one", external="p")))
    second = start(claims, claim(event("b", external="q")))
    waiter = claim(event("a", body="two", external="q"))
    assert claims.admit(waiter, copy=False) is None
    assert ([], []) == _ends(claims, first, REJECTED)
    assert [waiter] == second.waiters
    late = claim(event("a", body="three", external="r"))
    assert claims.admit(late, copy=False) is None
    assert ([waiter], []) == _ends(claims, second, Imported(5))
    assert ([], [late]) == _ends(claims, waiter, Imported(6))


def test_waiters_that_share_nothing_start_together(claims: Claims) -> None:
    """Only what they waited for held them up."""
    first = start(claims, claim(event("a", body="one", external="p")))
    other = claim(event("a", body="two", external="q"))
    third = claim(event("c", external="p"))
    claims.admit(other, copy=False)
    claims.admit(third, copy=False)
    assert ([other, third], []) == _ends(claims, first, REJECTED)
    assert 2 == len(claims)


def test_a_release_frees_the_external_ids_of_the_waiting(claims: Claims) -> None:
    """Nothing stays taken by a claim that is gone."""
    first = start(claims, claim(event("a", body="one", external="p")))
    claims.admit(claim(event("a", body="two", external="q")), copy=False)
    claims.release(first)
    start(claims, claim(event("c", external="q")))
    start(claims, claim(event("d", external="p")))


def test_an_external_id_is_shared_within_one_entity_type_only(claims: Claims) -> None:
    """A lead and a deal may carry the same one."""
    start(claims, claim(event("a", external="shared")))
    start(claims, claim(event("b", external="shared", entity_type_id=1)))
    assert 2 == len(claims)


def test_events_without_external_id_never_wait_for_each_other(claims: Claims) -> None:
    """There is nothing to share."""
    first = start(claims, claim(event("a", external=None)))
    start(claims, claim(event("b", external=None)))
    assert ([], []) == _ends(claims, first, Imported(5))
    assert 1 == len(claims)


def test_each_copy_takes_the_place_of_its_own_message(claims: Claims) -> None:
    """The result of the first is out when the connection is lost: all come again, in order."""
    first = start(claims, claim("a", "one"))
    claims.admit(claim("a", "two"), copy=False)
    first.known = first.known.told_result()
    second = claim("a", "three")
    claims.admit(second, copy=False)
    lose(first, second)
    for name in ("one again", "two again", "three again", "unknown"):
        claims.admit(claim("a", name), copy=True)
    assert named("one", "two", "one again", "two again") == first.deliveries
    assert (named("three", "three again", "unknown"), 2, 2) == (
        second.deliveries,
        first.messages,
        second.messages,
    )


def test_what_was_taken_back_comes_to_the_claim_that_it_left(claims: Claims) -> None:
    """Though the claim has another message, and a new publish waits."""
    first = start(claims, claim("a", "one"))
    first.known = first.known.told_result()
    second = claim("a", "two")
    claims.admit(second, copy=False)
    claims.take_back(named("two").__contains__)
    claims.admit(claim("a", "two again"), copy=True)
    assert (named("one"), named("two again")) == (first.deliveries, second.deliveries)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize(
    ("leaving", "stay", "lost", "joins"),
    [
        (False, PARKED, False, True),
        (False, None, False, True),
        (True, PARKED, True, False),
        (True, None, False, False),
    ],
)
def test_what_may_be_the_parked_copy_does_not_join_the_event_that_is_leaving(
    *, leaving: bool, stay: Stay | None, lost: bool, joins: bool, copy: bool
) -> None:
    """The original is let go for it; from the intake it comes if somebody returned it there."""
    deal, claims = event("a"), Claims(remember=10)
    original = delivery()
    first = start(claims, noted_claim_of(original, deal, NOTHING_NOTED, ask="doubtful"))
    first.leaving, original.live = leaving, not lost
    other = noted_claim_of(delivery(stay=stay), deal, NOTHING_NOTED, ask="doubtful")
    assert claims.admit(other, copy=copy) is None
    assert (1 + joins, [] if joins else [other]) == (len(first.deliveries), first.waiters)
    assert ([] if joins else [other]) == claims.park(first)


def test_the_original_that_was_lost_joins_the_event_that_is_leaving() -> None:
    """It is let go with it, once the copy is there."""
    deal, claims = event("a"), Claims(remember=10)
    original = delivery()
    first = start(claims, noted_claim_of(original, deal, NOTHING_NOTED, ask="doubtful"))
    first.leaving, original.live = True, False
    again = noted_claim_of(delivery(), deal, NOTHING_NOTED, ask="doubtful")
    assert claims.admit(again, copy=True) is None
    assert (2, []) == (len(first.deliveries), first.waiters)


def test_a_stay_that_comes_again_is_one_message(claims: Claims) -> None:
    """However often its connection is lost; a copy of the intake is another message."""
    deal = event("a")
    stays = [delivery(stay=PARKED) for _ in range(4)]
    first = start(claims, noted_claim_of(stays[0], deal, NOTHING_NOTED, ask="doubtful"))
    first.known = first.known.told_result()
    waiter = noted_claim_of(delivery(), deal, NOTHING_NOTED, ask="doubtful")
    claims.admit(waiter, copy=False)
    for each in stays[1:]:
        lose(first, waiter)
        claims.admit(noted_claim_of(delivery(), deal, NOTHING_NOTED, ask="doubtful"), copy=True)
        claims.admit(noted_claim_of(each, deal, NOTHING_NOTED, ask="doubtful"), copy=False)
    assert (1, 4, 1, 4) == (
        first.messages,
        len(first.deliveries),
        waiter.messages,
        len(waiter.deliveries),
    )


def test_each_stay_that_went_back_unsent_is_in_no_doubt(claims: Claims) -> None:
    """A broker may have stored several copies of an event: all were held, and none was sent."""
    deal, stays = event("a"), [replace(PARKED, mark=mark) for mark in (6.0, 5.0)]
    first, second = (
        noted_claim_of(delivery(stay=stay), deal, NOTHING_NOTED, ask="doubtful") for stay in stays
    )
    start(claims, first)
    claims.admit(second, copy=False)
    claims.release(first)
    for stay in reversed(stays):
        came = delivery(stay=replace(stay, seen=True), times=1)
        again = claim_of(came, deal, ask="doubtful", settle=1.0)
        assert Doubt.STRONG is again.known.doubt
        start(claims, again)
        assert (Doubt.NONE, stay.mark) == (again.known.doubt, again.known.mark)
        claims.resolve(again, REJECTED)


def test_of_one_message_the_claim_is_remembered_and_not_its_waiter(claims: Claims) -> None:
    """Of a waiter less is known."""
    first = start(claims, claim("a", "one"))
    first.known = first.known.called("batch").told_result()
    claims.admit(claim("a", "two"), copy=False)
    claims.release(first)
    again = claim("a", "one again")
    assert claims.admit(again, copy=True) is again
    assert "batch" == again.known.batch_id


def test_a_copy_of_one_that_waits_joins_it(claims: Claims) -> None:
    """It waits once, with both deliveries."""
    first = start(claims, claim(event("a", external="shared")))
    second = claim(event("b", external="shared"), "one")
    claims.admit(second, copy=False)
    claims.admit(claim(event("b", external="shared"), "two"), copy=True)
    assert ([second], []) == _ends(claims, first, REJECTED)
    assert named("one", "two") == second.deliveries


@pytest.mark.parametrize(("body", "other"), [("one", False), ("two", True)])
def test_a_repeated_id_tells_whether_another_body_was_imported(
    claims: Claims,
    body: str,
    other: bool,  # noqa: FBT001 - what is expected
) -> None:
    """While the first is worked on, and after it has ended."""
    first = start(claims, claim(event("a", body="one")))
    waiter = claim(event("a", body=body, redriven=1))
    assert claims.admit(waiter, copy=False) is None
    resolved = claims.resolve(first, Imported(5))
    expected = Imported(5, duplicate=True, other_body=other)
    assert expected == resolved.success(waiter, Imported(5))
    assert Repeat(expected) == claims.admit(claim(event("a", body=body)), copy=False)


def test_a_large_item_id_is_remembered_whole(claims: Claims) -> None:
    """It shares one number with what tells bodies apart."""
    claims.resolve(start(claims, claim("a")), Imported(2**62))
    assert Repeat(Imported(2**62, duplicate=True)) == claims.admit(claim("a"), copy=False)


def test_a_publish_of_an_imported_id_gets_its_success_again(claims: Claims) -> None:
    """Marked as a duplicate; the portal is not asked."""
    _ends(claims, start(claims, claim("a")), Imported(5, reconciled=True))
    assert Repeat(Imported(5, duplicate=True)) == claims.admit(claim("a"), copy=False)
    other = claim(event("a", body="other"))
    assert Repeat(Imported(5, duplicate=True, other_body=True)) == claims.admit(other, copy=True)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("times", [1, 3])
def test_an_imported_id_always_gets_its_success_again(
    claims: Claims, *, copy: bool, times: int
) -> None:
    """A copy may be a second publish that was delivered before: a result too many harms nobody."""
    _ends(claims, start(claims, claim("a")), Imported(5))
    again = [claims.admit(claim("a"), copy=copy) for _ in range(times)]
    assert [Repeat(Imported(5, duplicate=True))] * times == again


@pytest.mark.parametrize("copy", [False, True])
def test_a_failed_message_that_comes_is_a_new_try(claims: Claims, *, copy: bool) -> None:
    """It cannot be told from a new publish of the same bytes whose delivery came back."""
    _ends(claims, start(claims, claim("a")), REJECTED)
    again = claim("a")
    assert claims.admit(again, copy=copy) is again
    assert again.known.outcome is None


@pytest.mark.parametrize("outcome", [REJECTED, Imported(5)])
def test_a_copy_finds_the_outcome_that_no_delivery_was_left_to_publish_for(
    claims: Claims, outcome: Outcome
) -> None:
    """It is published for the copy; nothing is tried again."""
    first = start(claims, claim("a"))
    claims.keep(first, outcome)
    assert 0 == len(claims)
    copy = claim("a")
    assert claims.admit(copy, copy=True) is copy
    assert outcome == copy.known.outcome


def test_a_new_publish_does_not_share_an_outcome_that_was_kept(claims: Claims) -> None:
    """A failure is a new try; a success is told again."""
    claims.keep(start(claims, claim("a")), REJECTED)
    claims.keep(start(claims, claim("b")), Imported(5))
    again = claim("a")
    assert claims.admit(again, copy=False) is again
    assert again.known.outcome is None
    assert Repeat(Imported(5, duplicate=True)) == claims.admit(claim("b"), copy=False)


def test_an_outcome_is_not_kept_for_a_message_that_another_process_held(
    claims: Claims,
) -> None:
    """That one may have imported it meanwhile."""
    claims.keep(start(claims, claim("a")), REJECTED)
    copy = claim("a")
    copy.known = copy.known._replace(times=2)
    assert claims.admit(copy, copy=True) is copy
    assert copy.known.outcome is None


def test_late_deliveries_leave_their_claims_and_their_copies_join(claims: Claims) -> None:
    """The claim goes on without them."""
    first = start(claims, claim(event("a", body="one"), "one"))
    waiter = claim(event("a", body="two"), "two")
    claims.admit(waiter, copy=False)
    assert named("one", "two") == claims.take_back(named("one", "two").__contains__)
    assert ([], []) == (first.deliveries, waiter.deliveries)
    assert claims.admit(claim(event("a", body="one"), "three"), copy=True) is None
    assert named("three") == first.deliveries


def test_what_is_remembered_does_not_grow_with_the_ids() -> None:
    """Ids of half a million characters take as much as short ones."""
    claims = Claims(remember=1000)
    owners = Owners(remember=1000)
    tracemalloc.start()
    for number in range(20):
        each = start(claims, claim(f"{number:0500000}"))
        owners.own(each.event, number + 1)
        _ends(claims, each, Imported(number + 1))
        other = start(claims, claim(f"x{number:0500000}"))
        other.known = other.known.perhaps_sent(REJECTED, 1.0)
        claims.release(other)
        del each, other
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 100_000


def test_only_success_is_final(claims: Claims) -> None:
    """A new publish, another body or a redrive of a failed id is a new try."""
    _ends(claims, start(claims, claim("a")), REJECTED)
    _ends(claims, start(claims, claim("a")), REJECTED)
    other = claim(event("a", body="other"))
    assert claims.admit(other, copy=True) is other
    _ends(claims, other, REJECTED)
    redriven = claim(event("a", redriven=1))
    assert claims.admit(redriven, copy=True) is redriven


def test_the_memory_of_ended_events_is_bounded() -> None:
    """The oldest is forgotten first; then it is a new event."""
    claims = Claims(remember=4)
    for name in "abcdef":
        _ends(claims, start(claims, claim(name)), Imported(ord(name)))
    start(claims, claim("a"))
    assert Repeat(Imported(ord("b"), duplicate=True)) == claims.admit(claim("b"), copy=False)


def test_release_returns_the_deliveries_of_the_claim_and_of_its_waiters(claims: Claims) -> None:
    """Nobody is left waiting for a claim that is gone."""
    first = start(claims, claim(event("a", external="shared"), "one"))
    claims.admit(claim(event("a", external="shared"), "two"), copy=True)
    claims.admit(claim(event("b", external="shared"), "three"), copy=False)
    assert named("one", "two", "three") == claims.release(first)
    assert (0, []) == (len(claims), first.waiters)
    start(claims, claim(event("b", external="shared")))


def test_what_is_known_survives_the_return_of_the_deliveries(claims: Claims) -> None:
    """Perhaps sent stays perhaps sent, with its attempts, until it is settled."""
    first = start(claims, claim("a"))
    first.known = History(attempts=3).perhaps_sent(REJECTED, look_at=99.0)
    known = first.known
    claims.release(first)
    back = claim("a", doubt=Doubt.STRONG)
    assert claims.admit(back, copy=True) is back
    assert (Doubt.STRONG, 99.0, 3) == (back.known.doubt, back.known.look_at, back.known.attempts)
    assert known.fault == back.known.fault == REJECTED


@pytest.mark.parametrize(
    ("ours", "its", "doubt"),
    [
        (Doubt.NONE, Doubt.NONE, Doubt.NONE),
        (Doubt.NONE, Doubt.WEAK, Doubt.WEAK),
        (Doubt.NONE, Doubt.STRONG, Doubt.NONE),
        (Doubt.STRONG, Doubt.NONE, Doubt.STRONG),
    ],
)
def test_our_own_knowledge_outweighs_the_doubt_of_the_copy(
    claims: Claims, ours: Doubt, its: Doubt, doubt: Doubt
) -> None:
    """What this process returned unsent does not wait; another may have had it since."""
    first = start(claims, claim("a", doubt=ours))
    claims.release(first)
    back = claim("a", doubt=its)
    claims.admit(back, copy=True)
    assert doubt is back.known.doubt


def test_what_is_known_is_handed_over_once(claims: Claims) -> None:
    """A later event of the same id starts afresh."""
    first = start(claims, claim("a", doubt=Doubt.STRONG))
    claims.release(first)
    _ends(claims, start(claims, claim("a")), REJECTED)
    again = start(claims, claim("a"))
    assert Doubt.NONE is again.known.doubt


def test_what_the_waiting_know_survives_too(claims: Claims) -> None:
    """Each by its own id."""
    first = start(claims, claim(event("a", external="shared")))
    second = claim(event("b", external="shared"), doubt=Doubt.STRONG)
    claims.admit(second, copy=False)
    claims.release(first)
    back = start(claims, claim(event("b", external="shared")))
    assert Doubt.STRONG is back.known.doubt


def test_what_is_known_of_two_bodies_of_one_id_is_kept_apart(claims: Claims) -> None:
    """Each has its own attempts and its own weak doubt."""
    one = start(claims, claim(event("a", body="one")))
    two = claim(event("a", body="two"), doubt=Doubt.WEAK)
    one.known = History(attempts=3)
    two.known = two.known.called("batch")
    claims.admit(two, copy=True)
    claims.release(one)
    back = start(claims, claim(event("a", body="one")))
    assert (Doubt.NONE, 3) == (back.known.doubt, back.known.attempts)
    waiter = claim(event("a", body="two"))
    claims.admit(waiter, copy=True)
    assert (Doubt.WEAK, 1) == (waiter.known.doubt, waiter.known.attempts)


@pytest.mark.parametrize("later", [event("a", body="two"), event("a", redriven=1)])
def test_one_perhaps_sent_message_puts_every_message_of_its_id_in_doubt(
    claims: Claims, later: ItemEvent
) -> None:
    """Until the id has ended: the item may be in the CRM under another body."""
    first = start(claims, claim("a"))
    first.known = first.known.perhaps_sent(REJECTED, look_at=9.0)
    claims.release(first)
    other = start(claims, claim(later))
    assert (Doubt.STRONG, 9.0) == (other.known.doubt, other.known.look_at)
    assert (None, 0) == (other.known.fault, other.known.attempts)
    _ends(claims, other, REJECTED)
    assert Doubt.NONE is start(claims, claim(event("a", body="three"))).known.doubt


def test_of_two_messages_of_an_id_perhaps_sent_the_later_look_counts(claims: Claims) -> None:
    """A look-up before it proves nothing about the call that the other was part of."""
    one = start(claims, claim(event("a", body="one")))
    two = claim(event("a", body="two"), doubt=Doubt.STRONG)
    two.known = two.known._replace(look_at=5.0)
    claims.admit(two, copy=True)
    one.known = one.known.perhaps_sent(REJECTED, look_at=65.0)
    claims.release(one)
    back = start(claims, claim(event("a", body="two")))
    assert (Doubt.STRONG, 65.0) == (back.known.doubt, back.known.look_at)


@pytest.mark.parametrize("external", ["", "shared"])
def test_another_id_is_in_no_doubt(claims: Claims, external: str) -> None:
    """Only the id of what was perhaps sent."""
    first = start(claims, claim(event("a", external=external)))
    first.known = first.known.perhaps_sent(REJECTED, look_at=9.0)
    claims.release(first)
    assert Doubt.NONE is start(claims, claim(event("b", external=external))).known.doubt


@pytest.mark.parametrize(
    ("times", "doubt", "look_at"), [(3, Doubt.NONE, 0.0), (4, Doubt.STRONG, 9.0)]
)
def test_a_copy_that_somebody_else_held_brings_its_doubt_along(
    claims: Claims, times: int, doubt: Doubt, look_at: float
) -> None:
    """It joins, and what is worked on is in doubt from then on."""
    first = start(claims, claim("a"))
    first.known = first.known._replace(times=2)
    copy = claim("a", doubt=Doubt.STRONG)
    copy.known = copy.known._replace(times=times, look_at=9.0)
    assert claims.admit(copy, copy=True) is None
    known = first.known
    assert (times, doubt, look_at) == (known.times, known.doubt, known.look_at)


def test_what_was_imported_before_a_set_back_is_a_reason_to_ask(claims: Claims) -> None:
    """It may be gone from the portal: neither answered nor sent before it is looked up."""
    for name, external in (("a", ""), ("b", None)):
        first = claim(event(name, external=external))
        claims.admit(first, copy=False)
        claims.resolve(first, Imported(5))
    claims.set_back()
    claims.set_back()
    again, blind = claim("a"), claim(event("b", external=None))
    assert [again, blind] == [claims.admit(each, copy=False) for each in (again, blind)]
    assert (Doubt.STRONG, Doubt.NONE) == (again.known.doubt, blind.known.doubt)
    claims.resolve(again, Imported(6, reconciled=True))
    assert Repeat(Imported(6, duplicate=True)) == claims.admit(claim("a"), copy=False)


BODIES = st.tuples(st.sampled_from("xyz"), st.sampled_from(["p", "q", "r", None]))
"""What a body says, and the external id it brings."""


@dataclass
class Played:
    """A random history of messages; knows where every delivery is, and how doubtful each id."""

    claims: Claims = field(default_factory=lambda: Claims(remember=1000))
    working: list[Claim] = field(default_factory=list)
    waiting: Counter[Delivery] = field(default_factory=Counter)
    ended: Counter[Delivery] = field(default_factory=Counter)
    back: Counter[Delivery] = field(default_factory=Counter)
    doubts: dict[Identity, Doubt] = field(default_factory=dict)
    looks: dict[tuple[Identity, str], float] = field(default_factory=dict)
    tickets: Iterator[int] = field(default_factory=count)

    def arrive(self, name: str, body: str, external: str | None, *, copy: bool) -> None:
        """Let a message arrive; a body is the same bytes whenever it comes."""
        [delivery] = named(f"delivery {next(self.tickets)}")
        item = event(name, body=f"{body} {external}", external=external)
        each = claim(item, str(delivery), doubt=Doubt.STRONG if copy else Doubt.NONE)
        admitted = self.claims.admit(each, copy=copy)
        if isinstance(admitted, Repeat):
            self.ended[delivery] += 1
            return
        assert self.doubts.pop(item.identity, Doubt.NONE) <= each.known.doubt
        assert self.looks.pop((item.identity, item.message), 0.0) <= each.known.look_at
        if admitted is None:
            self.waiting[delivery] += 1
        else:
            self._begin(admitted)

    def send(self, position: int, now: float) -> None:
        """Let one of the claims in work make a call of unknown outcome."""
        if self.working:
            sent = self.working[position % len(self.working)]
            sent.known = sent.known.perhaps_sent(REJECTED, now)

    def end(self, position: int, outcome: Outcome) -> None:
        """Let one of the claims in work end."""
        if not self.working:
            return
        each = self.working.pop(position % len(self.working))
        resolved = self.claims.resolve(each, outcome)
        for done in (each, *resolved.repeats):
            self._leave(done.deliveries, self.ended)
        for waiter in resolved.starts:
            self._begin(waiter)

    def give_up(self, position: int) -> None:
        """Let one of the claims in work go back."""
        if not self.working:
            return
        each = self.working.pop(position % len(self.working))
        for one in (each, *each.waiters):
            item, known = one.event, one.known
            self.doubts[item.identity] = max(
                self.doubts.get(item.identity, Doubt.NONE), known.doubt
            )
            self.looks[item.identity, item.message] = known.look_at
        self._leave(self.claims.release(each), self.back)

    def check(self) -> None:
        """Nothing twice in work, nothing lost, nothing doubled."""
        assert len(self.working) == len(self.claims)
        assert len({each.event.identity for each in self.working}) == len(self.working)
        external = [e.event.external_id for e in self.working if e.event.external_id is not None]
        assert len(set(external)) == len(external)
        places = self.waiting + self.ended + self.back
        assert all(times == 1 for times in places.values())
        held = [d for each in self.working for c in (each, *each.waiters) for d in c.deliveries]
        assert Counter(self.waiting.keys()) == Counter(held)

    def _begin(self, each: Claim) -> None:
        self.working.append(each)
        for delivery in each.deliveries:
            self.waiting[delivery] = 1

    def _leave(self, deliveries: list[Delivery], place: Counter[Delivery]) -> None:
        for delivery in deliveries:
            del self.waiting[delivery]
            place[delivery] += 1


HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.sampled_from("abcd"), BODIES, st.booleans()),
        st.tuples(st.just("arrive"), st.sampled_from("ab"), BODIES, st.booleans()),
        st.tuples(st.just("send"), st.integers(0, 3)),
        st.tuples(st.just("end"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("give up"), st.integers(0, 3)),
    ),
    max_size=40,
)


@given(HISTORY, st.sampled_from([0, 1, 3, 1000]))
def test_no_id_and_no_external_id_is_worked_on_twice_at_once(
    history: list[tuple[object, ...]], remember: int
) -> None:
    """Every delivery is in work, waits for one in work, has ended, or went back: exactly once."""
    run = Played(Claims(remember=remember))
    for number, step in enumerate(history):
        match step:
            case ("arrive", str(name), (str(body), None | str() as external), bool(copy)):
                run.arrive(name, body, external, copy=copy)
            case ("send", int(position)):
                run.send(position, float(number))
            case ("end", int(position), bool(good)):
                run.end(position, Imported(number + 1) if good else REJECTED)
            case ("give up", int(position)):
                run.give_up(position)
            case _:
                raise AssertionError(step)
        run.check()
        if remember < 1000:
            run.doubts.clear()
            run.looks.clear()
    while run.working:
        run.end(0, REJECTED)
        run.check()
    assert 0 == len(run.claims)


@given(st.lists(st.sampled_from(["send", "return", "redeliver", "fail"]), max_size=30))
def test_an_unsettled_send_is_never_forgotten(steps: list[str]) -> None:
    """However often its delivery goes back and comes again: once sent, in doubt until ended."""
    claims = Claims(remember=10)
    current: Claim | None = start(claims, claim("a"))
    sent, redriven = False, 0
    for step in steps:
        match step:
            case "send" if current is not None:
                current.known = current.known.perhaps_sent(REJECTED, look_at=1.0)
                sent = True
            case "return" if current is not None:
                claims.release(current)
                current = None
            case "redeliver" if current is None:
                current = claim(event("a", redriven=redriven), doubt=Doubt.STRONG)
                assert claims.admit(current, copy=True) is current
            case "fail" if current is not None:
                _ends(claims, current, REJECTED)
                sent, current, redriven = False, None, redriven + 1
                current = start(claims, claim(event("a", redriven=redriven)))
            case _:
                pass
        if current is not None and sent:
            assert Doubt.STRONG is current.known.doubt
        elif current is not None:
            assert Doubt.STRONG > current.known.doubt


delivery = partial(FakeDelivery, event("a"), 1000.0)


def test_a_claim_is_made_of_its_delivery() -> None:
    """Its age and size are the message's; nothing is known against sending it."""
    one = delivery()
    each = claim_of(one, event("a"), ask="doubtful", settle=65.0)
    assert (1000.0, 100, [one]) == (each.since, each.size, each.deliveries)
    assert (Doubt.NONE, 1000.0) == (each.known.doubt, each.known.look_at)


@pytest.mark.parametrize(
    ("came", "external", "doubt", "look_at"),
    [
        (delivery(copy=True), "", Doubt.STRONG, 1065.0),
        (delivery(copy=True), None, Doubt.STRONG, 1000.0),
        (delivery(perhaps_sent=True, redriven=True), "", Doubt.STRONG, 1065.0),
        (delivery(redriven=True), "", Doubt.WEAK, 1000.0),
        (delivery(early=True), "", Doubt.WEAK, 1000.0),
    ],
)
def test_only_a_copy_that_can_be_asked_for_waits(
    came: FakeDelivery, external: str | None, doubt: Doubt, look_at: float
) -> None:
    """Whoever had it before may still work on it; for the rest waiting proves nothing."""
    each = claim_of(came, event("a", external=external), ask="doubtful", settle=65.0)
    assert (doubt, look_at) == (each.known.doubt, each.known.look_at)


def test_a_parked_message_says_itself_from_when_a_look_up_proves_something() -> None:
    """Where it was perhaps sent, in an inner queue; this process need not wait once more."""
    stay = Stay("doubtful", "doubt", 0.0, 500.0, 900.0, 0, 400.0)
    came = delivery(stay=stay, perhaps_sent=True)
    each = claim_of(came, event("a"), ask="doubtful", settle=65.0, look_at=1020.0)
    assert (Doubt.STRONG, 1020.0) == (each.known.doubt, each.known.look_at)


@pytest.mark.parametrize(
    ("since", "doubt"),
    [(None, Doubt.WEAK), (500.1, Doubt.WEAK), (500.0, Doubt.NONE), (1.0, Doubt.NONE)],
)
def test_what_was_parked_since_every_word_is_known_is_not_looked_up(
    since: float | None, doubt: Doubt
) -> None:
    """A call that carried it would have been noted; before that time nobody knows."""
    stay = Stay("links", "link", 0.0, 500.0, None, 0, 400.0)
    noted = Noted(None, own=False, look_at=0.0, since=since)
    each = noted_claim_of(delivery(stay=stay), event("a"), noted, ask="doubtful")
    assert doubt is each.known.doubt


def said_by_another(each: ItemEvent, word: Word) -> Noted:
    """Return what the memory says of an event: another process has spoken last."""
    return Noted(word_on(each, word, 500.0, writer=2), own=False, look_at=0.0, since=0.0)


def test_what_another_process_has_called_with_meanwhile_is_no_message_of_ours_unsent() -> None:
    """Inner queues do not count how often they delivered it; a type without external id, too."""
    estimate, claims = event("a", entity_type_id=7, external=None), Claims(remember=10)
    first = noted_claim_of(delivery(stay=PARKED), estimate, NOTHING_NOTED, ask="doubtful")
    claims.admit(first, copy=False)
    claims.release(first)
    noted = said_by_another(estimate, Word.IN_CALL)
    again = noted_claim_of(delivery(stay=PARKED), estimate, noted, ask="doubtful")
    assert claims.admit(again, copy=False, word=noted.word) is again
    assert Doubt.STRONG is again.known.doubt


@pytest.mark.parametrize("sent", [None, 1.0])
@pytest.mark.parametrize(("times", "doubt"), [(1, Doubt.NONE), (2, Doubt.STRONG)])
def test_without_a_memory_the_broker_counts_who_had_what_lies_in_an_inner_queue(
    sent: float | None, times: int, doubt: Doubt
) -> None:
    """It was returned unsent; whoever took it next may have sent it."""
    deal, claims = event("a"), Claims(remember=10)
    parked = replace(PARKED, perhaps_sent=sent)
    came = delivery(stay=parked, perhaps_sent=sent is not None)
    first = claim_of(came, deal, ask="doubtful", settle=1.0)
    claims.admit(first, copy=False)
    first.known = first.known.surely_absent()
    claims.release(first)
    seen = replace(came, stay=replace(parked, seen=True), times=times)
    again = claim_of(seen, deal, ask="doubtful", settle=1.0)
    claims.admit(again, copy=False)
    assert doubt is again.known.doubt


def test_an_outcome_is_no_outcome_of_what_another_process_has_ended_since() -> None:
    """The message may be a new publish of the same bytes: it would never be tried."""
    deal, claims = event("a"), Claims(remember=10)
    first = noted_claim_of(delivery(), deal, NOTHING_NOTED, ask="doubtful")
    claims.admit(first, copy=False)
    first.known = first.known.told_result().buried_letter()
    claims.keep(first, REJECTED)
    noted = said_by_another(deal, Word.NOT_THERE)
    again = noted_claim_of(delivery(copy=True, times=1), deal, noted, ask="doubtful")
    claims.admit(again, copy=True, word=noted.word)
    assert again.known.outcome is None


def test_a_word_that_was_known_before_takes_no_outcome_away() -> None:
    """It ended here without a call, so that no word of ours came after the other one's."""
    deal, claims = event("a"), Claims(remember=10)
    noted = said_by_another(deal, Word.NOT_THERE)
    first = noted_claim_of(delivery(), deal, noted, ask="doubtful")
    claims.admit(first, copy=False, word=noted.word)
    first.known = first.known.told_result()
    claims.keep(first, REJECTED)
    again = noted_claim_of(delivery(copy=True, times=1), deal, noted, ask="doubtful")
    claims.admit(again, copy=True, word=noted.word)
    assert (REJECTED, True) == (again.known.outcome, again.known.told)


@pytest.mark.parametrize(("external", "doubt"), [("", Doubt.STRONG), (None, Doubt.NONE)])
def test_an_original_that_comes_again_brings_its_doubt_to_its_parked_copy(
    external: str | None, doubt: Doubt
) -> None:
    """Whoever had it may have sent it; what cannot be looked up would be blamed for that."""
    deal, claims = event("a", external=external), Claims(remember=10)
    parked = claim_of(delivery(stay=PARKED), deal, ask="doubtful", settle=1.0)
    claims.admit(parked, copy=False)
    original = claim_of(delivery(copy=True, times=1), deal, ask="doubtful", settle=1.0)
    assert claims.admit(original, copy=True) is None
    assert doubt is parked.known.doubt


@pytest.mark.parametrize("held", [True, False])
def test_what_lay_in_an_inner_queue_all_the_time_shares_its_outcome(*, held: bool) -> None:
    """Its failed result is out: a success must not follow."""
    deal, claims = event("a"), Claims(remember=10)
    first = noted_claim_of(delivery(stay=PARKED), deal, NOTHING_NOTED, ask="doubtful")
    claims.admit(first, copy=False)
    first.known = first.known.told_result()
    if not held:
        claims.keep(first, REJECTED)
    seen = delivery(stay=replace(PARKED, seen=True))
    again = noted_claim_of(seen, deal, NOTHING_NOTED, ask="doubtful")
    admitted = claims.admit(again, copy=False)
    if held:
        assert (None, 2) == (admitted, len(first.deliveries))
    else:
        assert REJECTED == again.known.outcome


def test_a_message_is_known_by_body_id_and_redrives() -> None:
    """Anything else is another message."""
    ours = claim("a")
    assert ours.same_message(event("a"))
    assert not ours.same_message(event("a", body="other"))
    assert not ours.same_message(event("a", redriven=1))
    assert not ours.same_message(replace(event("a"), entity_type_id=1))


def _ends(claims: Claims, each: Claim, outcome: Outcome) -> tuple[list[Claim], list[Claim]]:
    """Resolve a claim; return what starts and what shares its success."""
    resolved = claims.resolve(each, outcome)
    assert [] == each.waiters
    return resolved.starts, resolved.repeats


@pytest.mark.parametrize("body", ["", "other"])
def test_an_id_that_ended_in_doubt_stays_in_doubt(claims: Claims, body: str) -> None:
    """A new publish of it is looked up before it is sent, by the one that waits as well."""
    first = start(claims, claim("a"))
    waiter = claim(event("a", body="heir"))
    claims.admit(waiter, copy=False)
    claims.resolve(first, replace(REJECTED, kind=FailureKind.AMBIGUOUS))
    assert Doubt.STRONG is waiter.known.doubt
    claims.resolve(waiter, replace(REJECTED, kind=FailureKind.AMBIGUOUS))
    again = claim(event("a", body=body))
    claims.admit(again, copy=False)
    assert Doubt.STRONG is again.known.doubt


@pytest.mark.parametrize("way", ["waits", "comes later", "comes after a release"])
def test_a_message_inherits_with_a_doubt_what_the_doubtful_one_asked_for(
    claims: Claims, way: str
) -> None:
    """Its item is one of those that only the rights to such items show."""
    asks = Profile(responsible="8")
    first = start(claims, claim(replace(event("a", body="one"), asks=asks)))
    first.known = first.known._replace(doubt=Doubt.STRONG)
    other = claim(event("a", body="two"))
    if way == "waits":
        claims.admit(other, copy=False)
    if way == "comes after a release":
        claims.release(first)
    else:
        _ends(claims, first, Failed(FailureKind.AMBIGUOUS, "0", "perhaps"))
    if way != "waits":
        start(claims, other)
    assert (Doubt.STRONG, frozenset({asks})) == (other.known.doubt, other.known.asks)


def test_an_imported_event_that_is_forgotten_is_looked_up_before_it_is_sent_anew() -> None:
    """Its item is gone as far as the portal shows; perhaps it only may not be seen."""
    claims = Claims(remember=10)
    first = claim("a")
    claims.admit(first, copy=False)
    claims.resolve(first, Imported(7))
    assert (7, None) == (claims.item_of(first.event.identity), claims.item_of(Identity(2, "b")))
    claims.forget(first.event.identity)
    assert claims.item_of(first.event.identity) is None
    again = claim("a")
    assert again is claims.admit(again, copy=False)
    assert Doubt.STRONG is again.known.doubt


def test_what_was_imported_before_the_portal_was_set_back_has_no_number() -> None:
    """It may be that of another item by now."""
    claims = Claims(remember=10)
    first = claim("a")
    claims.admit(first, copy=False)
    claims.resolve(first, Imported(7))
    claims.set_back()
    assert claims.item_of(first.event.identity) is None


def test_who_waited_for_a_parked_claim_goes_on_and_knows_of_its_doubt(
    claims: Claims,
) -> None:
    """Another message of the same id may be in the CRM by what the first one sent."""
    first = start(claims, claim("a", doubt=Doubt.STRONG))
    same, other = claim(event("a", body="b")), claim(event("c", external="a"))
    assert (None, None) == (claims.admit(same, copy=False), claims.admit(other, copy=False))
    assert [same] == claims.park(first)
    assert (Doubt.STRONG, Doubt.NONE) == (same.known.doubt, other.known.doubt)


def test_a_new_publish_of_a_parked_event_knows_of_its_doubt(claims: Claims) -> None:
    """It comes while the first one waits elsewhere to be looked up: the item would be the same."""
    ours = start(claims, claim("a"))
    ours.known = ours.known.suspected(Doubt.STRONG, 77.0)
    claims.park(ours)
    again = start(claims, claim(event("a", body="other")))
    assert (Doubt.STRONG, 77.0) == (again.known.doubt, again.known.look_at)


def test_an_item_is_known_until_it_is_forgotten(claims: Claims) -> None:
    """A claim without doubt that is parked leaves none."""
    claims.resolve(start(claims, claim("a")), Imported(5))
    assert 5 == claims.item_of(Identity(2, "a"))
    claims.forget(Identity(2, "a"))
    claims.forget(Identity(2, "b"))
    assert claims.item_of(Identity(2, "a")) is None
    assert [] == claims.park(start(claims, claim("b")))


def test_a_word_of_the_memory_repeats_its_success(claims: Claims) -> None:
    """Whatever was forgotten here."""
    item = event("a")
    word = LastWord(
        event_digest(item.identity), Word.IMPORTED, 2, 1.0, 1, 5, body=item.content.to_bytes(8)
    )
    admitted = claims.admit(claim(item), copy=False, word=word)
    assert Repeat(Imported(5, duplicate=True)) == admitted


def test_a_word_of_before_the_portal_was_set_back_repeats_no_success(claims: Claims) -> None:
    """The item is gone with the newer data: the event is looked up."""
    stale = LastWord(event_digest(Identity(2, "a")), Word.IMPORTED, 2, 1.0, 1, 5, stale=True)
    ours = claim("a")
    assert ours is claims.admit(ours, copy=False, word=stale)


@pytest.mark.parametrize(
    ("came", "doubt"),
    [
        (delivery(), Doubt.NONE),
        (delivery(copy=True), Doubt.WEAK),
        (delivery(redriven=True), Doubt.WEAK),
    ],
    ids=("new", "delivered before", "redriven"),
)
def test_what_comes_again_is_looked_up_where_the_memory_has_no_word(
    came: FakeDelivery, doubt: Doubt
) -> None:
    """The memory is bounded, and may have forgotten its event."""
    noted = Noted(None, own=False, look_at=0.0, since=1.0)
    assert doubt is noted_claim_of(came, event("a"), noted, ask="doubtful").known.doubt


def test_an_importer_that_never_asks_doubts_nothing_it_could_ask_for() -> None:
    """What has an external id is sent again."""
    assert Doubt.NONE is doubt_by_word(
        event("a"), None, perhaps_sent=True, unsure=True, ask="never"
    )


def test_late_deliveries_are_taken_out_of_claims_that_stay(claims: Claims) -> None:
    """Their copies will join."""
    first, other = start(claims, claim("a", "late", "soon")), start(claims, claim("b", "soon"))
    assert named("late") == claims.take_back(named("late").__contains__)
    assert (named("soon"), named("soon")) == (first.deliveries, other.deliveries)
    assert claims.holds(first)
    assert [first.event] == first.perhaps_sent()
    assert claims.is_held(Identity(2, "a"))


@pytest.mark.parametrize(
    ("perhaps_sent", "unsure", "ask", "doubt"),
    [
        (True, False, "auto", Doubt.STRONG),
        (False, True, "auto", Doubt.WEAK),
        (False, False, "always", Doubt.WEAK),
        (False, False, "auto", Doubt.NONE),
    ],
)
def test_a_message_without_a_word_is_doubted_by_what_it_says(
    *, perhaps_sent: bool, unsure: bool, ask: str, doubt: Doubt
) -> None:
    """The memory knows every call."""
    told = doubt_by_word(event("a"), None, perhaps_sent=perhaps_sent, unsure=unsure, ask=ask)
    assert doubt is told


def test_a_word_decides_before_the_message() -> None:
    """A stale one proves nothing; one that says that it is not there ends the doubt."""
    word = LastWord(event_digest(Identity(2, "a")), Word.NOT_THERE, 2, 1.0, 1)
    for stale, doubt in ((True, Doubt.STRONG), (False, Doubt.NONE)):
        told = doubt_by_word(
            event("a"), word._replace(stale=stale), perhaps_sent=True, unsure=True, ask="auto"
        )
        assert doubt is told


def test_what_is_at_work_of_a_type_can_be_asked_for() -> None:
    """Not what has ended or belongs to another type."""
    claims, ours = Claims(remember=10), claim("a")
    claims.admit(ours, copy=False)
    assert ours in list(claims.of_type(ours.event.entity_type_id))
    assert [] == list(claims.of_type(1))


def test_an_event_that_is_held_may_wait_in_doubt_or_for_items() -> None:
    """Until a look-up tells, or its links are known."""
    known, held = Claims(remember=9), claim("a")
    assert not known.waits(held.event.identity)
    known.admit(held, copy=False)
    waits = []
    for each in (
        History(),
        History(doubt=Doubt.STRONG),
        History(links=Linking().lacking(0.0, 1.0)),
        History(links=Linking().lacking(0.0, 1.0).resolved({"contactId": 4}, 1.0)),
    ):
        held.known = each
        waits.append(known.waits(held.event.identity))
    assert [False, True, True, False] == waits
