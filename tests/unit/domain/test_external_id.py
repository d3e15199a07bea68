"""Tests which field carries an event's identity, and with which value."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.events import ExternalId
from service.domain.external_id import (
    MAX_LENGTH,
    ExternalIds,
    original_name,
    shorten,
    storable,
)

IDS = ExternalIds("crm-importer", {7: "ufCrm_123", 31: "ufCrm_own"})
NOT_COMPARABLE = ["x" * 256, True, 1.5, ["a"], {"a": 1}, 2**63]
BLANK: list[object] = [None, "", "  ", False, 0, [], {}]
MAY_CHANGE = ["chat-😀-17", " a", "a ", "a\n", "\u00a0a", "a\tb", "a\x00b", "a\x7f", "a\x85b"]
STAYS = ["a b", "Заказ 1", "\uffe6", "é", "e\u0301", "a/b c:1", "\ufffd", "a\u200bb"]


def added(stamp: bytes) -> object:
    """Return the members that a stamp adds, read back as JSON."""
    return json.loads(b"{%b}" % stamp.removesuffix(b","))


@pytest.mark.parametrize(
    ("entity_type_id", "field"),
    [
        (1, "originId"),
        (2, "originId"),
        (3, "originId"),
        (4, "originId"),
        (5, None),
        (7, None),
        (31, "xmlId"),
        (127, None),
        (128, "xmlId"),
        (2_147_483_647, "xmlId"),
    ],
)
def test_each_entity_type_has_its_field(entity_type_id: int, field: str | None) -> None:
    """Built in: `originId` for 1-4, `xmlId` for 31 and from 128 on, nothing for others."""
    assert field == ExternalIds("crm-importer").field_of(entity_type_id)


def test_settings_override_and_add() -> None:
    """A field named by the settings wins over the built-in one."""
    assert ["ufCrm_123", "ufCrm_own", "xmlId"] == [IDS.field_of(each) for each in (7, 31, 128)]


def test_a_deal_is_stamped_with_id_and_originator() -> None:
    """The pair that is sent is the pair that is looked up."""
    stamped = IDS.stamp(2, "order-1", {"title": "x"}, original_names=False)
    assert ExternalId("originId", "order-1", "crm-importer") == stamped.external_id
    assert {"originId": "order-1", "originatorId": "crm-importer"} == added(stamped.stamp)


def test_a_smart_process_is_stamped_with_its_xml_id_alone() -> None:
    """It has no originator."""
    stamped = IDS.stamp(128, "order-1", {}, original_names=False)
    assert ExternalId("xmlId", "order-1") == stamped.external_id
    assert {"xmlId": "order-1"} == added(stamped.stamp)


def test_a_type_without_a_field_is_left_alone() -> None:
    """Nothing is added, and nobody can be asked."""
    stamped = IDS.stamp(5, "order-1", {}, original_names=False)
    assert (None, b"") == (stamped.external_id, stamped.stamp)


@pytest.mark.parametrize(("original", "wire"), [(False, "ufCrm_123"), (True, "UF_CRM_123")])
def test_a_user_field_is_sent_as_the_batch_spells_it(original: bool, wire: str) -> None:  # noqa: FBT001 - the two spellings
    """Look-ups always use the camelCase name."""
    stamped = IDS.stamp(7, "order-1", {}, original_names=original)
    assert ExternalId("ufCrm_123", "order-1") == stamped.external_id
    assert {wire: "order-1"} == added(stamped.stamp)


@pytest.mark.parametrize(("brought", "value"), [("own-1", "own-1"), (17, "17"), (" x ", " x ")])
def test_a_brought_id_is_kept_and_looked_up_as_it_is(brought: object, value: str) -> None:
    """An event that sets only `originId` gets our originator."""
    stamped = IDS.stamp(2, "order-1", {"originId": brought}, original_names=False)
    assert ExternalId("originId", value, "crm-importer") == stamped.external_id
    assert {"originatorId": "crm-importer"} == added(stamped.stamp)


def test_a_brought_originator_is_kept_too() -> None:
    """It is looked up by exactly the pair that was sent."""
    stamped = IDS.stamp(
        2, "order-1", {"originId": "own-1", "originatorId": "shop"}, original_names=False
    )
    assert ExternalId("originId", "own-1", "shop") == stamped.external_id
    assert b"" == stamped.stamp


def test_an_originator_without_an_id_gets_our_id() -> None:
    """Only what is missing is added."""
    stamped = IDS.stamp(2, "order-1", {"originatorId": "shop"}, original_names=False)
    assert ExternalId("originId", "order-1", "shop") == stamped.external_id
    assert {"originId": "order-1"} == added(stamped.stamp)


def test_a_brought_user_field_is_recognised_in_its_spelling() -> None:
    """A `Y` batch brings `UF_CRM_…`."""
    stamped = IDS.stamp(7, "order-1", {"UF_CRM_123": "own-1"}, original_names=True)
    assert (ExternalId("ufCrm_123", "own-1"), b"") == (stamped.external_id, stamped.stamp)


@pytest.mark.parametrize("brought", NOT_COMPARABLE)
def test_a_brought_value_that_is_stored_otherwise_cannot_be_asked_for(brought: object) -> None:
    """It stays as it is; the portal would cut or convert it."""
    stamped = IDS.stamp(128, "order-1", {"xmlId": brought}, original_names=False)
    assert (None, b"") == (stamped.external_id, stamped.stamp)
    stamped = IDS.stamp(2, "order-1", {"originId": brought}, original_names=False)
    assert stamped.external_id is None
    assert frozenset() == stamped.blank
    stamped = IDS.stamp(2, "order-1", {"originatorId": brought}, original_names=False)
    assert stamped.external_id is None
    assert {"originId": "order-1"} == added(stamped.stamp)


@pytest.mark.parametrize("brought", BLANK)
def test_a_blank_brought_value_counts_as_not_brought(brought: object) -> None:
    """The portal stores nothing for it, so ours is stamped, and its own member gives way."""
    fields = {"originId": brought, "originatorId": brought}
    stamped = IDS.stamp(2, "order-1", fields, original_names=False)
    assert ExternalId("originId", "order-1", "crm-importer") == stamped.external_id
    assert {"originId": "order-1", "originatorId": "crm-importer"} == added(stamped.stamp)
    assert frozenset(fields) == stamped.blank


def test_a_blank_value_in_either_spelling_gives_way() -> None:
    """In a call with original names the portal reads both spellings."""
    fields = {"ufCrm_123": None, "UF_CRM_123": ""}
    stamped = IDS.stamp(7, "order-1", fields, original_names=True)
    assert ({"UF_CRM_123": "order-1"}, frozenset(fields)) == (added(stamped.stamp), stamped.blank)


def test_a_camel_case_value_in_a_call_with_original_names_is_brought() -> None:
    """Ours beside it would be a second value of one field."""
    stamped = IDS.stamp(7, "order-1", {"ufCrm_123": "own-1"}, original_names=True)
    assert (ExternalId("ufCrm_123", "own-1"), b"") == (stamped.external_id, stamped.stamp)


@pytest.mark.parametrize("event_id", MAY_CHANGE)
def test_an_id_that_a_store_may_change_is_hashed(event_id: str) -> None:
    """What is looked up later must be what the portal kept."""
    stamped = IDS.stamp(2, event_id, {}, original_names=False)
    expected = "sha256:" + hashlib.sha256(event_id.encode()).hexdigest()
    assert ExternalId("originId", expected, "crm-importer") == stamped.external_id
    assert stamped.external_id is not None
    assert stamped.external_id.exact


@pytest.mark.parametrize("event_id", STAYS)
def test_an_id_that_every_store_keeps_is_stamped_as_it_is(event_id: str) -> None:
    """People read it in the CRM."""
    assert event_id == storable(event_id)


@pytest.mark.parametrize(
    "fields",
    [{"originId": each} for each in MAY_CHANGE] + [{"originId": "a", "originatorId": "shop "}],
)
def test_a_brought_id_that_a_store_may_change_proves_nothing_by_its_absence(
    fields: dict[str, str],
) -> None:
    """It is sent and looked up as it came; not found, it may be there under another text."""
    stamped = IDS.stamp(2, "order-1", fields, original_names=False)
    assert stamped.external_id is not None
    assert fields["originId"] == stamped.external_id.value
    assert not stamped.external_id.exact


def test_an_id_of_255_characters_is_kept_and_a_longer_one_hashed() -> None:
    """The portal would cut it without a word, and two long ids would become one."""
    assert "x" * 255 == shorten("x" * 255)
    expected = "sha256:" + hashlib.sha256(b"x" * 256).hexdigest()
    assert expected == shorten("x" * 256)
    stamped = IDS.stamp(128, "x" * 256, {}, original_names=False)
    assert ExternalId("xmlId", expected) == stamped.external_id


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("ufCrm_123", "UF_CRM_123"),
        ("ufCrm44_1721", "UF_CRM_44_1721"),
        ("ufCrm_externalId", "UF_CRM_EXTERNAL_ID"),
        ("ufCrmExternalId", "UF_CRM_EXTERNAL_ID"),
        ("ufCrm7_ext", "UF_CRM_7_EXT"),
        ("xmlId", "xmlId"),
        ("originId", "originId"),
    ],
)
def test_a_user_field_has_an_original_name(name: str, original: str) -> None:
    """Only user fields are spelt in two ways."""
    assert original == original_name(name)


@given(
    st.sampled_from([1, 2, 3, 4, 5, 7, 31, 128]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
    st.booleans(),
)
def test_any_event_id_becomes_valid_members(
    entity_type_id: int,
    event_id: str,
    original_names: bool,  # noqa: FBT001 - drawn
) -> None:
    """Quotes, control characters, any script: the members read back as what is looked up."""
    stamped = IDS.stamp(entity_type_id, event_id, {}, original_names=original_names)
    members = added(stamped.stamp)
    assert isinstance(members, dict)
    assert (stamped.external_id is None) == (members == {})
    if stamped.external_id is not None:
        assert stamped.external_id.value in members.values()
        assert len(stamped.external_id.value) <= MAX_LENGTH
        assert stamped.stamp.endswith(b",")
