"""Proves when an event counts as found, and how what is known of it is shown."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.commands.find.places import DeadLetter, Found, Hidden, Item, Waits
from service.commands.find.showing import as_json, show
from service.domain.events import ExternalId, Reference
from service.domain.last_words import LastWord, Word

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = AT.timestamp()
ID = ExternalId("originId", "e", "crm-importer")


def word(said: Word, *, at: float = NOW, stale: bool = False) -> LastWord:
    """Return a word on the event."""
    return LastWord(b"e" * 16, said, 2, at, 7, 4711 if said is Word.IMPORTED else 0, stale=stale)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (word(Word.IMPORTED), True),
        (word(Word.IMPORTED, stale=True), False),
        (word(Word.IN_CALL), True),
        (word(Word.IN_CALL, at=NOW - 200), False),
        (word(Word.UNKNOWN), False),
        (word(Word.NOT_THERE), False),
        (word(Word.LET_GO), False),
    ],
)
def test_the_memory_alone_finds_what_is_imported_or_in_a_call_now(
    said: LastWord, *, expected: bool
) -> None:
    """Everything else says what was, and not where the event is."""
    found = Found("e", None, in_call_after=NOW - 100, words=[said])
    assert expected == found.is_found


def test_everything_is_shown_and_told_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Where, what, since when; what was asked, what was refused, what was not seen."""
    found = Found(
        "e",
        None,
        items=[Item(2, 4711, ID), Item(7, 12, None)],
        letters=[DeadLetter(None, "malformed", "NOT_JSON", "no JSON", AT, 1)],
        waiting=[Waits("q.2", 2, "scope", AT, AT, 3.5, AT)],
        words=[word(Word.IMPORTED), word(Word.UNKNOWN)],
        asked=[2, 3],
        unaskable=[7],
        refused={4: "ACCESS_DENIED"},
        problem="",
        hidden=[Hidden("the intake queue q", "only the importer can read it", 5)],
    )
    show(found)
    out = capsys.readouterr().out
    for told in (
        "item 4711 carries originId e of crm-importer",
        "item 12, asked for by its number",
        "malformed, NOT_JSON: no JSON",
        "waits for its lane (scope), in q.2; a call may have sent it",
        "imported as item 4711",
        "a call sent it, and the outcome is unknown",
        "asked for items of types 2, 3 by the external id",
        "cannot be asked for items of type 7 by the external id: there is none",
        "does not show items of type 4: ACCESS_DENIED",
        "not seen: the intake queue q (5 messages): only the importer can read it",
        "crm-importer dlq show e",
    ):
        assert told in out
    document = json.loads(json.dumps(as_json(found)))
    assert (True, [2, 3], [7]) == (
        document["found"],
        document["asked"]["types"],
        document["asked"]["withoutExternalId"],
    )
    assert ("2026-03-01T12:00:00Z", True) == (
        document["parked"][0]["parkedAt"],
        document["parked"][0]["perhapsSent"],
    )


def test_what_a_waiting_event_refers_to_is_named_with_the_way_to_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It waits since it was received, however often it was looked at; a few names are enough."""
    links = tuple(Reference(3, f"customer {number}") for number in range(7))
    before = AT - timedelta(days=2)
    waits = Waits("q.links", 2, "link", before, AT, 3.5, None, links)
    show(Found("e", None, waiting=[waits, waits]))
    out = capsys.readouterr().out
    assert "it refers to 3/customer 0: crm-importer find 'customer 0' --type=3" in out
    assert ("customer 4:" in out, "customer 5:" in out) == (True, False)
    assert "it refers to 2 more" in out
    [told, _] = as_json(Found("e", None, waiting=[waits, waits]))["parked"]
    assert ("2026-02-27T12:00:00Z", 7) == (told["receivedAt"], len(told["refersTo"]))
    show(Found("e", None, waiting=[replace(waits, reason="scope")]))
    assert "refers to" not in capsys.readouterr().out


def test_an_item_that_the_portal_shows_no_more_is_told_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The memory remembers it; the portal was asked, and shows none."""
    imported = word(Word.IMPORTED)
    show(Found("e", None, words=[imported], asked=[2], gone=[imported]))
    assert "the portal does not show it now" in capsys.readouterr().out
    show(Found("e", None, words=[imported], asked=[2]))
    assert "the portal does not show it now" not in capsys.readouterr().out


def test_only_items_that_nobody_saw_are_asked_for_by_number() -> None:
    """Those of the words that are true now, of types that the portal tells of."""
    words = [word(Word.IMPORTED), word(Word.UNKNOWN), word(Word.IMPORTED, stale=True)]
    assert words[:1] == Found("e", None, words=words).not_shown
    assert [] == Found("e", None, words=words, items=[Item(2, 4711, ID)]).not_shown
    assert words[:1] == Found("e", None, words=words, items=[Item(3, 4711, ID)]).not_shown
    assert [] == Found("e", None, words=words, refused={2: "ACCESS_DENIED"}).not_shown


def test_an_id_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever upstream calls its events."""
    show(Found("e\x1b[2J", None, letters=[DeadLetter(2, "rejected", "", "\x1b[1m", AT, 0)]))
    assert "\x1b" not in capsys.readouterr().out
