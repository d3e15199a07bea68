"""Tests what is recognised of what frameworks send instead of an item event."""

import pytest

from service.domain.foreign import looks_like


@pytest.mark.parametrize(
    ("document", "meant"),
    [
        ({"messageType": [], "message": {}}, "MassTransit"),
        ({"pattern": "x", "data": {}}, "NestJS"),
        ({"EntityTypeId": 2, "Fields": {}}, "in capitals"),
        ([[], {}, {"callbacks": None, "errbacks": None}], "Celery"),
        ([{"specversion": "1.0"}], "CloudEvents batch"),
        ([{"entityTypeId": 2}], "one event a message"),
        (" {}", "encoded twice"),
    ],
)
def test_a_known_envelope_is_named_with_what_to_do(document: object, meant: str) -> None:
    """Its sender knows its name better than ours."""
    assert looks_like(document).startswith("it looks like ")
    assert meant in looks_like(document)


@pytest.mark.parametrize(
    "document", [{"entityTypeId": 2, "pattern": 1, "data": 1}, {"a": 1}, [], "x", 5]
)
def test_nothing_is_guessed_of_anything_else(document: object) -> None:
    """A wrong name would mislead."""
    assert looks_like(document) == ""
