"""Proves what may be referred to, and what an event's fields become."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.events import ExternalId, Identity, Links, Reference
from service.domain.external_id import ExternalIds
from service.domain.links import (
    MAX_REFERENCES,
    LinksError,
    Own,
    cycle,
    links_of,
    members,
    missing,
    references,
    resolved,
    stuck,
)

OWN = Identity(2, "order-1")
IDS = ExternalIds("crm-importer", {7: "ufCrm_7"})
CUSTOMER = {"entityTypeId": 3, "id": "customer-77"}


def links_in(value: object, *fields: str, original_names: bool = False) -> Links:
    """Return what an event refers to that is called as OWN and sets some fields."""
    external = ExternalId("originId", OWN.event_id, "crm-importer")
    return links_of(value, Own(OWN, fields, external, original_names), IDS)


def test_a_field_refers_to_one_event_or_to_a_list() -> None:
    """Whole numbers are written in decimal, a type may be text, a source comes first."""
    links = links_in(
        {
            "contactId": CUSTOMER,
            "contactIds": [{"entityTypeId": "3", "id": 77}, CUSTOMER],
            "companyId": {"entityTypeId": 4, "id": "x", "source": "/shop", "originatorId": "1c"},
        },
        "title",
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
    assert {} == links_in(None)


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ([], "links must be an object"),
        ({}, "links must be an object"),
        ("contactId", "links must be an object"),
        ({"title": CUSTOMER}, '"title" is in fields and in links'),
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
        ({"a": {"entityTypeId": 3, "id": 10**1000}}, "more than 1,000 characters"),
        ({"a": {"entityTypeId": 3, "id": -(10**9000)}}, "more than 1,000 characters"),
        ({"a": {"entityTypeId": 2, "id": "order-1"}}, "refers to itself"),
        (
            {"a": {"entityTypeId": 2, "id": "order-1", "originatorId": "crm-importer"}},
            "refers to itself",
        ),
        ({"originId": CUSTOMER}, "the id of the event itself"),
        ({"originatorId": CUSTOMER}, "the id of the event itself"),
        ({"assignedById": CUSTOMER}, "no item of the CRM"),
        ({"categoryId": CUSTOMER}, "no item of the CRM"),
        ({"opened": CUSTOMER}, "no item of the CRM"),
        ({"a": [CUSTOMER] * (MAX_REFERENCES + 1)}, "more than"),
    ],
)
def test_what_cannot_be_referred_to_is_named(links: object, said: str) -> None:
    """With the remedy, for the event is malformed."""
    with pytest.raises(LinksError, match=said):
        links_in(links, "title")


def test_a_reference_knows_the_external_id_that_its_item_carries() -> None:
    """As stamping gives it: of another importer with its name, of some types not at all."""
    links = links_in(
        {
            "a": {"entityTypeId": 3, "id": "x"},
            "b": {"entityTypeId": 3, "id": "x", "originatorId": "1c"},
            "c": {"entityTypeId": 31, "id": "x", "originatorId": "1c"},
            "d": {"entityTypeId": 128, "id": "x" * 256},
            "e": {"entityTypeId": 7, "id": "x"},
            "f": {"entityTypeId": 9, "id": "x"},
        }
    )
    found = {name: each.external_id for name, each in links.items() if isinstance(each, Reference)}
    assert {
        "a": ExternalId("originId", "x", "crm-importer"),
        "b": ExternalId("originId", "x", "1c"),
        "c": ExternalId("xmlId", "x"),
        "d": IDS.of(128, "x" * 256),
        "e": ExternalId("ufCrm_7", "x"),
        "f": None,
    } == found
    assert "sha256:" in str(found["d"])


def test_a_field_has_two_spellings_where_original_names_are_used() -> None:
    """The portal reads both, so it stands in fields or in links, and once."""
    links_in({"UF_CRM_5": CUSTOMER}, "ufCrm_5")
    for links, fields in (
        ({"UF_CRM_5": CUSTOMER}, ["ufCrm_5"]),
        ({"ufCrm_5": CUSTOMER}, ["UF_CRM_5"]),
        ({"ufCrm_5": CUSTOMER, "UF_CRM_5": CUSTOMER}, []),
    ):
        with pytest.raises(LinksError):
            links_in(links, *fields, original_names=True)


def test_another_event_with_this_ones_external_id_is_itself() -> None:
    """It could only be found as the item that waits for it."""
    own = Own(Identity(2, "other"), (), ExternalId("originId", "order-1", "crm-importer"))
    with pytest.raises(LinksError, match="refers to itself"):
        links_of({"a": {"entityTypeId": 2, "id": "order-1"}}, own, IDS)


def test_the_same_id_of_another_importer_is_another_item() -> None:
    """It may be referred to."""
    assert links_in({"a": {"entityTypeId": 2, "id": "order-1", "originatorId": "1c"}})


def test_resolved_fields_are_numbers_and_lists_of_numbers() -> None:
    """As members before the event's own; what is missing cannot be written."""
    links = links_in({"contactId": CUSTOMER, 'q"': [CUSTOMER]})
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
    events = cycle(Identity(2, "a"), lambda each: graph.get(each, []))
    assert found == [identity.event_id for identity in events]


@pytest.mark.parametrize(
    ("waits_for", "found"),
    [
        ({}, set()),
        ({"a": ["b", "c"], "b": ["c", "c"], "c": [], "d": ["gone"]}, set()),
        ({"a": [None], "b": ["a"], "c": []}, {"a", "b"}),
        ({"a": ["b"], "b": ["a"], "c": ["a", "d"], "d": []}, {"a", "b", "c"}),
    ],
)
def test_stuck_is_who_waits_for_nothing_or_for_one_another(
    waits_for: dict[str, list[str | None]], found: set[str]
) -> None:
    """And who waits for those; an event that nobody holds is no longer waited for."""
    assert found == stuck(waits_for)


GRAPHS = st.dictionaries(
    st.integers(0, 7), st.lists(st.none() | st.integers(0, 9), max_size=3), max_size=8
)


@given(GRAPHS)
def test_stuck_is_what_never_goes_on(waits_for: dict[int, list[int | None]]) -> None:
    """Let whoever can go on, again and again: the others are stuck."""
    left = dict(waits_for)
    while able := [
        event
        for event, targets in left.items()
        if not any(each is None or each in left for each in targets)
    ]:
        for event in able:
            del left[event]
    assert set(left) == stuck(waits_for)


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
        links = links_in(value)
        assert links or not list(references(links))
