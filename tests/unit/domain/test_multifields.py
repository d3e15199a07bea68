"""Tests which values of a multifield the portal keeps."""

import pytest

from service.domain.multifields import LONGEST, lost


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("PHONE", "+49", "is not kept"),
        ("PHONE", ["+49"], "is not an object"),
        ("PHONE", [{"value": "+49"}], "no VALUE"),
        ("PHONE", [{"VALUE": True}], "is not text"),
        ("PHONE", [{"VALUE": "+49"}], "no VALUE_TYPE"),
        ("PHONE", [{"VALUE": "0", "VALUE_TYPE": "WORK"}], "counts as empty"),
        ("PHONE", [{"VALUE": 10**30 + 1, "VALUE_TYPE": "WORK"}], "more digits"),
        ("WEB", [{"VALUE": "x" * (LONGEST + 1), "VALUE_TYPE": "WORK"}], "longer than"),
        ("EMAIL", [{"VALUE": "x", "VALUE_TYPE": "WORK"}], "not an address"),
        ("PHONE", ["x", {"VALUE": "1", "VALUE_TYPE": "WORK"}], "1 of 2 values"),
    ],
)
def test_what_is_lost_of_a_multifield_is_told(name: str, value: object, why: str) -> None:
    """With the shape that is kept."""
    told = lost(name, value)
    assert told is not None
    assert why in told


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"n0": {"VALUE": "a@b", "VALUE_TYPE": "WORK"}},
        [None, "", {}, {"VALUE": " "}, {"VALUE": None}],
    ],
)
def test_nothing_is_told_where_nothing_is_lost(value: object) -> None:
    """What says nothing is no loss."""
    assert lost("EMAIL", value) is None
