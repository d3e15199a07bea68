"""Knows the last word on every event: what the notes of all processes say of it.

The last word on an event counts, for every message of its id, in every process:

- in a call, or unknown: it may have been sent; nothing has been heard of it since;
- imported: its item is in the CRM;
- not there, let go, or no word at all: no call of ours has it.
"""

import hashlib
import math
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from service.domain.bounded_memory import Remembered
from service.domain.events import DIGEST_BYTES, NO_PAIR, ItemEvent

EVENT_BYTES = DIGEST_BYTES
PROFILE_BYTES = 8
BODY_BYTES = 8
NO_PROFILE = bytes(PROFILE_BYTES)
NO_BODY = bytes(BODY_BYTES)
TYPE_BITS = 31
"""An entity type fits into these, so that a number of it and an item is one of both."""
_RECORD = struct.Struct(">16sBIdQQ16s8s8s?")
RECORD_BYTES = _RECORD.size
"""How a word stands in a note, and in our own memory: a tuple would take four times as much."""
RECENT_ITEMS = 8
MAX_TYPES = 256
"""The newest items of this many types are kept as witnesses."""


class Word(IntEnum):
    """What a note says of an event; of two words of one moment the higher one counts."""

    IN_CALL = 1
    """A call with the event was about to leave."""
    UNKNOWN = 2
    """A call with the event left, and nobody knows what became of it."""
    NOT_THERE = 3
    """Refused, or looked up and believed absent."""
    LET_GO = 4
    """Ended as ambiguous for want of an external id; a new publish is a new try."""
    IMPORTED = 5
    """Its item is in the CRM."""


_WORDS = {int(word): word for word in Word}
PERHAPS_SENT = frozenset({Word.IN_CALL, Word.UNKNOWN})


class LastWord(NamedTuple):
    """One word on one event.

    `event`: digest of entity type and event id; `at`: when it was said, in seconds since the
    epoch (of a call: when it was about to leave); `writer`: who said it; `pair`: digest of the
    external id as it was sent; `profile`: digest of responsible person, pipeline and `opened`;
    `body`: start of the body's digest; `stale`: said before the portal was set back, so that it is
    a reason to ask and no answer.
    """

    event: bytes
    word: Word
    entity_type_id: int
    at: float
    writer: int
    item_id: int = 0
    pair: bytes = NO_PAIR
    profile: bytes = NO_PROFILE
    body: bytes = NO_BODY
    stale: bool = False

    @property
    def perhaps_sent(self) -> bool:
        """Whether a call may have carried the event, and nothing was heard of it since."""
        return self.word in PERHAPS_SENT

    def packed(self) -> bytes:
        """Return the word in `RECORD_BYTES`."""
        return _RECORD.pack(*self)


def unpacked(records: bytes) -> list[LastWord]:
    """Return the words of records that follow one another; raises ValueError if one is none."""
    try:
        # A start waits for a page of 50,000 words: every name is written out for its speed.
        found = [
            LastWord(event, _WORDS[word], kind, at, writer, item, pair, profile, body, stale)
            for event, word, kind, at, writer, item, pair, profile, body, stale in (
                _RECORD.iter_unpack(records)
            )
        ]
    except struct.error as error:
        raise ValueError(str(error)) from None
    except KeyError as unknown:
        raise ValueError(f"no word has the number {unknown}") from None
    if not all(map(math.isfinite, [each.at for each in found])):
        raise ValueError("no time")
    return found


# Every note on an event needs it, and few different ones are asked for.
@lru_cache(maxsize=256)
def profile_digest(asked: tuple[str | None, ...]) -> bytes:
    """Return what stands for responsible person, pipeline and `opened`, as an event asks."""
    text = "\0".join(each or "" for each in asked)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=PROFILE_BYTES).digest()


def word_on(event: ItemEvent, word: Word, at: float, writer: int, item_id: int = 0) -> LastWord:
    """Return a word on an event; of an imported one with its item and its fields."""
    return LastWord(
        event.identity_digest,
        word,
        event.entity_type_id,
        at,
        writer,
        item_id,
        event.pair_digest,
        profile_digest(event.asks),
        event.content.to_bytes(BODY_BYTES, "big") if word is Word.IMPORTED else NO_BODY,
    )


