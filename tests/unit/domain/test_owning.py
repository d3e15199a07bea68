"""Tests whose item a number is."""

import pytest

from service.domain.events import ItemEvent
from service.domain.last_words import Word, word_on
from service.domain.owning import Owned, Owners, noted_owner
from tests.unit.domain.samples import event


@pytest.fixture
def owners() -> Owners:
    """Give the test owners that know of nothing."""
    return Owners(remember=100)


def test_an_item_belongs_to_the_first_event_that_names_it(owners: Owners) -> None:
    """One CRM item settles at most one event, whatever its body."""
    assert Owned.OURS is owners.own(event("a"), 5)
    assert Owned.OURS is owners.own(event("a", body="other"), 5)
    assert Owned.OTHER_PAIR is owners.own(event("b"), 5)
    assert Owned.OURS is owners.own(event("a"), 5)


def test_numbers_are_given_out_by_type(owners: Owners) -> None:
    """A lead and a deal may have one number."""
    owners.own(event("a"), 5)
    assert Owned.OURS is owners.own(event("b", entity_type_id=1), 5)


def test_an_item_of_another_event_with_the_same_pair_is_taken(owners: Owners) -> None:
    """Upstream gave two events one external id: that is no sign of a set-back."""
    owners.own(event("a", external="shared"), 5)
    assert Owned.TAKEN is owners.own(event("b", external="shared"), 5)


def test_events_without_external_id_are_told_apart_by_their_ids(owners: Owners) -> None:
    """There is nothing else."""
    owners.own(event("a", external=None), 5)
    assert Owned.OURS is owners.own(event("a", external=None), 5)
    assert Owned.OTHER_PAIR is owners.own(event("b", external=None), 5)


def test_after_a_set_back_nothing_is_known(owners: Owners) -> None:
    """The portal gives its numbers out again."""
    owners.own(event("a"), 5)
    owners.forget()
    assert Owned.OURS is owners.own(event("b"), 5)


@pytest.mark.parametrize(
    ("noted", "stale", "owned"),
    [
        (None, False, None),
        (event("a", external="x"), False, None),
        (event("b", external="x"), False, Owned.TAKEN),
        (event("b", external="y"), False, Owned.OTHER_PAIR),
        (event("b", external="y"), True, None),
        (event("b", external=None), False, Owned.OTHER_PAIR),
    ],
)
def test_the_memory_knows_whose_item_a_number_is(
    *, noted: ItemEvent | None, stale: bool, owned: Owned | None
) -> None:
    """Of other processes too; what was said before the portal was set back is no answer."""
    word = None if noted is None else word_on(noted, Word.IMPORTED, 1.0, 7, 5)
    word = None if word is None else word._replace(stale=stale)
    assert owned is noted_owner(event("a", external="x"), word)
