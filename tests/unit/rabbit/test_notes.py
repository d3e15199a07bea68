"""Tests what a note may do to whoever reads it, whatever stands in it."""

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiormq import Channel
from aiormq.abc import DeliveredMessage

from service.domain.events import Identity, event_digest
from service.domain.last_words import LastWord, LastWords, Word
from service.rabbit import memory_reading, notes
from service.rabbit.memory_reading import Reading
from service.rabbit.notes import Note, NoteKind, Owner
from service.telemetry import steady

OWNER = Owner("portal.example", "crm-importer")
OFFSET = 40
HOUR = 3600.0
WORD = LastWord(event_digest(Identity(2, "a")), Word.IN_CALL, 2, float(int(time.time())), 7)
WORDS = Note(NoteKind.WORDS, WORD.at, 7, (WORD,))
PAGE = Note(NoteKind.PAGE, WORD.at, 7, (WORD,), number=OFFSET, part=1, parts=2)


def message(note: Note, *, body: bytes | None = None, page: int | None = None) -> DeliveredMessage:
    """Return the message of a note, as it comes from the stream."""
    properties = notes.properties(note, OWNER, page=page, message_id="m")
    assert properties.headers is not None
    properties.headers["x-stream-offset"] = OFFSET
    content = notes.body(note) if body is None else body
    header = SimpleNamespace(properties=properties)
    return cast("DeliveredMessage", SimpleNamespace(header=header, body=content, delivery_tag=1))


def word_in(ours: Reading) -> LastWord | None:
    """Return what was read of the event."""
    assert isinstance(ours.words, LastWords)
    return ours.words.of(WORD.event)


def reading(*, follows: bool = False) -> Reading:
    """Return what one channel has read."""
    made = Reading(cast("Channel", None), "memory", OWNER, LastWords(100), lambda _: None)
    made.follows = follows
    return made


NAN = WORD._replace(at=float("nan")).packed()


@pytest.mark.parametrize(
    "bad",
    [
        {"note": replace(PAGE, number=OFFSET + 1)},
        {"note": replace(PAGE, part=3)},
        {"note": replace(PAGE, part=0)},
        {"note": replace(PAGE, parts=10**9)},
        {"note": WORDS, "body": WORD.packed() * 20_000},
        {"note": WORDS, "body": NAN},
    ],
    ids=("beyond its end", "no such part", "part 0", "endless page", "huge", "no time"),
)
def test_what_no_writer_of_ours_says_is_no_note(bad: dict[str, Any]) -> None:
    """It would cost memory or time, or have everybody wait for what was never written."""
    assert notes.read(message(bad.pop("note"), **bad), OWNER).note is None
    assert notes.read(message(PAGE), OWNER).note == PAGE


@pytest.mark.parametrize(
    "owner", [Owner("other.example", "crm-importer"), Owner("portal.example", "another")]
)
def test_a_note_for_another_portal_or_originator_is_none_of_ours(owner: Owner) -> None:
    """Two importers share a broker: event 5 of one is not event 5 of the other."""
    read = notes.read(message(WORDS, page=OFFSET), owner)
    assert (None, OFFSET) == (read.note, read.page)


@pytest.mark.parametrize(("page", "read"), [(OFFSET, OFFSET), (OFFSET + 1, None), (2**62, None)])
def test_no_note_leads_beyond_itself(page: int, read: int | None) -> None:
    """A reader that began there would read nothing, and so would all after it."""
    assert read == notes.read(message(WORDS, page=page), OWNER).page


async def test_pages_that_are_never_whole_take_no_memory() -> None:
    """Their writers were killed; the rest never comes."""
    ours = reading()
    for writer in range(50):
        await ours._receive(message(replace(PAGE, writer=writer)))  # noqa: SLF001 - its one task
    assert memory_reading.MAX_PAGES == len(ours._parts)  # noqa: SLF001
    await ours._receive(message(replace(PAGE, writer=49, part=2)))  # noqa: SLF001
    assert ours.met_page
    assert word_in(ours) is not None


@pytest.mark.parametrize("met", [False, True])
async def test_a_page_is_held_only_where_it_tells_anything(*, met: bool) -> None:
    """Who follows since an earlier one knows its words already; there are fifty thousand."""
    ours, page = reading(follows=True), replace(PAGE, at=time.time())
    ours.met_page = met
    await ours._receive(message(page))  # noqa: SLF001
    [parts] = ours._parts.values()  # noqa: SLF001
    assert {1: b"" if met else notes.body(page)} == parts
    await ours._receive(message(replace(page, part=2)))  # noqa: SLF001
    assert (0, met) == (ours.since_page, word_in(ours) is None)


@pytest.mark.parametrize("follows", [False, True])
@pytest.mark.parametrize("ahead", [-HOUR, -2.0, 0.0, HOUR, 1e9])
async def test_times_of_others_count_by_our_clock(ahead: float, *, follows: bool) -> None:
    """A call that is noted now is under way now, whatever its writer's clock shows."""
    ours, now = reading(follows=follows), time.time()
    said = replace(WORDS, at=now + ahead, words=(WORD._replace(at=now + ahead - 10.0),))
    await ours._receive(message(said))  # noqa: SLF001
    word = word_in(ours)
    assert word is not None
    old = ahead < -2.0 and not follows
    assert word.at == pytest.approx(now - 10.0 + (ahead if old else 0.0), abs=4.0)


@pytest.mark.parametrize("step", [-HOUR, HOUR])
async def test_a_clock_that_somebody_sets_moves_no_time_that_was_read(
    monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """A call that was just noted is so still; what is noted afterwards shows both times."""
    ours, now = reading(follows=True), time.time()
    await ours._receive(message(replace(WORDS, at=now, words=(WORD._replace(at=now),))))  # noqa: SLF001
    monkeypatch.setattr(time, "time", lambda: now + step)
    word = word_in(ours)
    assert word is not None
    assert steady.time() - word.at == pytest.approx(0.0, abs=4.0)
    written = Note(NoteKind.WORDS, steady.time(), 1, (word,)).moved(-steady.ahead())
    assert written.at == pytest.approx(now + step, abs=4.0)
    later = replace(WORDS, at=now + step, words=(WORD._replace(at=now + step),))
    await ours._receive(message(later))  # noqa: SLF001
    word = word_in(ours)
    assert word is not None
    assert word.at == pytest.approx(now, abs=4.0)
