"""Writes and reads the notes of the memory: one AMQP message each."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from service.domain.last_words import LastWord, unpacked

FORMAT = 1
PAGE_HEADER = "page"
"""Names the offset from which a reader misses nothing; no later format changes it."""
MAX_BODY = 1_000_000
"""Longest body of a note; ours have half of it at most, and each word takes time to read."""
MAX_PARTS = 64
SAME_SECONDS = 0.1
"""Two clocks no further apart than this count as one."""
MAX_LANES = 1_000


class NoteKind(StrEnum):
    """What a note says."""

    WORDS = "words"
    """Words on events: before a call, after it."""
    PAGE = "page"
    """A part of what was known up to the offset `number`, newest first."""
    MARK = "mark"
    """Nothing: who reads it knows everything that was confirmed before."""
    ACTIVE = "active"
    """The writer is the active process."""
    LANE_MADE = "lane_made"
    """A queue for the lane of entity type `number` was made."""
    TRY_LANE = "try_lane"
    """Somebody asks to try the lane of entity type `number` at once."""
    SET_BACK = "set_back"
    """The portal came back with older data."""


TOLD_AGAIN = frozenset({NoteKind.LANE_MADE, NoteKind.SET_BACK})
"""What must not be missing: said again until the broker has confirmed it."""


@dataclass(frozen=True, slots=True)
class Note:
    """One note; `at`: seconds since the epoch; `writer`: a number of the process."""

    kind: NoteKind
    at: float
    writer: int
    words: tuple[LastWord, ...] = ()
    number: int = 0
    part: int = 1
    parts: int = 1

    def moved(self, seconds: float, latest: float = math.inf) -> "Note":
        """Return the note with all its times moved, to another clock; none is after the latest."""
        if abs(seconds) < SAME_SECONDS:
            return self
        words = (word._replace(at=min(word.at + seconds, latest)) for word in self.words)
        return replace(self, at=min(self.at + seconds, latest), words=tuple(words))


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose notes are meant: one portal, one originator; others' are skipped."""

    portal: str
    originator: str


@dataclass(frozen=True, slots=True)
class Read:
    """A message of the stream: where it stands, its page header, and its note if it is ours."""

    offset: int
    page: int | None
    message_id: str | None
    note: Note | None = field(default=None)


class Heard:
    """Passes on the notes that say no word on an event, and keeps what the next page must repeat.

    `lanes`: entity types with a queue of their own.
    """

    def __init__(self, on_note: Callable[[Note], None]) -> None:
        """Pass every note on."""
        self.lanes: dict[int, None] = {}
        self._on_note = on_note

    def __call__(self, note: Note) -> None:
        """Take a note."""
        if note.kind is NoteKind.LANE_MADE and len(self.lanes) < MAX_LANES:
            self.lanes[note.number] = None
        self._on_note(note)


def properties(note: Note, owner: Owner, *, page: int | None, message_id: str) -> Basic.Properties:
    """Return the properties of a note's message."""
    headers: dict[str, int | str] = {
        "format": FORMAT,
        "portal": owner.portal,
        "originator": owner.originator,
        "kind": str(note.kind),
        # Whole microseconds: the client library writes a float in 32 bits.
        "at": round(note.at * 1e6),
        "writer": note.writer,
        "number": note.number,
        "part": note.part,
        "parts": note.parts,
    }
    if page is not None:
        headers[PAGE_HEADER] = page
    return Basic.Properties(
        headers={**headers},
        message_id=message_id,
        delivery_mode=2,
        content_type="application/octet-stream",
    )


def body(note: Note) -> bytes:
    """Return the body of a note's message: its words, one record after another."""
    return b"".join(word.packed() for word in note.words)


def read(message: DeliveredMessage, owner: Owner) -> Read:
    """Read any message of the stream; what is not ours, or no note, has none."""
    headers = message.header.properties.headers or {}
    page = headers.get(PAGE_HEADER)
    offset = headers.get("x-stream-offset")
    place = offset if isinstance(offset, int) else 0
    note = _note(headers, message.body, owner)
    if note is not None and note.kind is NoteKind.PAGE and note.number > place:
        # A reader that followed it would wait for notes that do not exist yet.
        note = None
    return Read(
        offset=place,
        page=page if isinstance(page, int) and 0 <= page <= place else None,
        message_id=message.header.properties.message_id,
        note=note,
    )


def _note(headers: Mapping[str, object], content: bytes, owner: Owner) -> Note | None:
    mine = (FORMAT, owner.portal, owner.originator)
    if mine != tuple(headers.get(name) for name in ("format", "portal", "originator")):
        return None
    try:
        note = Note(
            kind=NoteKind(str(headers.get("kind"))),
            at=_number(headers, "at") / 1e6,
            writer=_number(headers, "writer"),
            words=_words(content),
            number=_number(headers, "number"),
            part=_number(headers, "part"),
            parts=_number(headers, "parts"),
        )
    except ValueError:
        return None
    return note if 1 <= note.part <= note.parts <= MAX_PARTS else None


def _number(headers: Mapping[str, object], name: str) -> int:
    value = headers.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(name)  # noqa: TRY004 - one error for everything that is no note
    return value


def _words(content: bytes) -> tuple[LastWord, ...]:
    if len(content) > MAX_BODY:
        raise ValueError("longer than any note")
    return tuple(unpacked(content))
