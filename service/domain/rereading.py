"""Reads notes again that are known already: holds only what differs, and says that at the end."""

from collections.abc import Iterable

from service.domain.last_words import LastWord, LastWords


class Rereading:
    """Takes the words of a stream from its last page on, beside those that are known.

    At each new connection tens of thousands of words come again. Held a second time, they would
    leave the process larger each time. Nothing that is known changes before `end`.
    """

    def __init__(self, known: LastWords) -> None:
        """Begin to read what is mostly known."""
        self._known = known
        self._said: dict[bytes, LastWord | None] = {}
        """By event, in the order of the notes; None: the last word is known."""
        self._earlier: dict[bytes, LastWord] = {}
        """What a page tells of the time before them, the newest first."""
        self._set_back_at: float | None = None
        self.read_from: float | None = None
        """As in `LastWords`, of this reading alone."""

    def say(self, word: LastWord) -> LastWord | None:
        """Take the newest word on an event; return the one that stood before, if it is held."""
        before = self._said.pop(word.event, None)
        self._earlier.pop(word.event, None)
        self._said[word.event] = None if self._known.says(word) else word
        return before

    def recall(self, words: Iterable[LastWord]) -> None:
        """Take words, newest first, of a time before everything that was said here."""
        for word in words:
            if word.event not in self._said and not self._known.says(word):
                self._earlier.setdefault(word.event, word)

    def set_back(self, at: float) -> None:
        """Note that the portal came back with older data."""
        self._set_back_at = max(at, self._set_back_at or at)

    def end(self) -> None:
        """Say what differs: of two words on an event the later one counts.

        Of what was read the newest stands; a killed broker forgets the end of a stream, so what
        we know of a later time still counts.
        """
        for word in [*reversed(self._earlier.values()), *filter(None, self._said.values())]:
            self._known.say_unless_older(word)
        if self._set_back_at is not None:
            self._known.set_back(self._set_back_at)
