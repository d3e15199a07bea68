"""Proves that notes that are read again change only what they say otherwise."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from service.domain.last_words import EVENT_BYTES, LastWord, LastWords, Word, unpacked
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
    again.say(said(4, Word.IN_CALL, 5.0))
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


def numbered(number: int, at: float, word: Word = Word.IMPORTED) -> LastWord:
    """Return a word on an event of a number, with an item of that number."""
    return LastWord(number.to_bytes(EVENT_BYTES, "big"), word, 2, at, 1, number)


def test_a_longer_page_pushes_nothing_newer_out() -> None:
    """Another process remembers more, or the page was written before we forgot its end."""
    known = LastWords(8)
    every = [numbered(n, float(n)) for n in range(1, 40)] + [numbered(40, 40.0, Word.IN_CALL)]
    for word in every:
        known.say(word)
    before = list(known.newest_first())
    again = Rereading(known)
    again.recall(reversed(every))
    again.end()
    assert before == list(known.newest_first())


def test_words_that_were_missed_come_in_their_order_whatever_was_forgotten() -> None:
    """They are newer than all that is known."""
    known = LastWords(8)
    every = [numbered(n, float(n)) for n in range(1, 31)]
    for word in every[:-3]:
        known.say(word)
    again = Rereading(known)
    again.recall(reversed(every))
    again.say(numbered(31, 5.0))
    again.end()
    assert [numbered(31, 5.0), *reversed(every[-3:])] == list(known.newest_first())[:4]


def test_a_page_that_was_written_after_a_set_back_moves_nothing() -> None:
    """Its old words are stale there; the newest items stay the witnesses."""
    known = LastWords(24)
    for number in range(1, 16):
        known.say(numbered(number, float(number)))
    known.set_back(15.5)
    for number in range(16, 21):
        known.say(numbered(number, float(number)))
    before = list(known.newest_first())
    again = Rereading(known)
    again.recall(unpacked(b"".join(word.packed() for word in before)))
    again.end()
    assert before == list(known.newest_first())
    assert [20, 19, 18, 17, 16] == [word.item_id for word in known.recent(2)]


def test_a_gap_is_not_called_complete() -> None:
    """While we were away more was said than the page holds."""
    known = LastWords(100)
    known.read_from = 0.0
    known.say(numbered(1, 1.0))
    again = Rereading(known)
    again.read_from = 1000.0
    again.recall(numbered(n, float(n)) for n in range(999, 949, -1))
    again.end()
    assert 950.0 == known.complete_since()
    Rereading(known).end()
    assert 0.0 == known.complete_since()


def test_a_note_counts_more_than_the_page_before_it() -> None:
    """Also with an earlier word: a process took its call back."""
    known = LastWords(10)
    again = Rereading(known)
    again.recall([said(1, at=5.0)])
    again.say(said(1, at=4.0))
    again.recall([said(1, at=6.0)])
    again.end()
    assert said(1, at=4.0) == known.of(event(1))


@st.composite
def readings(draw: st.DrawFn) -> tuple[list[LastWord], list[LastWord | list[LastWord]]]:
    """Return what is known, and what is read again: notes, and a page among them.

    No two words are of one moment.
    """
    drawn = draw(st.lists(words, min_size=1, max_size=12))
    ranks = draw(st.permutations(range(len(drawn))))
    pool = st.sampled_from(
        [word._replace(at=float(rank)) for word, rank in zip(drawn, ranks, strict=True)]
    )
    page = draw(st.lists(pool, unique_by=lambda word: word.event))
    return draw(st.lists(pool)), [*draw(st.lists(pool)), page, *draw(st.lists(pool))]


@given(readings())
def test_it_ends_as_a_reading_from_nothing_that_takes_what_was_known(
    reading: tuple[list[LastWord], list[LastWord | list[LastWord]]],
) -> None:
    """Of two words on an event the later one counts."""
    before, heard = reading
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
