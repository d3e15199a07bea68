"""Tests how doubtful an event's fate is, and what is remembered of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.history import Doubt, History, doubt_of
from service.domain.outcomes import Failed, FailureKind
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
    known = History(absent_once=True, refusal=REJECTED)
    known.perhaps_sent(REJECTED, look_at=9.0)
    assert History(doubt=Doubt.STRONG, look_at=9.0, fault=REJECTED) == known


def test_a_refusal_that_may_hide_an_item_stands_if_there_is_none() -> None:
    """It is the end of an item that turns out to be absent."""
    known = History()
    known.perhaps_sent(REJECTED, look_at=9.0, stands=True)
    assert REJECTED == known.refusal
    known.surely_absent()
    assert History(look_at=9.0, fault=REJECTED) == known


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
    assert expected == known.for_copy(copy)


def test_an_earlier_absent_proves_nothing_of_what_somebody_else_held() -> None:
    """Two looks again, both after it came back."""
    known = History(2, doubt=Doubt.STRONG, absent_once=True)
    assert not known.for_copy(History(4, doubt=Doubt.STRONG, look_at=9.0)).absent_once


KNOWLEDGE = st.builds(
    History,
    times=st.integers(0, 3),
    doubt=st.sampled_from(Doubt),
    look_at=st.sampled_from([0.0, 5.0, 9.0]),
    failures_alone=st.integers(0, 5),
    attempts=st.integers(0, 5),
)


@given(KNOWLEDGE, KNOWLEDGE)
def test_a_copy_makes_no_knowledge_weaker(known: History, copy: History) -> None:
    """And changes neither of the two."""
    before = (replace(known), replace(copy))
    both = known.for_copy(copy)
    assert known.doubt <= both.doubt
    assert both.doubt <= max(known.doubt, copy.doubt)
    assert known.look_at <= both.look_at
    assert (known.failures_alone, known.attempts) == (both.failures_alone, both.attempts)
    assert before == (known, copy)


@given(KNOWLEDGE, st.sampled_from(Doubt), st.sampled_from([0.0, 7.0]))
def test_a_suspicion_makes_no_knowledge_weaker(
    known: History, doubt: Doubt, look_at: float
) -> None:
    """The greater doubt, the later look."""
    before = replace(known)
    known.suspected(doubt, look_at)
    expected = (max(before.doubt, doubt), max(before.look_at, look_at))
    assert expected == (known.doubt, known.look_at)
