"""Proves that a CSV of very many columns is read in a time that grows with them alone."""

import pytest

from service.commands.publish.csv_events import of_csv
from service.commands.publish.header import Table
from service.commands.publish.lines import Lines
from service.commands.publish.records import Note, Record
from service.domain.external_id import ExternalIds
from service.factories import CannotStart
from service.rabbit.decoding import Decoder
from tests.support.clocks import least_seconds

COLUMNS = 20_000
MOST = 2_000_000
SECONDS = 5.0
STRANGERS = b",".join(b"c%d" % number for number in range(COLUMNS))
ROWS = (b"\n" + b",".join([b"1"] * (COLUMNS + 1))) * 2


def read(content: bytes) -> list[object]:
    """Read CSV of deals."""
    decoder = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=MOST)
    return [*of_csv(Lines(iter([content]), MOST), decoder, Table(2))]


def test_very_many_columns_are_read_in_time_and_the_first_are_named() -> None:
    """A spreadsheet may have tens of thousands: each costs little."""
    content = b"title," + STRANGERS + ROWS
    found = read(content)
    assert 2 == sum(isinstance(each, Record) for each in found)
    notes = [each.text for each in found if isinstance(each, Note)]
    assert any(f'"c9" and {COLUMNS - 10} more' in note for note in notes)
    assert least_seconds(lambda: read(content), enough=SECONDS) < SECONDS


def test_very_many_strange_columns_are_refused_in_time() -> None:
    """Nothing of them can be a field of the type."""

    def refused() -> None:
        with pytest.raises(CannotStart, match=f"and {COLUMNS - 9} more"):
            read(b"x," + STRANGERS + ROWS)

    assert least_seconds(refused, enough=SECONDS) < SECONDS
