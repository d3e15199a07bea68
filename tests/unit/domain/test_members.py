"""Tests what is said of members of an event that are ignored."""

import pytest

from service.domain.members import MAX_NOTES, notes_on
from service.domain.nearest import LONGEST, MAX_NAMES, nearest


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Fields", "did you mean fields?"),
        ("eventId", "did you mean id?"),
        ("method", "never updates"),
        ("___", "never updates"),
        ("x" * (LONGEST + 1), "never updates"),
    ],
)
def test_a_member_that_is_ignored_is_named(name: str, told: str) -> None:
    """With the member that was perhaps meant."""
    (note,) = notes_on({"entityTypeId": 2, "id": "a", name: 1})
    assert f'"{name}" is ignored' in note
    assert told in note


def test_not_every_member_of_many_is_named() -> None:
    """A note is read by a person."""
    *named, last = notes_on({f"m{number}": 1 for number in range(MAX_NOTES + 5)})
    assert MAX_NOTES == len(named)
    assert "5 more members are ignored" == last
    assert MAX_NOTES == len(notes_on({f"m{number}": 1 for number in range(MAX_NOTES)}))


def test_of_very_many_names_only_the_case_is_forgiven() -> None:
    """To compare all of them would take too long."""
    many = [f"name{number}" for number in range(MAX_NAMES + 1)]
    assert nearest("NAME7", many) == "name7"
    assert nearest("nameseven", many) is None
