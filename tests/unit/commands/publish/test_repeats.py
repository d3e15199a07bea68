"""Proves that an id that comes again with other content is noticed, within bounds."""

import pytest

from service.commands.publish.records import Place, Record, judged
from service.commands.publish.repeats import Repeats
from service.domain.external_id import ExternalIds
from service.rabbit.decoding import Decoder

DECODER = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=10_000)


def record(line: int, event_id: str, title: str = "x", entity_type: int = 2) -> Record:
    """Return an item event of a line; without an id where that is empty."""
    named = f'"id":"{event_id}",' if event_id else ""
    body = f'{{"entityTypeId":{entity_type},{named}"fields":{{"title":"{title}"}}}}'
    found = judged(Place.at(line), body.encode(), "application/json", DECODER)
    assert isinstance(found, Record)
    return found


def test_an_id_with_other_content_names_the_line_before() -> None:
    """The same content again is a repeat, and does no harm."""
    repeats = Repeats()
    assert repeats.warning(record(2, "a")) is None
    assert repeats.warning(record(3, "a")) is None
    warning = repeats.warning(record(4, "a", "y"))
    assert warning is not None
    assert warning.startswith("the id a is already on line 2, with other content")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (record(1, "a"), record(2, "b", "y")),
        (record(1, "a"), record(2, "a", "y", entity_type=3)),
        (record(1, ""), record(2, "", "y")),
    ],
)
def test_other_events_may_have_other_content(first: Record, second: Record) -> None:
    """Another id, another entity type, or no id at all."""
    repeats = Repeats()
    assert (None, None) == (repeats.warning(first), repeats.warning(second))


def test_no_more_ids_are_remembered_than_allowed() -> None:
    """The oldest are forgotten first."""
    repeats = Repeats(remembered=2)
    for number, event_id in enumerate("abc", start=1):
        assert repeats.warning(record(number, event_id)) is None
    assert repeats.warning(record(4, "c", "y")) is not None
    assert repeats.warning(record(5, "a", "y")) is None
