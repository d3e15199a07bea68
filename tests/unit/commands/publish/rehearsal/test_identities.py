"""Ids in one file: what comes again becomes one item, what shares an external id is told."""

import json

from service.commands.publish.json_lines import event_of
from service.commands.publish.records import Place, Record
from service.commands.publish.rehearsal.identities import Identities
from service.commands.publish.rehearsal.verdicts import Level
from service.domain.external_id import ExternalIds
from service.rabbit.decoding import Decoder

DECODER = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=10_000)


def record(line: int, event_id: str | None, **fields: object) -> Record:
    """Return a good event on a line."""
    body = {"entityTypeId": 2, "fields": {"title": "x", **fields}}
    if event_id is not None:
        body["id"] = event_id
    found = event_of(Place.at(line), json.dumps(body).encode(), DECODER, None)
    assert isinstance(found, Record)
    return found


def levels(identities: Identities, *records: Record) -> list[list[Level]]:
    """Return what is found of each event, one after the other."""
    found = []
    for each in records:
        found.append([finding.level for finding in identities.findings(each)])
        identities.is_new(each)
    return found


def test_an_id_that_comes_again_is_told() -> None:
    """With other content it loses that; with the same it is a repeat."""
    found = levels(
        Identities(), record(1, "a"), record(2, "a"), record(3, "a", title="y"), record(4, "b")
    )
    assert [[], [Level.NOTE], [Level.LOSS], []] == found


def test_equal_bodies_without_an_id_are_one_event() -> None:
    """As the importer counts them."""
    identities = Identities()
    assert [[], [Level.NOTE]] == levels(identities, record(1, None), record(2, None))
    assert not identities.is_new(record(3, None))


def test_a_brought_external_id_that_two_events_share_is_told() -> None:
    """After a lost answer the item of one would be taken for the other's."""
    (first, second, third) = levels(
        Identities(),
        record(1, "a", originId="same"),
        record(2, "b", originId="same"),
        record(3, "c", originId="other"),
    )
    assert ([], [Level.LOSS], []) == (first, second, third)


def test_what_is_remembered_is_bounded() -> None:
    """The oldest is forgotten."""
    identities = Identities(remembered=2)
    levels(identities, record(1, "a"), record(2, "b"), record(3, "c"))
    assert [[], [Level.NOTE]] == levels(identities, record(4, "a"), record(5, "c"))
