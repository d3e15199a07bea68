"""Fields: what the portal would drop or change in silence is said; what it reads is not."""

import re
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import fields
from service.domain.fields import AND_MORE, MAX_COMPLAINTS, Field, complaints, sentences
from service.domain.values import Flaw

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
    "ufCrm_papers": Field("file", multiple=True),
    "fm": Field("crm_multifield", multiple=True),
    "id": Field("integer", read_only=True),
    "createdTime": Field("datetime", read_only=True),
    "opportunity": Field("double"),
    "assignedById": Field("user"),
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
        {"begindate": "31.01.2026"},
        {"begindate": "2026-01-31T10:00:00"},
        {"begindate": "tomorrow"},
        {"begindate": 20260131},
        {"begindate": "20260131"},
        {"ufCrm_when": "2026-01-31T10:00:00Z"} | {"ufCrm_when": ["2026-01-31T10:00:00+03:00"]},
        {"opportunity": "1200.50"},
        {"opportunity": Decimal("1200.50")},
        {"assignedById": "17"},
        {"createdTime": "2026-01-31T10:00:00+00:00"},
        {"begindate": ""},
        {"ufCrm_when": ["2026-01-31", "2026-02-28T00:00:00"]},
        {"ufCrm_tags": ["a", "b"]},
        {"ufCrm_tags": {"0": "a"}},
        {"ufCrm_size": 41},
        {"ufCrm_size": "42"},
        {"ufCrm_free": 7},
        {"contactIds": [1, 2]},
        {"contactIds": 5},
        {"contactIds": "5"},
        {"contactIds": []},
        {"begindate": {}},
        {"photo": ["name.png", "aGk="]},
        {"photo": ["a name: 1.png", "aG\nk="]},
        {"photo": "aGk="},
        {"ufCrm_papers": [["a.png", "aGk="], ["b.png", "aGk="]]},
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
        ({"begindate": "2026-02-31"}, Flaw.DATE),
        ({"begindate": "31/01/2026"}, Flaw.DATE),
        ({"begindate": "2026-01-31T10:00:00Z"}, Flaw.DATE),
        ({"begindate": 1769817600}, Flaw.DATE),
        ({"begindate": True}, Flaw.DATE),
        ({"opportunity": "1200,50"}, Flaw.NUMBER),
        ({"title": 89701010000000000000}, Flaw.NUMBER),
        ({"title": True}, Flaw.BOOLEAN),
        ({"assignedById": "Ada"}, Flaw.REFERENCE),
        ({"assignedById": [5]}, Flaw.LIST),
        ({"parentId128": "Acme"}, Flaw.REFERENCE),
        ({"contactIds": "5,6"}, Flaw.LIST),
        ({"contactIds": [5, "Ada"]}, Flaw.REFERENCE),
        ({"contactIds": [{"id": 5}, {"id": 6}]}, Flaw.LIST),
        ({"contactIds": [[5], 6]}, Flaw.LIST),
        ({"ufCrm_tags": ["a", {"name": "b"}]}, Flaw.LIST),
        ({"FM": {"PHONE": []}}, Flaw.UNKNOWN),
        ({"ufCrm_free": "Blue"}, Flaw.REFERENCE),
        ({"id": 55}, Flaw.READ_ONLY),
        ({"ID": 55}, Flaw.UNKNOWN),
        ({"ufCrm_when": ["2026-01-31", "soon"]}, Flaw.DATE),
        ({"ufCrm_tags": "a"}, Flaw.LIST),
        ({"ufCrm_size": 43}, Flaw.CHOICE),
        ({"ufCrm_size": "large"}, Flaw.CHOICE),
        ({"photo": 2**64}, Flaw.NUMBER),
        ({"photo": ["name.png", "data:image/png;base64,aGk="]}, Flaw.FILE),
        ({"photo": ["name.png", "aG_-"]}, Flaw.FILE),
        ({"photo": "data:image/png;base64,aGk="}, Flaw.FILE),
        ({"ufCrm_papers": [["a.png", "aGk="], ["b.png", "data:,x"]]}, Flaw.FILE),
    ],
)
def test_what_would_be_lost_in_silence_is_said(fields: dict[str, object], flaw: Flaw) -> None:
    """One complaint, and for the right reason."""
    assert [flaw] == flaws(**fields)


