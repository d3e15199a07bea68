"""Fields: what the portal would drop or change in silence is said; what it reads is not."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import fields
from service.domain.fields import MOST_COMPLAINTS, Field, Flaw, complaints

KNOWN = {
    "title": Field("string"),
    "originId": Field("string"),
    "opened": Field("boolean"),
    "begindate": Field("date"),
    "ufCrm_when": Field("datetime", multiple=True),
    "ufCrm_tags": Field("string", multiple=True),
    "ufCrm_size": Field("enumeration", choices=frozenset({"41", "42"})),
    "ufCrm_free": Field("enumeration"),
    "contactIds": Field("crm_contact", multiple=True),
    "photo": Field("file"),
    "fm": Field("crm_multifield", multiple=True),
}


def flaws(**fields: object) -> list[Flaw]:
    """Return the flaws found in fields."""
    return [each.flaw for each in complaints(fields, KNOWN)]


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "A deal"},
        {"title": "x" * 255},
        {"title": 17},
        {"title": ""},
        {"title": None},
        {"opened": True},
        {"opened": False},
        {"opened": "Y"},
        {"opened": "n"},
        {"opened": "true"},
        {"opened": 0},
        {"opened": "0"},
        {"opened": ""},
        {"begindate": "2026-01-31"},
        {"begindate": "2026-01-31T10:00:00+00:00"},
        {"begindate": "2026-01-31T10:00:00Z"},
        {"begindate": ""},
        {"ufCrm_when": ["2026-01-31", "2026-02-28T00:00:00"]},
        {"ufCrm_tags": ["a", "b"]},
        {"ufCrm_tags": {"0": "a"}},
        {"ufCrm_size": 41},
        {"ufCrm_size": "42"},
        {"ufCrm_free": 7},
        {"contactIds": [1, 2]},
        {"contactIds": 5},
        {"photo": ["name.png", "aGk="]},
        {"PHONE": [{"VALUE": "+1", "VALUE_TYPE": "WORK"}]},
        {"parentId128": 4},
    ],
)
def test_what_the_portal_reads_is_no_flaw(fields: dict[str, object]) -> None:
    """Say nothing."""
    assert [] == flaws(**fields)


@pytest.mark.parametrize(
    ("fields", "flaw"),
    [
        ({"titel": "A deal"}, Flaw.UNKNOWN),
        ({"fm": []}, Flaw.UNKNOWN),
        ({"fm": [{"VALUE": "+1"}]}, Flaw.UNKNOWN),
        ({"phone": "+1"}, Flaw.UNKNOWN),
        ({"title": "x" * 256}, Flaw.LENGTH),
        ({"originId": "x" * 256}, Flaw.LENGTH),
        ({"title": ["A deal"]}, Flaw.LIST),
        ({"opened": {"Y": 1}}, Flaw.LIST),
        ({"opened": 1}, Flaw.BOOLEAN),
        ({"opened": "1"}, Flaw.BOOLEAN),
        ({"opened": "yes"}, Flaw.BOOLEAN),
        ({"opened": 2.5}, Flaw.BOOLEAN),
        ({"begindate": "31.01.2026"}, Flaw.DATE),
        ({"begindate": "2026-02-31"}, Flaw.DATE),
        ({"begindate": "tomorrow"}, Flaw.DATE),
        ({"begindate": 20260131}, Flaw.DATE),
        ({"begindate": "20260131"}, Flaw.DATE),
        ({"ufCrm_when": ["2026-01-31", "soon"]}, Flaw.DATE),
        ({"ufCrm_tags": "a"}, Flaw.LIST),
        ({"ufCrm_size": 43}, Flaw.CHOICE),
    ],
)
def test_what_would_be_lost_in_silence_is_said(fields: dict[str, object], flaw: Flaw) -> None:
    """One complaint, and for the right reason."""
    assert [flaw] == flaws(**fields)


def test_complaint_names_the_field_and_never_the_value() -> None:
    """Values are the upstream's and the portal's affair."""
    (found,) = complaints({"begindate": "secret-value"}, KNOWN)
    assert "begindate is no ISO date" in str(found)
    assert "secret-value" not in str(found)


def test_complaints_are_bounded() -> None:
    """A thousand unknown fields are one mistake."""
    assert MOST_COMPLAINTS == len(complaints({f"x{n}": 1 for n in range(1000)}, KNOWN))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*KNOWN, "other", "UF_CRM_1"]), JSON))
def test_no_value_breaks_the_judgement(fields: dict[str, object]) -> None:
    """Whatever upstream sends: complaints, never an exception."""
    found = complaints(fields, KNOWN)
    assert {each.field for each in found} <= set(fields)


def test_both_spellings_are_read_in_a_call_with_original_names() -> None:
    """The portal turns `ufCrm_1` into `UF_CRM_1`; a misspelt original is still unknown."""
    known = {"UF_CRM_1": Field("string")}
    assert [] == complaints({"ufCrm_1": "x", "UF_CRM_1": "x"}, known, original_names=True)
    assert 1 == len(complaints({"UF_CRM_2": "x"}, known, original_names=True))


NAMES = ["title", "comments", "fm", "ufCrm1", "UF_CRM_1", "originId"]
VALUES = [None, True, 1, 0.5, "", "x", "Y", "x" * 256, [], ["x"], {}, {"a": 1}]
KINDS = ["string", "integer", "boolean", "date", "enumeration", "file"]


def test_the_quick_look_hides_no_complaint() -> None:
    """What is passed over at a glance has nothing wrong with it when looked at in full."""
    for name, value, kind, multiple in product(NAMES, VALUES, KINDS, [False, True]):
        field = Field(kind, multiple=multiple, choices=frozenset({"1"}))
        if fields._is_plain(name, value, field):  # noqa: SLF001 - the shortcut against the whole
            assert [] == list(fields._of(name, value, {name: field}))  # noqa: SLF001 - as above
