"""Tests what makes two messages one event, and which events may travel together."""

from dataclasses import replace

from service.domain.events import BatchKey, Identity, event_digest, pair_digest
from tests.unit.domain.samples import event


def test_an_event_is_its_entity_type_and_its_id() -> None:
    """The body says nothing about who an event is."""
    assert Identity(2, "a") == event("a", body="one").identity
    assert event("a", body="one").identity == event("a", body="two").identity
    assert event("a", entity_type_id=2).identity != event("a", entity_type_id=3).identity


def test_events_of_one_call_share_entity_type_and_naming() -> None:
    """The call has one `entityTypeId` and one `useOriginalUfNames`."""
    assert BatchKey(2, original_names=False) == event("a").batch_key
    assert event("a").batch_key == event("b").batch_key
    assert event("a").batch_key != event("a", original_names=True).batch_key
    assert event("a").batch_key != event("a", entity_type_id=3).batch_key


def test_an_event_can_be_kept_under_its_identity() -> None:
    """An identity is a value: two equal ones are one key."""
    assert {Identity(2, "a"): 1} == {event("a").identity: 1}


def test_what_follows_from_an_event_follows_from_each_changed_copy_of_it() -> None:
    """It is worked out once for each, and never taken over."""
    one = event("a", body="one")
    other = replace(
        one, entity_type_id=3, event_id="b", fields=memoryview(b"{}"), external_id=None
    )
    assert (Identity(3, "b"), BatchKey(3, one.original_names)) == (other.identity, other.batch_key)
    assert event_digest(Identity(3, "b")) == other.identity_digest != one.identity_digest
    assert pair_digest(None) == other.pair_digest != one.pair_digest
    assert one.content != other.content
