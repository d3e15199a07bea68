"""Tests how doubtful an event's fate is, and what is remembered of it."""

from collections.abc import Callable
from itertools import product

import pytest

from service.domain.claim_making import doubt_of
from service.domain.copies import comes_again, joined
from service.domain.events import NOTHING_ASKED, Reference
from service.domain.history import Doubt, History, Out
from service.domain.linking import Linking
from service.domain.outcomes import Failed, FailureKind
from service.domain.parking import DOUBT, LINK, Stay
from tests.unit.domain.samples import event

REJECTED = Failed(FailureKind.REJECTED, "100", "no", 200)


@pytest.mark.parametrize(
    ("copy", "redriven", "early", "ask", "askable", "unaskable"),
    [
        (True, False, False, "doubtful", Doubt.STRONG, Doubt.STRONG),
        (True, True, True, "always", Doubt.STRONG, Doubt.STRONG),
        (True, False, False, "never", Doubt.NONE, Doubt.STRONG),
        (False, True, False, "doubtful", Doubt.WEAK, Doubt.NONE),
        (False, False, True, "doubtful", Doubt.WEAK, Doubt.NONE),
        (False, False, False, "doubtful", Doubt.NONE, Doubt.NONE),
        (False, False, False, "always", Doubt.WEAK, Doubt.NONE),
        (False, True, True, "never", Doubt.NONE, Doubt.NONE),
    ],
)
def test_doubt_follows_from_how_a_message_came(
    *,
    copy: bool,
    redriven: bool,
    early: bool,
    ask: str,
    askable: Doubt,
    unaskable: Doubt,
) -> None:
    """A copy was perhaps sent; a redriven or early one perhaps by somebody else."""
    marks = {"copy": copy, "redriven": redriven, "early": early}
    assert askable is doubt_of(event("a"), **marks, ask=ask)
    assert unaskable is doubt_of(event("a", external=None), **marks, ask=ask)


def test_a_call_of_unknown_outcome_makes_the_doubt_strong() -> None:
    """And an earlier "absent" proves nothing any more."""
    known = History(absent_once=True, fault=REJECTED, stands=True)
    sent = known.perhaps_sent(REJECTED, look_at=9.0)
    assert History(doubt=Doubt.STRONG, look_at=9.0, fault=REJECTED) == sent


def test_a_refusal_that_may_hide_an_item_stands_if_there_is_none() -> None:
    """It is the end of an item that turns out to be absent."""
    known = History().perhaps_sent(REJECTED, look_at=9.0, stands=True)
    assert REJECTED == known.refusal
    absent = known.surely_absent()
    assert (None, History(look_at=9.0, fault=REJECTED)) == (absent.refusal, absent)


@pytest.mark.parametrize(
    ("times", "ours", "its", "doubt", "look_at"),
    [
        (3, Doubt.NONE, Doubt.NONE, Doubt.NONE, 5.0),
        (3, Doubt.NONE, Doubt.STRONG, Doubt.NONE, 5.0),
        (3, Doubt.NONE, Doubt.WEAK, Doubt.WEAK, 5.0),
        (3, Doubt.WEAK, Doubt.STRONG, Doubt.WEAK, 5.0),
        (3, Doubt.STRONG, Doubt.NONE, Doubt.STRONG, 5.0),
        (4, Doubt.NONE, Doubt.STRONG, Doubt.STRONG, 9.0),
        (4, Doubt.NONE, Doubt.WEAK, Doubt.WEAK, 9.0),
        (4, Doubt.STRONG, Doubt.NONE, Doubt.STRONG, 9.0),
    ],
)
def test_a_copy_is_in_its_own_doubt_only_if_somebody_else_held_it(
    times: int, ours: Doubt, its: Doubt, doubt: Doubt, look_at: float
) -> None:
    """We returned it after its second redelivery; the third one is ours again."""
    known = History(2, doubt=ours, look_at=5.0, fault=REJECTED, attempts=3)
    copy = History(times, doubt=its, look_at=9.0)
    expected = History(times, doubt=doubt, look_at=look_at, fault=REJECTED, attempts=3)
    assert expected == comes_again(known, copy)


