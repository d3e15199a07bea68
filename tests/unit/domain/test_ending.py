"""Proves how an event ends that an operator takes from where it waits, and what is noted of it."""

import pytest

from service.domain.ending import CODE, ended, is_imported, note_on
from service.domain.events import ExternalId, ItemEvent, event_digest
from service.domain.last_words import LastWord, Word, word_on
from service.domain.outcomes import FailureKind

NOW, PROOF = 1_000_000.0, 135.0
EVENT = ItemEvent(2, "e", memoryview(b"{}"), original_names=False, digest="d")
DEAL = ItemEvent(
    2,
    "e",
    memoryview(b"{}"),
    original_names=False,
    digest="d",
    external_id=ExternalId("originId", "e", "crm-importer"),
)


def word(said: Word, *, at: float = NOW - 1000, stale: bool = False) -> LastWord:
    """Return a word on the event."""
    return LastWord(event_digest(EVENT.identity), said, 2, at, 7, stale=stale)


@pytest.mark.parametrize(
    ("perhaps_sent", "said", "stale", "kind"),
    [
        (False, None, False, FailureKind.REJECTED),
        (False, Word.NOT_THERE, False, FailureKind.REJECTED),
        (False, Word.LET_GO, False, FailureKind.REJECTED),
        (False, Word.NOT_THERE, True, FailureKind.REJECTED),
        (False, Word.IN_CALL, False, FailureKind.AMBIGUOUS),
        (False, Word.UNKNOWN, False, FailureKind.AMBIGUOUS),
        (False, Word.IMPORTED, True, FailureKind.AMBIGUOUS),
        (True, None, False, FailureKind.AMBIGUOUS),
        (True, Word.NOT_THERE, False, FailureKind.AMBIGUOUS),
    ],
)
def test_what_may_have_been_sent_ends_as_ambiguous(
    said: Word | None, kind: FailureKind, *, perhaps_sent: bool, stale: bool
) -> None:
    """By its message or by the memory; everything else was never sent, and is rejected."""
    last = None if said is None else word(said, stale=stale)
    failed = ended("scope", perhaps_sent=perhaps_sent, word=last)
    assert (kind, CODE, None) == (failed.kind, failed.code, failed.http_status)
    assert "scope" in failed.message


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (None, False),
        (word(Word.IMPORTED), True),
        (word(Word.IMPORTED, stale=True), False),
        (word(Word.NOT_THERE), False),
    ],
)
def test_what_is_imported_does_not_end_as_failed(last: LastWord | None, *, expected: bool) -> None:
    """Unless the portal was set back since."""
    assert expected == is_imported(last)


def test_a_call_that_may_be_at_work_keeps_its_note() -> None:
    """It is of another message of this id; what we say must not hide it."""
    young = word(Word.IN_CALL, at=NOW - PROOF + 1)
    for event in (EVENT, DEAL):
        assert note_on(event, young, look_at=NOW, proof=PROOF, now=NOW) is None


def test_without_an_external_id_an_ambiguous_event_is_let_go() -> None:
    """A new publish of it is a new try."""
    for last in (None, word(Word.UNKNOWN), word(Word.IN_CALL)):
        assert (Word.LET_GO, NOW) == note_on(EVENT, last, look_at=NOW, proof=PROOF, now=NOW)


def test_with_an_external_id_it_stays_unknown() -> None:
    """From the time on at which a look-up proves something; what says so already is enough."""
    later = NOW + 50
    noted = note_on(DEAL, None, look_at=later, proof=PROOF, now=NOW)
    assert (Word.UNKNOWN, later - PROOF) == noted
    assert noted == note_on(DEAL, word(Word.NOT_THERE), look_at=later, proof=PROOF, now=NOW)
    for said in (Word.UNKNOWN, Word.IN_CALL):
        assert note_on(DEAL, word(said), look_at=NOW, proof=PROOF, now=NOW) is None


def test_a_word_names_the_event_and_no_item() -> None:
    """As the importer itself would say it."""
    said = word_on(DEAL, Word.UNKNOWN, NOW, 3)
    assert (event_digest(DEAL.identity), 2, 0, 3) == (
        said.event,
        said.entity_type_id,
        said.item_id,
        said.writer,
    )
