"""Proves that notes that are read again change only what they say otherwise."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from service.domain.last_words import EVENT_BYTES, LastWord, LastWords, Word
from service.domain.rereading import Rereading
from tests.unit.domain.test_last_words import event, said, words

EVENTS = 5_000
MANY = [said(0)._replace(event=number.to_bytes(EVENT_BYTES, "big")) for number in range(EVENTS)]


def test_what_only_we_still_know_stands_and_what_was_said_later_counts() -> None:
    """A killed broker forgets the end of a stream."""
    known = LastWords(10)
    known.say(said(1, Word.IMPORTED, 5.0))
    known.say(said(2, Word.IN_CALL, 5.0))
    known.say(said(4, Word.IN_CALL, 5.0))
    again = Rereading(known)
    again.say(said(1, Word.IN_CALL, 4.0))
    again.say(said(2, Word.NOT_THERE, 6.0))
    again.say(said(3))
    assert said(2, Word.IN_CALL, 5.0) == known.of(event(2))  # nothing changes before the end
    again.end()
    assert [Word.IMPORTED, Word.NOT_THERE, Word.IMPORTED, Word.IN_CALL] == [
        word.word for n in (1, 2, 3, 4) if (word := known.of(event(n)))
    ]


def test_a_set_back_that_is_read_again_counts() -> None:
    """The latest of all; one that was read none changes nothing."""
    known = LastWords(10)
    Rereading(known).end()
    assert known.set_back_at is None
    again = Rereading(known)
    again.set_back(7.0)
    again.set_back(3.0)
    again.end()
    assert 7.0 == known.set_back_at


def test_the_word_before_is_told_as_far_as_it_differs_from_what_is_known() -> None:
    """Nobody waits for it while notes are read again."""
    known = LastWords(10)
    known.say(said(1))
    again = Rereading(known)
    assert again.say(said(1)) is None
    assert again.say(said(1, at=2.0)) is None
    assert said(1, at=2.0) == again.say(said(1, at=3.0))


def test_a_note_counts_more_than_the_page_before_it() -> None:
    """Also with an earlier word: a process took its call back."""
    known = LastWords(10)
    again = Rereading(known)
    again.recall([said(1, at=5.0)])
    again.say(said(1, at=4.0))
    again.recall([said(1, at=6.0)])
    again.end()
    assert said(1, at=4.0) == known.of(event(1))


pages = st.lists(words, unique_by=lambda word: word.event)
steps = st.lists(st.one_of(words, pages), max_size=12)


@given(st.lists(words), steps)
def test_it_ends_as_a_reading_from_nothing_that_takes_what_was_known(
    before: list[LastWord], heard: list[LastWord | list[LastWord]]
) -> None:
    """Of two words on an event the later one counts, of one moment that of the notes."""
    known, ours, fresh = LastWords(100), LastWords(100), LastWords(100)
    for word in before:
        known.say(word)
        ours.say(word)
    again = Rereading(known)
    for step in heard:
        for reader in (again, fresh):
            if isinstance(step, list):
                reader.recall(step)
            else:
                reader.say(step)
    again.end()
    fresh.absorb(ours)
    of_all = {word.event for step in [before, *heard] for word in _listed(step)}
    assert {key: fresh.of(key) for key in of_all} == {key: known.of(key) for key in of_all}


def _listed(step: LastWord | list[LastWord]) -> list[LastWord]:
    return [step] if isinstance(step, LastWord) else step


def test_what_is_known_is_not_held_again() -> None:
    """It happens at each new connection: held twice, fifty thousand words would take 20 MiB."""
    known = LastWords(EVENTS)
    for word in MANY:
        known.say(word)
    again = Rereading(known)
    tracemalloc.start()
    again.recall(reversed(MANY))
    again.say(MANY[7]._replace(word=Word.NOT_THERE, at=2.0))
    again.end()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000
    assert MANY[7]._replace(word=Word.NOT_THERE, at=2.0) == known.of(MANY[7].event)
