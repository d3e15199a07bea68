"""Proves that what may be missing in the memory is said again, and that a page hides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.domain.events import Identity, event_digest
from service.domain.last_words import LastWord, LastWords, Word
from service.rabbit import memory_upkeep
from service.rabbit.memory_upkeep import PAGE_AFTER_NOTES, Upkeep
from service.rabbit.notes import Note, NoteKind

OURS, THEIRS = 1, 2


def word(name: str, said: Word, at: float, writer: int = OURS) -> LastWord:
    """Return a word on an event of this name."""
    return LastWord(event_digest(Identity(2, name)), said, 2, at, writer)


@dataclass
class Stream:
    """A memory whose notes stand here in their order; it confirms until told otherwise.

    `others`: what other processes have said, known here once we have caught up.
    """

    others: list[LastWord] = field(default_factory=list)
    answers: bool = True
    confirms: int = 1_000
    writer: int = OURS
    unsure_since: float | None = None
    read_anew: bool = False

    def __post_init__(self) -> None:
        self.words = LastWords(1_000)
        self.untold: dict[tuple[NoteKind, int], None] = {}
        self.heard = SimpleNamespace(lanes={})
        self.reading: SimpleNamespace | None = SimpleNamespace(offset=9, since_page=0)
        self.notes: list[tuple[int, Note]] = []

    async def catch_up(self) -> bool:
        for each in self.others:
            self.words.say(each)
        self.others = []
        return self.answers

    def note(self, kind: NoteKind, words: Sequence[LastWord] = ()) -> Note:
        return Note(kind, 100.0, self.writer, tuple(words))

    async def send(self, note: Note, *, read_back: bool = False) -> list[LastWord] | None:
        assert self.reading is not None
        if not self.confirms:
            return None
        self.confirms -= 1
        self.reading.offset += 1
        self.notes.append((self.reading.offset, note))
        del read_back  # whoever asks for it reads nothing that stands before
        return []

    async def tell(self, kind: NoteKind, number: int = 0) -> bool:
        told = await self.send(Note(kind, 100.0, self.writer, number=number)) is not None
        if not told:
            self.untold[kind, number] = None
        return told

    async def add(self, words: Sequence[LastWord]) -> bool:
        added = await self.send(self.note(NoteKind.WORDS, words)) is not None
        if not added:
            self.unsure_since = min(each.at for each in words)
        return added

    def said(self, kind: NoteKind) -> list[tuple[int, Note]]:
        """Return the notes of a kind, each with its offset."""
        return [(at, note) for at, note in self.notes if note.kind is kind]


def upkeep_of(stream: Stream) -> Upkeep:
    """Return what keeps a stream whole."""
    return Upkeep(cast("Any", stream))


async def test_all_that_may_be_missing_is_said_again_as_far_as_nobody_said_anything_later() -> (
    None
):
    """A word of ours over a later one of another process would make a doubt of a success."""
    stream = Stream(others=[word("b", Word.IMPORTED, 60.0, THEIRS)], unsure_since=50.0)
    for each in (
        word("before", Word.IN_CALL, 40.0),
        word("a", Word.IN_CALL, 50.0),
        word("b", Word.IN_CALL, 51.0),
        word("c", Word.UNKNOWN, 52.0),
        word("theirs", Word.IN_CALL, 53.0, THEIRS),
    ):
        stream.words.say(each)
    stream.untold[NoteKind.LANE_MADE, 128] = None
    upkeep = upkeep_of(stream)
    assert upkeep.due(active=False)
    await upkeep.tend(active=False)
    again = [each for _, note in stream.said(NoteKind.WORDS) for each in note.words]
    assert [word("a", Word.IN_CALL, 50.0), word("c", Word.UNKNOWN, 52.0)] == again
    assert [128] == [note.number for _, note in stream.said(NoteKind.LANE_MADE)]
    assert not upkeep.due(active=True)


async def test_what_cannot_be_said_again_now_is_tried_later() -> None:
    """Not at once, and not never."""
    stream = Stream(unsure_since=50.0, confirms=0)
    stream.words.say(word("a", Word.IN_CALL, 50.0))
    upkeep = upkeep_of(stream)
    await upkeep.tend(active=True)
    assert (50.0, False) == (stream.unsure_since, upkeep.due(active=True))
    stream.confirms = 1
    again = upkeep_of(stream)
    assert again.due(active=True)
    await again.tend(active=True)
    assert 1 == len(stream.said(NoteKind.WORDS))
    assert stream.unsure_since is None


async def test_nothing_is_said_again_while_nobody_can_tell_what_others_said() -> None:
    """What others said since would be overwritten."""
    stream = Stream(unsure_since=50.0, answers=False)
    stream.words.say(word("a", Word.IN_CALL, 50.0))
    await upkeep_of(stream).tend(active=True)
    assert ([], 50.0) == (stream.notes, stream.unsure_since)


async def test_whoever_starts_at_a_page_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page holds all that stands before its offset; the lanes are told behind that."""
    monkeypatch.setattr(memory_upkeep, "PART_BYTES", 200)
    stream = Stream(others=[word("x", Word.IMPORTED, 60.0, THEIRS)], read_anew=True)
    stream.heard.lanes = {128: None, 130: None}
    known = [word(name, Word.IMPORTED, 50.0) for name in "abcde"]
    for each in known:
        stream.words.say(each)
    assert await upkeep_of(stream).add_page()
    pages = [note for _, note in stream.said(NoteKind.PAGE)]
    [upto] = {page.number for page in pages}
    assert {*known, word("x", Word.IMPORTED, 60.0, THEIRS)} == {w for p in pages for w in p.words}
    assert [(n + 1, len(pages)) for n in range(len(pages))] == [(p.part, p.parts) for p in pages]
    assert len(pages) > 1
    assert upto == 10
    lanes = stream.said(NoteKind.LANE_MADE)
    assert {128, 130} == {note.number for at, note in lanes if at >= upto}
    assert not stream.read_anew


@pytest.mark.parametrize("what", ["not caught up", "a part is not confirmed"])
async def test_a_page_that_is_not_whole_is_no_page(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It is added anew, some seconds later."""
    monkeypatch.setattr(memory_upkeep, "PART_BYTES", 200)
    stream = Stream(read_anew=True)
    for name in "abcde":
        stream.words.say(word(name, Word.IMPORTED, 50.0))
    if what == "not caught up":
        stream.answers = False
    else:
        stream.confirms = 1
    upkeep = upkeep_of(stream)
    await upkeep.tend(active=True)
    assert (True, False) == (stream.read_anew, upkeep.due(active=True))


@pytest.mark.parametrize("why", ["many notes", "read anew"])
def test_only_the_active_process_sums_up(why: str) -> None:
    """A stand-by may lag behind; and without a connection nobody does."""
    stream = Stream(read_anew=why == "read anew")
    assert stream.reading is not None
    stream.reading.since_page = PAGE_AFTER_NOTES if why == "many notes" else 0
    upkeep = upkeep_of(stream)
    assert (True, False) == (upkeep.due(active=True), upkeep.due(active=False))
    stream.reading = None
    assert not upkeep.due(active=True)


async def test_a_lane_is_told_of_once() -> None:
    """By whoever makes its queue first."""
    stream = Stream()
    stream.heard.lanes = {128: None}
    upkeep = upkeep_of(stream)
    for each in (128, 130):
        await upkeep.lane_made(each)
    assert [130] == [note.number for _, note in stream.said(NoteKind.LANE_MADE)]
