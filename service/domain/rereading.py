"""Reads notes again that are known already: holds only what differs, and says that at the end."""

import math
from collections.abc import Iterable

from service.domain.last_words import LastWord, LastWords, unpacked


class Rereading:
    """Takes the words of a stream from its last page on, beside those that are known.

    At each new connection tens of thousands of words come again. Held a second time, they would
    leave the process larger each time. Before `end` this reading changes nothing that is known;
    what is said meanwhile counts at once. Words whose times differ, because a clock was set, are
    held all the same until then.
    """

    def __init__(self, known: LastWords) -> None:
        """Begin to read what is mostly known."""
        self._known = known
        self._said: dict[bytes, bytes | None] = {}
        """By event, in the order of the notes; None: the last word is known."""
        self._earlier: dict[bytes, bytes] = {}
        """What a page tells of the time before them, the newest first."""
        self._set_back_at: float | None = None
        self._page_from: float | None = None
        self.read_from: float | None = None
        """When the first note was written that was read, in seconds since the epoch."""

    def say(self, word: LastWord) -> LastWord | None:
        """Take the newest word on an event; nobody asks for the one before while this reads."""
        self._said.pop(word.event, None)
        self._earlier.pop(word.event, None)
        self._said[word.event] = None if self._known.says(word) else word.packed()
        return None

    def recall(self, words: Iterable[LastWord]) -> None:
        """Take words, newest first, of a time before everything that was said here."""
        for word in words:
            self._page_from = min(word.at, self._page_from or word.at)
            if word.event not in self._said and not self._known.says(word):
                self._earlier.setdefault(word.event, word.packed())

    def set_back(self, at: float) -> None:
        """Note that the portal came back with older data."""
        self._set_back_at = max(at, self._set_back_at or at)

    def end(self) -> None:
        """Say what differs: of two words on an event the later one counts, of one moment ours.

        A killed broker forgets the end of a stream, so what we know of a later time still counts.
        What was forgotten for want of room stays so: it would push out what is newer.
        """
        since = self._known.forgotten_before()
        for packed in reversed(self._earlier.values()):
            self._say(packed, since)
        for said in self._said.values():
            if said is not None:
                self._say(said, -math.inf)
        if self._set_back_at is not None:
            self._known.set_back(self._set_back_at)
        # More may have been said meanwhile than a page holds.
        starts = [each for each in (self._page_from, self.read_from) if each is not None]
        self._known.missed_before(min(starts, default=None))

    def _say(self, packed: bytes, since: float) -> None:
        """Say a word that is later than the one that stands; of an unknown event, if recent."""
        [word] = unpacked(packed)
        if self._known.is_news(word, since):
            self._known.say(word)
