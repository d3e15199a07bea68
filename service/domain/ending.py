"""Decides how an event ends that an operator takes from where it waits, and what is noted."""

from service.domain.events import ItemEvent
from service.domain.last_words import (
    LastWord,
    Word,
)
from service.domain.outcomes import Failed, FailureKind

CODE = "ENDED_BY_OPERATOR"
_NOT_THERE = (
    "an operator ended the event while it waited ({reason}); it was not imported: redrive it"
)
_PERHAPS_SENT = (
    "an operator ended the event while it waited ({reason}); a call may have sent it: look "
    "for its item in the portal before you send it again"
)


def is_imported(word: LastWord | None) -> bool:
    """Tell whether an event is in the CRM already: it must not end as failed."""
    return word is not None and word.word is Word.IMPORTED and not word.stale


def ended(reason: str, *, perhaps_sent: bool, word: LastWord | None) -> Failed:
    """Return how an event ends that waited for a reason.

    `perhaps_sent`: its message says so; `word`: the last one on it, None where there is none or
    nobody knows. Either is enough: who redrives it has it looked up then.
    """
    set_back = word is not None and word.word is Word.IMPORTED and word.stale
    if perhaps_sent or set_back or (word is not None and word.perhaps_sent):
        return Failed(FailureKind.AMBIGUOUS, CODE, _PERHAPS_SENT.format(reason=reason))
    return Failed(FailureKind.REJECTED, CODE, _NOT_THERE.format(reason=reason))


def note_on(
    event: ItemEvent, word: LastWord | None, *, look_at: float, proof: float, now: float
) -> tuple[Word, float] | None:
    """Return the word to note of an event that ended as ambiguous, and its time; None: none.

    `look_at`: from when a look-up proves something, in seconds since the epoch; `proof`: how long
    after its note a call may be at work. The note of a call that may be at work stays: it is
    another message's. What ended as never sent needs no note: without a word no call has it.
    """
    if word is not None and word.word is Word.IN_CALL and now < word.at + proof:
        return None
    if event.external_id is None:
        return Word.LET_GO, now
    if word is not None and word.perhaps_sent:
        return None
    return Word.UNKNOWN, look_at - proof