def test_what_was_parked_since_was_parked_by_somebody() -> None:
    """An inner queue counts anew how often it has delivered, so that this tells nothing."""
    known = History(2, look_at=5.0, outcome=REJECTED, out=Out.RESULT)
    parked = History(0, doubt=Doubt.STRONG, look_at=9.0, mark=3.0, attempts=2)
    expected = History(0, doubt=Doubt.STRONG, look_at=9.0, mark=3.0, attempts=2)
    assert expected == comes_again(known, parked)
    ended = known._replace(times=0, mark=3.0)
    assert ended == comes_again(ended, parked, copy=False), "that was we"
    assert expected._replace(foreign=8.0) == comes_again(ended, parked._replace(foreign=8.0))


def test_waiting_goes_on_from_what_the_message_says() -> None:
    """Where it says nothing, what is known here stays: else it might never end."""
    known = History(doubt=Doubt.STRONG, mark=1.0).nothing_proved(0.0)
    later = History(doubt=Doubt.STRONG, foreign=8.0, mark=1.0, doubt_waited=1.0)
    assert 1.0 == comes_again(known, later).unproved_for(4_000.0)
    back = comes_again(known, History(3, doubt=Doubt.STRONG))
    assert 4_000.0 == back.unproved_for(4_000.0)
    doubtful = History(doubt=Doubt.STRONG).came_back(stay(DOUBT))
    assert (7.0, 2) == (comes_again(History(), doubtful).doubt_waited, doubtful.attempts)
    assert 7.0 == comes_again(History(), History().came_back(stay(LINK))).links.waited


def test_an_earlier_absent_proves_nothing_of_what_somebody_else_held() -> None:
    """Two looks again, both after it came back."""
    known = History(2, doubt=Doubt.STRONG, absent_once=True)
    assert not comes_again(known, History(4, doubt=Doubt.STRONG, look_at=9.0)).absent_once


KNOWLEDGE = [
    History(times, doubt=doubt, look_at=look_at, failures_alone=2, attempts=3)
    for times, doubt, look_at in product(range(4), Doubt, (0.0, 5.0, 9.0))
]


def test_a_copy_makes_no_knowledge_weaker() -> None:
    """Neither by doubt nor by what was tried."""
    for known, copy in product(KNOWLEDGE, KNOWLEDGE):
        both = comes_again(known, copy._replace(failures_alone=0, attempts=9))
        assert known.doubt <= both.doubt
        assert both.doubt <= max(known.doubt, copy.doubt)
        assert known.look_at <= both.look_at
        assert (known.failures_alone, True) == (both.failures_alone, both.attempts >= 3)


def test_a_suspicion_makes_no_knowledge_weaker() -> None:
    """The greater doubt, the later look."""
    for known, doubt, look_at in product(KNOWLEDGE, Doubt, (0.0, 7.0)):
        later = known.suspected(doubt, look_at)
        expected = (max(known.doubt, doubt), max(known.look_at, look_at))
        assert expected == (later.doubt, later.look_at)


NEW = History()
DOUBTFUL = History(doubt=Doubt.STRONG, look_at=5.0, absent_once=True)
ASKS = frozenset({NOTHING_ASKED})
LINKED = Linking(values={"contactId": 4})


