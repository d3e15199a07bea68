"""Proves what may be referred to, and what an event's fields become."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.events import Identity
from service.domain.links import (
    MAX_REFERENCES,
    LinksError,
    Reference,
    cycle,
    links_of,
    members,
    missing,
    references,
    resolved,
)

OWN = Identity(2, "order-1")
CUSTOMER = {"entityTypeId": 3, "id": "customer-77"}


def test_a_field_refers_to_one_event_or_to_a_list() -> None:
    """Whole numbers are written in decimal, a type may be text, a source comes first."""
    links = links_of(
        {
            "contactId": CUSTOMER,
            "contactIds": [{"entityTypeId": "3", "id": 77}, CUSTOMER],
            "companyId": {"entityTypeId": 4, "id": "x", "source": "/shop", "originatorId": "1c"},
        },
        {"title": "a"},
        OWN,
    )
    customer = Reference(3, "customer-77")
    assert {
        "contactId": customer,
        "contactIds": (Reference(3, "77"), customer),
        "companyId": Reference(4, "/shop x", "1c"),
    } == links
    assert [Reference(3, "77")] == missing(links, {customer: 1, Reference(4, "/shop x", "1c"): 2})


def test_no_links_is_none() -> None:
    """Absent or null."""
    assert {} == links_of(None, {}, OWN)


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ([], "links must be an object"),
        ({}, "links must be an object"),
        ("contactId", "links must be an object"),
        ({"title": CUSTOMER}, '"title" stands in fields and in links'),
        ({"": CUSTOMER}, "no name"),
        ({"a": []}, "empty list"),
        ({"a": 5}, 'links "a" must be'),
        ({"a": [5]}, 'links "a" must be'),
        ({"a": {"entityTypeId": 3}}, "id must be"),
        ({"a": {"entityTypeId": 3, "id": ""}}, "id must be"),
        ({"a": {"entityTypeId": 3, "id": True}}, "id must be"),
        ({"a": {"entityTypeId": 3, "id": 1.5}}, "id must be"),
        ({"a": {"entityTypeId": 3, "id": "x" * 1001}}, "more than 1,000 characters"),
        ({"a": {"id": "x"}}, "entityTypeId must be"),
        ({"a": {"entityTypeId": 0, "id": "x"}}, "entityTypeId must be"),
        ({"a": {"entityTypeId": True, "id": "x"}}, "entityTypeId must be"),
        ({"a": {"entityTypeId": 2**31, "id": "x"}}, "entityTypeId must be"),
        ({"a": {"entityTypeId": "9" * 5000, "id": "x"}}, "entityTypeId must be"),
        ({"a": {**CUSTOMER, "source": 5}}, "source must be"),
        ({"a": {**CUSTOMER, "originatorId": ""}}, "originatorId must be"),
        ({"a": {**CUSTOMER, "field": "x"}}, 'has "field"'),
        ({"a": {"entityTypeId": 2, "id": "order-1"}}, "refers to itself"),
        ({"a": [CUSTOMER] * (MAX_REFERENCES + 1)}, "more than"),
    ],
)
def test_what_cannot_be_referred_to_is_named(links: object, said: str) -> None:
    """With the remedy, for the event is malformed."""
    with pytest.raises(LinksError, match=said):
        links_of(links, {"title": "a"}, OWN)


def test_the_same_id_of_another_importer_is_another_item() -> None:
    """It may be referred to."""
    assert links_of({"a": {"entityTypeId": 2, "id": "order-1", "originatorId": "1c"}}, {}, OWN)


def test_resolved_fields_are_numbers_and_lists_of_numbers() -> None:
    """As members before the event's own; what is missing cannot be written."""
    links = links_of({"contactId": CUSTOMER, 'q"': [CUSTOMER]}, {}, OWN)
    items = {Reference(3, "customer-77"): 4711}
    values = resolved(links, items)
    assert {"contactId": 4711, 'q"': [4711]} == values
    assert values == json.loads(b"{" + members(values).rstrip(b",") + b"}")
    with pytest.raises(KeyError):
        resolved(links, {})


@pytest.mark.parametrize(
    ("waits_for", "found"),
    [
        ({}, []),
        ({"a": ["b"]}, []),
        ({"a": ["b"], "b": ["a"]}, ["a", "b"]),
        ({"a": ["b", "c"], "b": ["d"], "c": ["e"], "e": ["a"]}, ["a", "c", "e"]),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, []),
    ],
)
def test_a_cycle_is_named_from_the_event_that_waits_in_it(
    waits_for: dict[str, list[str]], found: list[str]
) -> None:
    """An event that only waits for one is in none."""
    graph = {
        Identity(2, name): [Identity(2, each) for each in names]
        for name, names in waits_for.items()
    }
    assert found == [identity.event_id for identity in cycle(Identity(2, "a"), graph)]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["a", "entityTypeId", "id", "source"]), inner)
        ),
    )
)
def test_nothing_that_json_can_hold_ends_in_another_error(value: object) -> None:
    """Links, or a sentence."""
    with suppress(LinksError):
        links = links_of(value, {}, OWN)
        assert links or not list(references(links))
