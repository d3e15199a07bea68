"""Tests how the answer of an import is read, whatever its shape."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bitrix.answers import read_fields, read_report
from service.domain.fields import Field
from service.domain.outcomes import MISSING, Accepted, RefusalKind, Refused, Verdict

GOOD = {"item": {"id": 7}}
BAD = {"error": "CRM_FIELD_ERROR_REQUIRED", "error_description": "no title"}
REFUSED = Refused(RefusalKind.REJECTED, "CRM_FIELD_ERROR_REQUIRED", "no title")


def read(items: object, size: int) -> list[Verdict]:
    """Return the verdicts on an answer with these items."""
    return list(read_report({"result": {"items": items}, "time": {}}, size))


def test_an_answer_mirrors_the_keys_of_the_call() -> None:
    """Whatever the order in the answer."""
    assert [Accepted(7), REFUSED] == read({"m01": BAD, "m00": GOOD}, 2)


def test_a_list_is_matched_by_position() -> None:
    """Older portals may answer so."""
    assert [Accepted(7), REFUSED] == read([GOOD, BAD], 2)


@pytest.mark.parametrize("items", [[GOOD], [GOOD, BAD, GOOD], []])
def test_a_list_of_another_length_tells_nothing(items: object) -> None:
    """Nobody knows which one is missing."""
    assert [MISSING, MISSING] == read(items, 2)


def test_a_missing_key_is_missing_alone() -> None:
    """The others are what they are."""
    assert [Accepted(7), MISSING] == read({"m00": GOOD}, 2)


@pytest.mark.parametrize(
    "key",
    [
        "m02",
        "m99",
        "m2",
        "m001",
        "0",
        "M00",
        "xm00",
        "",
        "error",
        "m00\n",
        " m00",
        "m0\u0660",
        "m\u0660\u0660",
        "m0²",
    ],
)
def test_what_nobody_sent_is_ignored(key: str) -> None:
    """An answer about another item settles none of ours."""
    assert [MISSING, MISSING] == read({key: GOOD}, 2)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"result": None},
        {"result": []},
        {"result": "ok"},
        {"result": {}},
        {"result": {"items": None}},
        {"result": {"items": "m00"}},
        {"result": {"items": 7}},
    ],
)
def test_an_answer_of_another_shape_tells_nothing(answer: dict[str, Any]) -> None:
    """Everything stays in doubt."""
    assert [MISSING, MISSING] == list(read_report(answer, 2))


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        "7",
        [],
        {},
        {"item": None},
        {"item": 7},
        {"item": {}},
        {"item": {"id": None}},
        {"item": {"id": 0}},
        {"item": {"id": -7}},
        {"item": {"id": True}},
        {"item": {"id": 7.0}},
        {"item": {"id": ""}},
        {"item": {"id": "seven"}},
        {"item": {"id": "-7"}},
        {"item": {"id": "0"}},
        {"item": {"id": "²"}},
        {"item": {"id": "\u0667"}},
        {"item": {"id": "7\n"}},
        {"item": {"id": " 7"}},
        {"item": {"id": "9" * 19}},
        {"item": {"id": "9" * 5000}},
        {"item": {"id": [7]}},
    ],
)
def test_nothing_is_accepted_without_a_positive_id(entry: object) -> None:
    """The item may exist; ask."""
    assert [MISSING] == read({"m00": entry}, 1)


def test_an_id_written_as_text_is_an_id() -> None:
    """Some portals write numbers so."""
    assert [Accepted(7)] == read([{"item": {"id": "7"}}], 1)


@pytest.mark.parametrize("code", [0, "", "0", None, False])
def test_an_error_counts_by_its_presence(code: object) -> None:
    """A falsy code is a refusal that may hide a saved item."""
    (verdict,) = read([{"error": code, "error_description": "perhaps"}], 1)
    assert isinstance(verdict, Refused)
    assert (RefusalKind.REFUSED_UNCLEAR, "perhaps") == (verdict.refusal_kind, verdict.message)


@pytest.mark.parametrize("code", [None, "", 0])
def test_an_error_without_a_code_is_called_zero(code: object) -> None:
    """A failed event has a code, and "None" is none."""
    (verdict,) = read([{"error": code, "error_description": "perhaps"}], 1)
    assert Refused(RefusalKind.REFUSED_UNCLEAR, "0", "perhaps") == verdict


@pytest.mark.parametrize("depth", [1, 100, 500])
def test_an_answer_may_be_nested_as_deep_as_it_likes(depth: int) -> None:
    """Where an entry, an error or its words should be; it is no verdict that can be believed."""
    deep: object = []
    for _ in range(depth):
        deep = [deep]
    entries: list[object] = [deep, {"item": deep}, {"item": {"id": deep}}, {"error": deep}]
    entries += [{"error": 100, "error_description": deep}, GOOD]
    standings = [getattr(verdict, "refusal_kind", None) for verdict in read(entries, 6)]
    unclear, refused = RefusalKind.UNCLEAR, RefusalKind.REFUSED_UNCLEAR
    assert [unclear, unclear, unclear, refused, RefusalKind.REJECTED, None] == standings


def test_an_error_may_come_without_words() -> None:
    """Then its code is said, so that nobody looks for words that were lost."""
    said = "the portal gives no reason beside its code 100"
    assert [Refused(RefusalKind.REJECTED, "100", said)] == read([{"error": 100}], 1)


@pytest.mark.parametrize("code", ["CRM_FIELD_ERROR_REQUIRED", "ACCESS_DENIED", 0])
def test_an_error_beside_an_item_may_hide_that_it_was_saved(code: object) -> None:
    """Asking tells; a refusal stands only if it is not there."""
    (verdict,) = read([{"item": {"id": 5}, "error": code, "error_description": "no"}], 1)
    assert isinstance(verdict, Refused)
    assert RefusalKind.REFUSED_UNCLEAR is verdict.refusal_kind


def test_an_id_named_twice_is_believed_nowhere() -> None:
    """One item settles one event; asking tells which."""
    assert [MISSING, REFUSED, MISSING, Accepted(8)] == read(
        [GOOD, BAD, {"item": {"id": "7"}}, {"item": {"id": 8}}], 4
    )


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.sampled_from(["", "7", "0", "100", "ACCESS_DENIED", "m00", "\ud800", "²"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "item", "error", "items", "m00"]), inner)
    ),
    max_leaves=8,
)
IDS = st.sampled_from([1, 2, 3, "1", "2", 0, -1, None, True])
ENTRIES = JSON | st.fixed_dictionaries(
    {}, optional={"item": st.fixed_dictionaries({"id": IDS}), "error": JSON}
)
KEYS = st.integers(0, 25).map("m{:02}".format) | st.sampled_from(["0", "m1", "", "m100"])
ITEMS = st.lists(ENTRIES, max_size=22) | st.dictionaries(KEYS, ENTRIES, max_size=22) | JSON
ANSWERS = st.dictionaries(
    st.sampled_from(["result", "time", "error"]), JSON | st.fixed_dictionaries({"items": ITEMS})
)


@given(ANSWERS, st.integers(1, 20))
def test_any_answer_becomes_exactly_one_verdict_for_each_item(
    answer: dict[str, Any], size: int
) -> None:
    """It never raises, accepts only positive ids, and none twice."""
    verdicts = list(read_report(answer, size))
    assert size == len(verdicts)
    ids = [verdict.item_id for verdict in verdicts if isinstance(verdict, Accepted)]
    assert all(type(each) is int and each > 0 for each in ids)
    assert len(ids) == len(set(ids))


def test_fields_are_read_as_the_portal_describes_them() -> None:
    """An enumeration tells its ids."""
    told = {
        "title": {"type": "string", "isMultiple": False},
        "ufCrm_size": {"type": "enumeration", "isMultiple": True, "items": [{"ID": "41"}]},
        "odd": "no description",
        "ufCrm_none": {"type": "enumeration", "items": []},
        "ufCrm_nameless": {"type": "enumeration", "items": [{"VALUE": "x"}]},
    }
    assert {
        "title": Field("string"),
        "ufCrm_size": Field("enumeration", multiple=True, choices=frozenset({"41"})),
        "odd": Field(""),
        "ufCrm_none": Field("enumeration"),
        "ufCrm_nameless": Field("enumeration"),
    } == read_fields({"result": {"fields": told}})


NONE: dict[str, Any] = {"result": {"fields": {}}}


@pytest.mark.parametrize("answer", [{}, {"result": []}, {"result": {"fields": []}}, NONE])
def test_answer_without_fields_describes_none(answer: dict[str, Any]) -> None:
    """Then nobody knows them: that is not the same as no fields."""
    assert None is read_fields(answer)