def test_every_complaint_says_what_to_send() -> None:
    """A complaint without a remedy makes the reader search."""
    wrong: dict[str, object] = {
        "titel": 1,
        "title": "x" * 256,
        "opened": "yes",
        "begindate": "soon",
        "ufCrm_when": "soon",
        "ufCrm_size": 43,
        "ufCrm_free": "Blue",
        "contactIds": "5,6",
        "opportunity": "1,5",
        "assignedById": "Ada",
        "PHONE": "+1",
        "fm": [],
        "id": 5,
    }
    found = complaints(wrong, KNOWN)
    assert len(wrong) == len(found)
    assert [] == [str(each) for each in found if not _remedy(str(each))]
    made_up = re.compile(r"2026-01-31|1200\.50|\[\{")
    shown = [str(each) for each in found if made_up.search(str(each))]
    assert 3 == len(shown)
    assert all("such as" in made_up.split(each)[0] for each in shown), "an example says so"
    assert "ufCrm_size is not the id of a choice, the portal keeps none: send one of 41, 42" in [
        str(each) for each in found
    ]


def _remedy(text: str) -> bool:
    return any(word in text for word in (": send ", "did you mean", ": leave it out"))


def test_complaint_names_the_field_and_never_a_text_of_its_value() -> None:
    """What the portal keeps is told; the rest is the upstream's affair."""
    (found,) = complaints({"begindate": "secret-value"}, KNOWN)
    assert "begindate is not a date" in str(found)
    assert "secret-value" not in str(found)


@pytest.mark.parametrize("name", ["PHONE", "EMAIL", "WEB", "IM"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("+100", "is not kept: send a list such as [{"),
        (100, "is not kept: send a list such as [{"),
        (["+100"], "a value is not an object"),
        ({"VALUE": "+100", "VALUE_TYPE": "WORK"}, "a value is not an object"),
        ([{"value": "+100", "valueType": "WORK"}], "no VALUE (in capitals)"),
        ([{"VALUE": "a@b.c"}], "no VALUE_TYPE"),
        ([{"VALUE": ["a@b.c"], "VALUE_TYPE": "WORK"}], "a VALUE is not text"),
        ([{"VALUE": 2**64, "VALUE_TYPE": "WORK"}], "more digits than a number can hold"),
        ([{"VALUE": 4.93e19, "VALUE_TYPE": "WORK"}], "more digits than a number can hold"),
        ([{"VALUE": "a@b.c" * 60, "VALUE_TYPE": "WORK"}], "longer than 250"),
        ([{"VALUE": "a@b.c", "VALUE_TYPE": "WORK"}, "x"], "in part (1 of 2 values)"),
    ],
)
def test_a_multifield_in_another_shape_is_told_with_the_right_one(
    name: str, value: object, said: str
) -> None:
    """The portal passes over what is no list of objects, without a word."""
    (found,) = complaints({name: value}, KNOWN)
    assert Flaw.MULTIFIELD is found.flaw
    assert said in str(found)
    assert '"VALUE": ' in str(found)


@pytest.mark.parametrize(
    "value",
    [
        [{"VALUE": "a@b.c", "VALUE_TYPE": "WORK"}],
        {"n0": {"VALUE": "a@b.c", "VALUE_TYPE": "HOME"}},
        [{"VALUE": "a@b.c", "VALUE_TYPE": "WORK"}, {"VALUE": "", "VALUE_TYPE": "WORK"}],
        [],
        "",
        None,
        [None],
    ],
)
def test_a_multifield_in_its_shape_is_no_flaw(value: object) -> None:
    """Nor is one that says nothing."""
    for name in ("PHONE", "EMAIL", "WEB", "IM"):
        assert [] == complaints({name: value}, KNOWN)