class LastWords:
    """The last word on each of the newest events, at least `limit` of them.

    Fed with words in the order of the notes that say them.
    """

    def __init__(self, limit: int) -> None:
        """Start knowing nothing."""
        self._words: Remembered[bytes, bytes] = Remembered(limit)
        self._owners: Remembered[int, bytes] = Remembered(limit)
        self._recent: dict[int, deque[bytes]] = {}
        self.set_back_at: float | None = None
        self.read_from: float | None = None
        """When the first note was written that was read, in seconds since the epoch."""
        self._missed_before: float | None = None

    def __len__(self) -> int:
        """Return the number of events known."""
        return len(self._words)

    def of(self, event: bytes) -> LastWord | None:
        """Return the last word on an event; None when there is none."""
        record = self._words.get(event)
        return None if record is None else self._read(event, record)

    def owner(self, entity_type_id: int, item_id: int) -> LastWord | None:
        """Return the word of the event that an item was imported for; None when not known."""
        event = self._owners.get(item_id << TYPE_BITS | entity_type_id)
        word = None if event is None else self.of(event)
        return word if word is not None and word.item_id == item_id else None

    def recent(self, entity_type_id: int) -> list[LastWord]:
        """Return the newest items of a type that we created, newest first, none of them stale."""
        words = [self.of(event) for event in reversed(self._recent.get(entity_type_id, ()))]
        return [each for each in words if each and each.word is Word.IMPORTED and not each.stale]

    def say(self, word: LastWord) -> LastWord | None:
        """Take the newest word on an event; return the one that stood before."""
        record, packed = self._words.get(word.event), word.packed()[EVENT_BYTES:]
        if record is None:
            self._put(word, packed)
            return None
        before = self._read(word.event, record)
        if record == packed and before.stale is word.stale:
            # Our own, read back: it counts already.
            return before
        self._words.forget(word.event)
        self._put(word, packed)
        return before

    def recall(self, words: Iterable[LastWord]) -> None:
        """Take words, newest first, of a time before everything that was said here."""
        newest: dict[bytes, bytes] = {}
        for word in words:
            newest.setdefault(word.event, word.packed()[EVENT_BYTES:])
        for event, record in reversed(newest.items()):
            if self._words.get(event) is None:
                self._put(self._read(event, record), record)

    def says(self, word: LastWord) -> bool:
        """Tell whether this very word is the last one on its event."""
        record = self._words.get(word.event)
        if word.stale and record is not None:
            return self._read(word.event, record) == word
        return record == word.packed()[EVENT_BYTES:]

    def forgotten_before(self) -> float:
        """Return before when words were forgotten for want of room; minus infinity: none was."""
        event = self._words.oldest()
        word = None if self._words.complete or event is None else self.of(event)
        return -math.inf if word is None else word.at

    def missed_before(self, at: float | None) -> None:
        """Note that words of before a time may not be known, though older ones are."""
        self._missed_before = at

    def is_news(self, word: LastWord, since: float = -math.inf) -> bool:
        """Tell whether a word is later than the one that stands, or than `since` if none does."""
        known = self.of(word.event)
        return word.at >= since if known is None else (known.at, known.word) < (word.at, word.word)

    def absorb(self, other: "LastWords") -> None:
        """Take what else is known; of two words the later one counts, of one moment ours."""
        for word in filter(self.is_news, list(other.newest_first())[::-1]):
            self.say(word)
        if other.set_back_at is not None:
            self.set_back(other.set_back_at)

    def set_back(self, at: float) -> None:
        """Note that the portal came back with older data: what was said before is no answer."""
        self.set_back_at = max(at, self.set_back_at or at)

    def newest_first(self) -> Iterator[LastWord]:
        """Return every word known, the newest first."""
        yield from filter(None, map(self.of, self._words.newest_first()))

    def newest_events(self, most: int) -> list[bytes]:
        """Return the events with the newest words, the newest first."""
        return list(islice(self._words.newest_first(), most))

    def said_by(self, writer: int, since: float) -> list[LastWord]:
        """Return the last words that one process said from a time on, the oldest first."""
        theirs = [w for w in self.newest_first() if w.writer == writer and w.at >= since]
        return theirs[::-1]

    def complete_since(self) -> float | None:
        """Return from when on every word is known, in seconds since the epoch; None: from none.

        Every note was read from the first one on; a page tells the newest words of before it.
        """
        event = self._words.oldest()
        word = None if event is None else self.of(event)
        since = None if word is None else word.at
        if self.read_from is not None and self._words.complete:
            since = self.read_from if since is None else min(since, self.read_from)
        if since is None or self._missed_before is None:
            return since
        return max(since, self._missed_before)

    def _read(self, event: bytes, record: bytes) -> LastWord:
        """Return what was packed; stale, if it was said before the portal was set back."""
        _, number, kind, at, writer, item, pair, profile, body, stale = _RECORD.unpack(
            event + record
        )
        stale = stale or (self.set_back_at is not None and at < self.set_back_at)
        return LastWord(event, _WORDS[number], kind, at, writer, item, pair, profile, body, stale)

    def _put(self, word: LastWord, packed: bytes) -> None:
        self._words.put(word.event, packed)
        if word.word is not Word.IMPORTED:
            return
        self._owners.put(word.item_id << TYPE_BITS | word.entity_type_id, word.event)
        recent = self._recent.get(word.entity_type_id)
        if recent is None and len(self._recent) < MAX_TYPES:
            recent = self._recent[word.entity_type_id] = deque(maxlen=RECENT_ITEMS)
        if recent is not None:
            recent.append(word.event)
