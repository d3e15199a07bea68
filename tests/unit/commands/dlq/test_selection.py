"""Proves which letters a filter is about."""

from datetime import timedelta

import pytest

from service.commands.dlq.selection import Selection
from service.commands.option_values import UNREADABLE
from tests.unit.commands.dlq.samples import FAILED_AT, letter, ours

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), True),
        (Selection(kind="rejected", code="CRM_FIELD_ERROR_REQUIRED", entity_type_id=2), True),
        (Selection(kind="malformed"), False),
        (Selection(kind="rejected", code="OTHER"), False),
        (Selection(entity_type_id=1), False),
        (Selection(entity_type_id=UNREADABLE), False),
        (Selection(ids=frozenset({"e", "f"})), True),
        (Selection(ids=frozenset({"f"})), False),
        (Selection(since=FAILED_AT - HOUR), True),
        (Selection(since=FAILED_AT + HOUR), False),
        (Selection(before=FAILED_AT + HOUR), True),
        (Selection(before=FAILED_AT), False),
    ],
)
def test_a_letter_must_match_everything(selection: Selection, *, expected: bool) -> None:
    """One filter that does not match is enough."""
    assert expected == selection.holds(letter())


def test_a_letter_without_a_time_is_neither_young_nor_old() -> None:
    """It is never removed for its age."""
    timeless = letter(headers=ours(failed_at=None))
    assert [True, False, False] == [
        each.holds(timeless)
        for each in (Selection(), Selection(since=FAILED_AT), Selection(before=FAILED_AT))
    ]


def test_letters_of_unreadable_type_are_selected_by_themselves() -> None:
    """Nobody means them who means those of a type, nor the other way round."""
    malformed = letter(b"no JSON")
    unreadable = Selection(entity_type_id=UNREADABLE)
    assert [True, False, True] == [
        each.holds(malformed) for each in (unreadable, Selection(entity_type_id=2), Selection())
    ]
    assert "type unknown" == unreadable.words