def stay(reason: str) -> Stay:
    """Return what a message says that has waited for a reason."""
    return Stay("queue", reason, 7.0, 3.0, None, 2, 1.0, mark=9.0)


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        (NEW, lambda known: known.came_back(stay("scope")), History(attempts=2, mark=9.0)),
        (
            NEW,
            lambda known: known.came_back(stay(DOUBT)),
            History(attempts=2, mark=9.0, doubt_waited=7.0),
        ),
        (
            NEW,
            lambda known: known.came_back(stay(LINK)),
            History(
                attempts=2,
                mark=9.0,
                links=Linking(waited=7.0, parked_at=3.0, began_at=1.0),
            ),
        ),
        (
            History(2),
            lambda known: joined(known, History(3, doubt=Doubt.STRONG, look_at=9.0)),
            History(3),
        ),
        (
            History(2),
            lambda known: joined(known, History(4, doubt=Doubt.STRONG, look_at=9.0)),
            History(4, doubt=Doubt.STRONG, look_at=9.0),
        ),
        (History(3), lambda known: joined(known, NEW), History(3)),
        (
            History(2),
            lambda known: joined(known, History(mark=3.0, doubt=Doubt.STRONG, look_at=9.0)),
            History(2, doubt=Doubt.STRONG, look_at=9.0),
        ),
        (
            History(mark=3.0),
            lambda known: joined(
                known, History(1, doubt=Doubt.STRONG, look_at=9.0), askable=False
            ),
            History(1, mark=3.0),
        ),
        (
            DOUBTFUL,
            lambda known: known.suspected(Doubt.WEAK, 9.0, ASKS),
            History(doubt=Doubt.STRONG, look_at=9.0, asks=ASKS),
        ),
        (
            DOUBTFUL,
            lambda known: known.imported_earlier(),
            History(doubt=Doubt.STRONG, look_at=5.0, earlier=True),
        ),
        (NEW, lambda known: known.warned(("odd",)), History(warnings=("odd",))),
        (NEW, lambda known: known.called("b"), History(attempts=1, batch_id="b")),
        (
            History(attempts=2, batch_id="b"),
            lambda known: known.uncalled(),
            History(attempts=1, batch_id="b"),
        ),
        (NEW, lambda known: known.refused(4.0), History(first_failed_at=4.0, refused_at=4.0)),
        (
            History(first_failed_at=1.0, refused_at=1.0),
            lambda known: known.refused(4.0),
            History(first_failed_at=1.0, refused_at=4.0),
        ),
        (NEW, lambda known: known.broke(4.0), History(first_failed_at=4.0)),
        (
            History(first_failed_at=1.0, refused_at=1.0),
            lambda known: known.broke(4.0),
            History(first_failed_at=1.0, refused_at=1.0),
        ),
        (NEW, lambda known: known.failed_alone(), History(failures_alone=1)),
        (
            History(failures_alone=3, refusals_alone=2, first_failed_at=1.0, refused_at=1.0),
            lambda known: known.refused_alone(4.0, others_passed=False, own=True),
            History(failures_alone=4, refusals_alone=2, first_failed_at=1.0, refused_at=4.0),
        ),
        (
            History(failures_alone=3, first_failed_at=1.0, refused_at=1.0),
            lambda known: known.refused_alone(4.0, others_passed=True, own=True),
            History(failures_alone=1, first_failed_at=1.0, refused_at=4.0, passed_by=1),
        ),
        (
            History(failures_alone=3, first_failed_at=1.0, refused_at=1.0, passed_by=1),
            lambda known: known.refused_alone(4.0, others_passed=True, own=True),
            History(failures_alone=4, first_failed_at=1.0, refused_at=4.0, passed_by=2),
        ),
        (
            History(failures_alone=3, refusals_alone=2, first_failed_at=1.0, refused_at=1.0),
            lambda known: known.refused_alone(4.0, others_passed=False, own=False),
            History(failures_alone=3, refusals_alone=3, first_failed_at=1.0, refused_at=4.0),
        ),
        (
            History(refusals_alone=2, first_failed_at=1.0, refused_at=1.0),
            lambda known: known.refused_alone(4.0, others_passed=True, own=False),
            History(refusals_alone=1, first_failed_at=1.0, refused_at=4.0, passed_by=1),
        ),
        (NEW, lambda known: known.absent(), History(absent_once=True)),
        (
            DOUBTFUL._replace(asks=ASKS, unproved_since=1.0, asked=2, doubt_waited=3.0),
            lambda known: known.surely_absent(),
            History(look_at=5.0),
        ),
        (DOUBTFUL, lambda known: known.sent_unproved(), History(look_at=5.0, unproved=True)),
        (History(doubt=Doubt.WEAK), lambda known: known.sent_unproved(), NEW),
        (
            History(doubt_waited=3.0),
            lambda known: known.nothing_proved(10.0),
            History(doubt_waited=3.0, unproved_since=7.0, asked=1),
        ),
        (
            History(unproved_since=7.0, asked=1),
            lambda known: known.nothing_proved(20.0),
            History(unproved_since=7.0, asked=2),
        ),
        (NEW, lambda known: known.with_links(LINKED), History(links=LINKED)),
        (
            DOUBTFUL._replace(fault=REJECTED, failures_alone=2, attempts=3, links=LINKED),
            lambda known: known.anew(),
            History(look_at=5.0, attempts=3),
        ),
        (NEW, lambda known: known.ended(REJECTED), History(outcome=REJECTED)),
        (NEW, lambda known: known.told_result(), History(out=Out.RESULT)),
        (History(out=Out.RESULT), lambda known: known.buried_letter(), History(out=Out.LETTER)),
        (History(struck=1), lambda known: known.struck_by_bug(), History(struck=2)),
    ],
)
def test_each_transition_changes_what_it_is_about_and_nothing_else(
    before: History, change: Callable[[History], History], after: History
) -> None:
    """And never the value that it starts from."""
    assert after == change(before)


