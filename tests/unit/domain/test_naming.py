"""Tests how events are named, and what tells one from another."""

from dataclasses import replace

from service.domain.events import Reference
from service.domain.outcomes import PauseReason
from tests.unit.domain.samples import event


def test_a_reference_is_named_by_type_and_id() -> None:
    """As people do."""
    found = Reference(2, "a")
    assert ("2/a", "2") == (str(found), found.said[0])
    assert (2, "a") == tuple(found.identity)


def test_what_an_event_refers_to_is_part_of_its_content() -> None:
    """One reference and a list of one are not the same."""
    one = Reference(2, "a")
    events = [event(), replace(event(), links={"x": one}), replace(event(), links={"x": (one,)})]
    assert 3 == len({each.content for each in events})


def test_a_pause_that_passes_by_itself_needs_nobody() -> None:
    """A refusal of our rights needs somebody."""
    assert PauseReason.SCOPE.needs_a_person
    assert not PauseReason.UNAVAILABLE.needs_a_person
