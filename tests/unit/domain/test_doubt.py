"""Tests how doubtful an event's fate is, and what is remembered of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.doubt import Doubt, Knowledge, doubt_of
from service.domain.outcomes import Failed, FailureKind
from tests.unit.domain.samples import event

REJECTED = Failed(FailureKind.REJECTED, "100", "no", 200)


@pytest.mark.parametrize(
    ("copy", "resubmitted", "early", "ask", "askable", "unaskable"),
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
    resubmitted: bool,
    early: bool,
    ask: str,
    askable: Doubt,
    unaskable: Doubt,
) -> None:
    """A copy was perhaps sent; a redriven or early one perhaps by somebody else."""
    marks = {"copy": copy, "resubmitted": resubmitted, "early": early}
    assert askable is doubt_of(event("a"), **marks, ask=ask)
    assert unaskable is doubt_of(event("a", external=None), **marks, ask=ask)


def test_a_call_of_unknown_outcome_makes_the_doubt_strong() -> None:
    """And an earlier "absent" proves nothing any more."""
    known = Knowledge(absent_once=True, refusal=REJECTED)
    known.perhaps_sent(REJECTED, look_at=9.0)
    assert Knowledge(doubt=Doubt.STRONG, look_at=9.0, fault=REJECTED) == known


def test_a_refusal_that_may_hide_an_item_stands_if_there_is_none() -> None:
    """It is the end of an item that turns out to be absent."""
    known = Knowledge()
    known.perhaps_sent(REJECTED, look_at=9.0, stands=True)
    assert REJECTED == known.refusal
    known.surely_absent()
    assert Knowledge(look_at=9.0, fault=REJECTED) == known


def test_of_two_things_known_of_one_event_the_more_doubtful_wins() -> None:
    """With its fault, its refusal and its attempts; whichever is asked."""
    sent = Knowledge(doubt=Doubt.STRONG, look_at=5.0, fault=REJECTED, refusal=REJECTED, attempts=3)
    unsent = Knowledge(doubt=Doubt.WEAK, look_at=2.0, absent_once=True, attempts=1)
    assert sent == sent.joined(unsent) == unsent.joined(sent)


def test_of_two_things_known_of_one_event_the_later_look_counts() -> None:
    """A look-up before it proves nothing about the call that the other has seen."""
    sent = Knowledge(doubt=Doubt.STRONG, look_at=5.0)
    copy = Knowledge(doubt=Doubt.WEAK, look_at=9.0)
    assert [9.0, 9.0] == [sent.joined(copy).look_at, copy.joined(sent).look_at]


KNOWLEDGE = st.builds(
    Knowledge,
    doubt=st.sampled_from(Doubt),
    look_at=st.sampled_from([0.0, 5.0, 9.0]),
    solo_failures=st.integers(0, 5),
    attempts=st.integers(0, 5),
)


@given(KNOWLEDGE, KNOWLEDGE)
def test_joining_makes_no_knowledge_weaker(one: Knowledge, other: Knowledge) -> None:
    """And changes neither of the two."""
    before = (replace(one), replace(other))
    both = one.joined(other)
    assert both.doubt is max(one.doubt, other.doubt)
    assert both.look_at == max(one.look_at, other.look_at)
    assert both.solo_failures == max(one.solo_failures, other.solo_failures)
    assert before == (one, other)