def test_the_first_lone_refusal_counts_who_passed_since_the_first_refusal() -> None:
    """The later ones count who passed since the last one; a broken call before tells nothing."""
    known = History().refused(1.0).refused(2.0)
    assert History().broke(1.0).compared_since is None
    assert 3.0 == History().broke(1.0).refused(3.0).compared_since
    assert [1.0, 4.0] == [
        known.compared_since,
        known.refused_alone(4.0, others_passed=True, own=True).compared_since,
    ]
    assert NEW.compared_since is None


def test_waiting_for_a_proof_counts_from_the_first_answer() -> None:
    """Before it, only what counted elsewhere does."""
    known = History(doubt_waited=3.0)
    assert [3.0, 5.0] == [
        known.unproved_for(10.0),
        known.nothing_proved(10.0).unproved_for(12.0),
    ]


@pytest.mark.parametrize(
    ("known", "asks"),
    [
        (History(doubt=Doubt.STRONG), True),
        (History(doubt=Doubt.WEAK), False),
        (History(doubt=Doubt.WEAK, doubt_waited=1.0), True),
        (History(doubt=Doubt.WEAK).nothing_proved(0.0), True),
        (History(doubt_waited=1.0), False),
    ],
)
def test_what_may_be_there_or_waits_for_a_proof_is_looked_up_in_a_closed_lane(
    known: History, *, asks: bool
) -> None:
    """What is merely unknown waits for its lane first."""
    assert asks is known.asks_first


WAITED = Linking(waited=7.0, parked_at=3.0, waits=True, here_since=2.0, expired_at=8.0)
FLYING = frozenset({Reference(3, "c")})


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        (
            LINKED._replace(waited=2.0),
            lambda links: links.lacking(7.0, 1.0),
            Linking(waits=True, waited=7.0, began_at=1.0),
        ),
        (Linking(), lambda links: links.overdue(8.0), Linking(expired_at=8.0)),
        (
            Linking(),
            lambda links: links.awaiting(FLYING, 2.0),
            Linking(in_flight=FLYING, awaits=FLYING, here_since=2.0),
        ),
        (
            Linking(in_flight=FLYING, awaits=FLYING, here_since=2.0),
            lambda links: links.awaiting(frozenset(), None),
            Linking(in_flight=FLYING),
        ),
        (
            WAITED._replace(in_flight=FLYING),
            lambda links: links.resolved({"contactId": 4}, 9.0),
            LINKED._replace(at=9.0, waited=7.0, parked_at=3.0, waits=True),
        ),
        (Linking(), lambda links: links.found({"contactId": 4}), LINKED),
        (LINKED, lambda links: links.checked(), LINKED._replace(asked_again=True)),
    ],
)
def test_each_transition_of_links_changes_what_it_is_about_and_nothing_else(
    before: Linking, change: Callable[[Linking], Linking], after: Linking
) -> None:
    """How long it waited stays, whatever becomes of the numbers."""
    assert after == change(before)