def test_an_address_without_an_at_sign_is_told() -> None:
    """The portal checks addresses, and drops what is none."""
    (found,) = complaints({"EMAIL": [{"VALUE": "ada", "VALUE_TYPE": "WORK"}]}, KNOWN)
    assert "not an address" in str(found)


@pytest.mark.parametrize("name", ["PHONE", "EMAIL", "WEB", "IM", "phone", "e-mail"])
def test_a_multifield_of_a_type_that_has_none_is_told(name: str) -> None:
    """Whatever its shape: only leads, contacts and companies have it."""
    value = [{"VALUE": "a@b.c", "VALUE_TYPE": "WORK"}]
    (found,) = complaints({name: value}, {"title": Field("string")})
    assert "lead, contact or company" in str(found)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TITLE", "title"),
        ("titel", "title"),
        ("begin_date", "begindate"),
        ("contactids", "contactIds"),
        ("UF_CRM_TAGS", "ufCrm_tags"),
        ("phone", "PHONE"),
        ("Email", "EMAIL"),
    ],
)
def test_the_nearest_name_is_offered(name: str, meant: str) -> None:
    """Case, blanks and a letter or two."""
    (found,) = complaints({name: "x"}, KNOWN)
    assert Flaw.UNKNOWN is found.flaw
    assert f"did you mean {meant}?" in str(found)


def test_no_name_is_offered_where_none_is_alike() -> None:
    """A guess would mislead."""
    (found,) = complaints({"ufCrm_zzzzzzzz": "x"}, KNOWN)
    assert "did you mean" not in str(found)


def test_complaints_are_bounded() -> None:
    """A thousand unknown fields are one mistake; that there are more is said."""
    found = complaints({f"x{n}": 1 for n in range(1000)}, KNOWN)
    assert MAX_COMPLAINTS + 1 == len(sentences(found))
    assert AND_MORE == sentences(found)[-1]
    assert (str(found[0]),) == sentences(found[:1])
    assert MAX_COMPLAINTS == len(sentences(found[:MAX_COMPLAINTS]))


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
    assert all(len(str(each)) < 400 for each in found)


def test_both_spellings_are_read_in_a_call_with_original_names() -> None:
    """The portal turns `ufCrm_1` into `UF_CRM_1`; a misspelt original is still unknown."""
    known = {"UF_CRM_1": Field("string")}
    assert [] == complaints({"ufCrm_1": "x", "UF_CRM_1": "x"}, known, original_names=True)
    assert 1 == len(complaints({"UF_CRM_2": "x"}, known, original_names=True))
    assert 1 == len(complaints({"ufCrm_1": 2**64}, known, original_names=True))
    assert [] == complaints({"ufCrm_2": "x"}, known, original_names=True)


NAMES = ["title", "comments", "fm", "ufCrm1", "UF_CRM_1", "originId"]
VALUES: list[object] = [
    None,
    True,
    False,
    1,
    10**16,
    0.5,
    Decimal("1017.5"),
    Decimal("1e400"),
    "",
    "x",
    "Y",
    "1",
]
VALUES += ["x" * 256, "2026-12-24T08:00:00+00:00", "2026-02-31T08:00:00", "2026-12-24", "tomorrow"]
VALUES += [[], ["x"], [1, 2], ["Y", "x"], [[1]], {}, {"a": 1}]
KINDS = ["string", "integer", "double", "boolean", "date", "datetime", "money", "enumeration"]
KINDS += ["file", "user"]


def test_the_quick_look_hides_no_complaint() -> None:
    """What is passed over at a glance has nothing wrong with it when looked at in full."""
    for name, value, kind, multiple, read_only in product(
        [*NAMES, "PHONE", "id"], VALUES, KINDS, [False, True], [False, True]
    ):
        field = Field(kind, multiple, frozenset({"1"}), read_only)
        if fields._is_plain(name, value, field):  # noqa: SLF001 - the shortcut against the whole
            assert [] == list(fields._of(name, value, field, {name: field}))  # noqa: SLF001 - as above
