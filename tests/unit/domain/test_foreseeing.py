"""Foresees what the portal refuses, as its documentation and its source say; nothing else."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.fields import Field
from service.domain.foreseeing import Foreseen, foreseen, needs_admin

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KNOWN = {
    "title": Field("string"),
    "name": Field("string", required=True),
    "opened": Field("boolean", required=True),
    "id": Field("integer", read_only=True, required=True),
    "ufCrmTags": Field("string", multiple=True),
    "ufCrmSize": Field("string"),
    "ufCrmNeed": Field("string", required=True),
    "contactIds": Field("crm_contact", multiple=True),
    "createdTime": Field("datetime", read_only=True),
}
GOOD = {"name": "A", "ufCrmNeed": "x"}


def told(fields: dict[str, object], *, admin: bool | None = True) -> list[Foreseen]:
    """Return what is foreseen of an item that is good but for these fields."""
    return foreseen({**GOOD, **fields}, KNOWN, admin=admin, now=NOW)


def code(fields: dict[str, object], *, admin: bool | None = True) -> tuple[str, str, bool]:
    """Return the only thing foreseen: its code, its field, and whether it is sure."""
    (found,) = told(fields, admin=admin)
    return found.code, found.field, found.sure


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"title": None},
        {"ufCrmTags": ["a"]},
        {"ufCrmTags": {"n0": "a"}},
        {"ufCrmSize": "L"},
        {"contactIds": 5},
        {"companyId": 0},
        {"companyId": "5"},
        {"companyId": True},
        {"leadId": "-0.5"},
        {"mycompanyId": -1},
        {"createdBy": 5},
        {"updatedTime": "2026-03-01T12:00:00"},
        {"createdTime": "no time"},
        {"xmlId": "x" * 255},
    ],
)
def test_what_the_portal_takes_is_not_foreseen_as_refused(fields: dict[str, object]) -> None:
    """A rehearsal that cries wolf is not read twice."""
    assert [] == [each for each in told(fields) if each.sure]


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_a_required_field_must_say_something(value: object) -> None:
    """As the portal's list of fields says."""
    assert ("CRM_FIELD_ERROR_REQUIRED", "name", True) == code({"name": value})


def test_an_own_field_that_is_required_may_be_refused() -> None:
    """Imports demand it only where an option of the portal is set, which nobody can read."""
    assert ("CRM_FIELD_ERROR_REQUIRED", "ufCrmNeed", False) == code({"ufCrmNeed": ""})


@pytest.mark.parametrize("value", ["a", 1, True, None])
def test_one_value_for_an_own_field_of_several_is_refused(value: object) -> None:
    """In both spellings of its name; system fields of several take one value."""
    assert ("100", "ufCrmTags", True) == code({"ufCrmTags": value})
    known = {"UF_CRM_TAGS": Field("string", multiple=True)}
    for name in ("UF_CRM_TAGS", "ufCrmTags"):
        (found,) = foreseen({name: value}, known, admin=True, now=NOW)
        assert ("100", name) == (found.code, found.field)


@pytest.mark.parametrize("value", [-1, "-7", "-7 and more", -(2**40)])
@pytest.mark.parametrize("name", ["companyId", "contactId", "leadId", "dealId", "quoteId"])
def test_an_id_below_zero_is_refused(name: str, value: object) -> None:
    """As PHP reads the number."""
    assert ("CRM_FIELD_ERROR_VALUE_NOT_VALID", name, True) == code({name: value})


def test_an_id_beyond_64_bits_may_be_refused() -> None:
    """What PHP makes of it depends on its version."""
    assert ("CRM_FIELD_ERROR_VALUE_NOT_VALID", "quoteId", False) == code({"quoteId": 2**63})


@pytest.mark.parametrize("admin", [False, None])
def test_system_fields_are_for_administrators(*, admin: bool | None) -> None:
    """Who is none is refused; where nobody could tell who we are, it may be so."""
    assert (admin is False) == code({"createdBy": 5}, admin=admin)[2]
    assert ("CRM_FIELD_ERROR_VALUE_NOT_VALID", "createdBy", admin is False) == code(
        {"createdBy": 5, "updatedTime": "2026-01-01"}, admin=admin
    )


def test_a_system_time_that_cannot_be_read_is_skipped_and_refuses_nobody() -> None:
    """The portal drops it before it looks at who sent it."""
    assert [] == [each for each in told({"createdTime": "soon"}, admin=False) if each.sure]


@pytest.mark.parametrize(
    ("fields", "field", "sure"),
    [
        ({"createdTime": "2026-03-01T12:00:01Z"}, "createdTime", True),
        ({"updatedTime": "2026-03-01T15:00:01+02:00"}, "updatedTime", True),
        ({"updatedTime": "2026-02-01"}, "updatedTime", True),
        ({"createdTime": "2026-02-02", "updatedTime": "2026-02-01"}, "updatedTime", True),
        ({"movedTime": "2026-02-02"}, "movedTime", True),
        ({"createdTime": "2026-02-01"}, "createdTime", False),
        ({"createdTime": "31.01.2026", "updatedTime": "2026-02-01"}, "createdTime", False),
        (
            {"createdTime": "2026-02-01", "movedTime": "2026-02-02", "updatedTime": "2026-02-03"},
            "createdTime",
            False,
        ),
    ],
)
def test_system_times_must_be_past_and_in_order(
    fields: dict[str, object], field: str, *, sure: bool
) -> None:
    """Whether an item of the type was created later only the portal knows."""
    assert ("CRM_FIELD_ERROR_VALUE_NOT_VALID", field, sure) == code(fields)


def test_an_xml_id_that_is_too_long_may_be_refused() -> None:
    """Some databases cut it, others break."""
    assert ("400", "xmlId", False) == code({"xmlId": "x" * 256})


def test_only_system_fields_need_an_administrator() -> None:
    """So that nobody is asked for nothing."""
    assert needs_admin({"createdBy": 1})
    assert not needs_admin({"assignedById": 1})


def test_everything_foreseen_has_a_remedy() -> None:
    """Or the reader has to search."""
    later = (NOW + timedelta(days=1)).isoformat()
    wrong = {"name": "", "ufCrmTags": 1, "companyId": -1, "createdTime": later, "xmlId": "x" * 300}
    found = told(wrong)
    assert len(wrong) == len(found)
    assert all(each.remedy for each in found)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals()
    | st.text()
    | st.datetimes(timezones=st.timezones()).map(str)
    | st.sampled_from(
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "1e999", "-1e999"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [*KNOWN, "companyId", "xmlId", "updatedTime", "movedTime", "createdBy", "UF_CRM_TAGS"]
)


@given(st.dictionaries(NAMES, VALUES), st.sampled_from([True, False, None]))
def test_nothing_that_json_can_hold_breaks_it(
    fields: dict[str, object],
    admin: bool | None,  # noqa: FBT001 - hypothesis gives it by place
) -> None:
    """Whatever stands in the fields, and whoever asks."""
    for each in foreseen(fields, KNOWN, admin=admin, now=NOW):
        assert each.text
        assert each.remedy


def test_a_required_own_field_may_be_given_by_either_name() -> None:
    """The portal lists it by its original name."""
    known = {"UF_CRM_NEED": Field("string", required=True)}
    assert [] == foreseen({"ufCrmNeed": "x"}, known, admin=True, now=NOW)
    assert 1 == len(foreseen({}, known, admin=True, now=NOW))
