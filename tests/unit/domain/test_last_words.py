"""Proves which word on an event counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.events import NO_PAIR, ExternalId, Identity, event_digest, pair_digest
from service.domain.last_words import (
    EVENT_BYTES,
    MAX_TYPES,
    RECORD_BYTES,
    LastWord,
    LastWords,
    Word,
    unpacked,
)

words = st.builds(
    LastWord,
    event=st.sampled_from([bytes([n]) * EVENT_BYTES for n in range(6)]),
    word=st.sampled_from(Word),
    entity_type_id=st.integers(1, 2**31 - 1),
    at=st.floats(0, 4e9),
    writer=st.integers(0, 2**64 - 1),
    item_id=st.integers(0, 2**64 - 1),
    pair=st.binary(min_size=16, max_size=16),
    profile=st.binary(min_size=8, max_size=8),
    body=st.binary(min_size=8, max_size=8),
    stale=st.booleans(),
)


def said(event: int, word: Word = Word.IMPORTED, at: float = 1.0, *, item_id: int = 0) -> LastWord:
    """Return a word on the event of a number."""
    return LastWord(bytes([event]) * EVENT_BYTES, word, 2, at, 1, item_id)


def event(number: int) -> bytes:
    """Return the digest of the event of a number."""
    return said(number).event


def test_what_one_process_said_is_told_the_oldest_first() -> None:
    """From a time on; nothing of what others said. A page names the newest of all first."""
    known = LastWords(100)
    for word in (
        said(1, at=1.0),
        said(2, at=5.0),
        said(3, at=6.0)._replace(writer=2),
        said(4, at=7.0),
    ):
        known.say(word)
    assert [event(2), event(4)] == [word.event for word in known.said_by(1, 5.0)]
    assert [event(4), event(3), event(2)] == known.newest_events(3)


def test_newest_items_are_kept_of_a_bounded_number_of_types() -> None:
    """Whatever comes: the types that were seen first have theirs."""
    known = LastWords(1000)
    for number in range(MAX_TYPES + 1):
        digest = number.to_bytes(EVENT_BYTES, "big")
        known.say(LastWord(digest, Word.IMPORTED, 128 + number, 1.0, 1, item_id=7))
    kept = [len(known.recent(128 + number)) for number in range(MAX_TYPES + 1)]
    assert [1] * MAX_TYPES + [0] == kept


@given(words)
def test_a_word_survives_its_record(word: LastWord) -> None:
    """Byte for byte, also behind another one."""
    record = word.packed()
    assert RECORD_BYTES == len(record)
    assert [word, word] == unpacked(record * 2)


@pytest.mark.parametrize("record", [bytes(RECORD_BYTES - 1), bytes(RECORD_BYTES)])
def test_what_is_no_record_is_refused(record: bytes) -> None:
    """Too short, or a word that does not exist."""
    with pytest.raises(ValueError, match=r".+"):
        unpacked(record)


@given(st.lists(words))
def test_the_last_word_on_an_event_counts(spoken: list[LastWord]) -> None:
    """Whatever was said before, and whoever said it."""
    known = LastWords(100)
    for word in spoken:
        earlier = [each for each in spoken[: spoken.index(word)] if each.event == word.event]
        before = known.say(word)
        assert earlier or before is None or before in spoken
    last = {word.event: word for word in spoken}
    assert last == {key: known.of(key) for key in last}


def test_a_page_fills_in_what_was_not_said_after_it() -> None:
    """The newest word of the page on an event counts."""
    known = LastWords(10)
    known.say(said(1, Word.NOT_THERE, 5.0))
    known.recall([said(2, Word.IMPORTED, 3.0), said(2, Word.IN_CALL, 2.0), said(1, at=2.0)])
    assert [Word.NOT_THERE, Word.IMPORTED] == [
        word.word for n in (1, 2) if (word := known.of(event(n)))
    ]


@given(st.lists(words), st.lists(words))
def test_a_page_counts_less_than_what_was_said_after_it(
    page: list[LastWord], spoken: list[LastWord]
) -> None:
    """It is read after them, and tells of the time before."""
    known = LastWords(100)
    for word in spoken:
        known.say(word)
    known.recall(page)
    newest = {word.event: word for word in reversed(page)} | {w.event: w for w in spoken}
    assert newest == {key: known.of(key) for key in newest}


def test_a_second_reading_keeps_what_only_we_still_know() -> None:
    """A killed broker forgets the end of a stream: of two words the later one counts."""
    ours, read = LastWords(10), LastWords(10)
    ours.say(said(1, Word.IMPORTED, 5.0))
    ours.say(said(2, Word.IN_CALL, 5.0))
    read.say(said(1, Word.IN_CALL, 4.0))
    read.say(said(2, Word.NOT_THERE, 6.0))
    read.say(said(3))
    read.absorb(ours)
    assert [Word.IMPORTED, Word.NOT_THERE, Word.IMPORTED] == [
        word.word for n in (1, 2, 3) if (word := read.of(event(n)))
    ]


def test_the_owner_of_an_item_is_known_while_its_event_is() -> None:
    """By type and number."""
    known = LastWords(10)
    known.say(said(1, item_id=15))
    owner = known.owner(2, 15)
    assert owner is not None
    assert event(1) == owner.event
    assert known.owner(3, 15) is None
    known.say(said(1, Word.IN_CALL, item_id=0))
    assert known.owner(2, 15) is None


def test_after_a_set_back_older_words_are_stale_and_no_witnesses() -> None:
    """They are a reason to ask, no answer."""
    known = LastWords(10)
    known.say(said(1, at=1.0, item_id=1))
    known.set_back(2.0)
    known.say(said(2, at=3.0, item_id=2))
    assert [True, False] == [word.stale for n in (1, 2) if (word := known.of(event(n)))]
    assert [2] == [word.item_id for word in known.recent(2)]


def test_witnesses_are_the_newest_items_of_a_type() -> None:
    """The newest first, a few of them."""
    known = LastWords(100)
    for number in range(20):
        known.say(said(number, item_id=number))
    assert [19, 18] == [word.item_id for word in known.recent(2)][:2]
    assert [] == known.recent(3)


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    """At least so many are known, and not many more."""
    known = LastWords(100)
    for number in range(1000):
        digest = event_digest(Identity(2, str(number)))
        known.say(LastWord(digest, Word.IMPORTED, 2, float(number), 1, number))
    assert 100 <= len(known) <= 130
    known.read_from = 0.0
    oldest = known.complete_since()
    assert oldest is not None
    assert oldest >= 860
    assert 999 == next(iter(known.newest_first())).item_id


def test_every_word_is_known_since_the_first_note_that_was_read() -> None:
    """Also where nothing was said; a page tells words of before; what was forgotten counts."""
    known = LastWords(100)
    assert known.complete_since() is None
    known.say(said(1, at=50.0))
    assert 50.0 == known.complete_since()
    known.read_from = 20.0
    assert 20.0 == known.complete_since()
    paged = LastWords(100)
    paged.read_from = 20.0
    assert 20.0 == paged.complete_since()
    paged.recall([said(2, at=10.0)])
    assert 10.0 == paged.complete_since()


def test_digests_tell_events_and_pairs_apart() -> None:
    """By type and id; by field, value and originator."""
    assert event_digest(Identity(1, "2 x")) != event_digest(Identity(12, "x"))
    assert event_digest(Identity(1, "x")) != event_digest(Identity(2, "x"))
    assert event_digest(Identity(2, "\ud800"))
    pairs = {
        pair_digest(ExternalId("originId", "a", "b")),
        pair_digest(ExternalId("originId", "ab", None)),
        pair_digest(ExternalId("xmlId", "a", "b")),
        pair_digest(None),
    }
    assert 4 == len(pairs)
    assert NO_PAIR in pairs


def test_what_another_reading_knows_of_a_portal_set_back_is_taken_with_it() -> None:
    """The later of the two counts."""
    first, second = LastWords(10), LastWords(10)
    second.set_back(7.0)
    first.absorb(second)
    first.set_back(3.0)
    assert 7.0 == first.set_back_at


def test_words_are_complete_from_the_oldest_on() -> None:
    """From none where there is none."""
    kept = LastWords(10)
    assert kept.complete_since() is None
    kept.say(said(1, at=5.0))
    assert 5.0 == kept.complete_since()


def test_a_time_that_is_no_number_is_no_word() -> None:
    """Else every comparison with it would be false."""
    with pytest.raises(ValueError, match="no time"):
        unpacked(said(1, at=float("nan")).packed())


def test_what_one_process_said_since_a_time_is_told_oldest_first() -> None:
    """What others said, or said later of the same event, is not its."""
    words = LastWords(9)
    other = said(3, at=7.0)._replace(writer=2)
    for each in (said(1, at=4.0), said(2, at=6.0), other, said(4, at=8.0)):
        words.say(each)
    words.say(said(2, Word.UNKNOWN, at=9.0)._replace(writer=2))
    assert [said(4, at=8.0)] == words.said_by(1, 5.0)
    assert [said(1, at=4.0), said(4, at=8.0)] == words.said_by(1, 4.0)


def test_a_word_that_is_read_back_counts_once() -> None:
    """Whoever notes a word knows it already; the same item is one witness, not two."""
    known = LastWords(10)
    imported = said(1, item_id=5)
    assert known.say(imported) is None
    assert imported == known.say(imported)
    assert [imported] == known.recent(2)
