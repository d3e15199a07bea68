"""Describes where an event was found, and where nobody could look."""

from dataclasses import dataclass, field
from datetime import datetime

from service.domain.events import ExternalId, Reference
from service.domain.last_words import LastWord, Word
from service.domain.parking import LINK


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the event; without an external id it was asked for by its number."""

    entity_type_id: int
    item_id: int
    external_id: ExternalId | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter of the event."""

    entity_type_id: int | None
    kind: str
    code: str
    message: str
    failed_at: datetime | None
    redrives: int


@dataclass(frozen=True, slots=True)
class Waits:
    """A message of the event in an inner queue.

    `received_at`: since when the event waits, however often it was parked; `links`: the events
    that it refers to.
    """

    queue: str
    entity_type_id: int | None
    reason: str
    received_at: datetime
    parked_at: datetime
    waited: float
    perhaps_sent: datetime | None
    links: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Hidden:
    """Where nobody could look, or not to the end, and how many messages are there."""

    place: str
    why: str
    messages: int | None = None


@dataclass(slots=True)
class Found:
    """What is known of an event.

    `asked`: the types of which the portal was asked by external id; `unaskable`: those that have
    none; `refused`: those of which the portal refuses to tell, with its code; `problem`: why the
    portal was not asked, or not to the end. `gone`: the words whose item the portal was asked for
    by its number and does not show. `in_call_after`: words of calls older than this time, in
    seconds since the epoch, say nothing of now.
    """

    event_id: str
    entity_type_id: int | None
    in_call_after: float = 0.0
    items: list[Item] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    waiting: list[Waits] = field(default_factory=list)
    words: list[LastWord] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    unaskable: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    problem: str = ""
    gone: list[LastWord] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)

    @property
    def referred_to(self) -> list[Reference]:
        """What the event waits for, where it waits for items of other events."""
        links = (each.links for each in self.waiting if each.reason == LINK)
        return list(dict.fromkeys(reference for every in links for reference in every))

    @property
    def is_found(self) -> bool:
        """Whether it is known where the event is."""
        return bool(self.items or self.letters or self.waiting or any(map(self.tells, self.words)))

    def tells(self, word: LastWord) -> bool:
        """Tell whether a word of the memory says where the event is now."""
        if word.word is Word.IMPORTED:
            return not word.stale
        return word.word is Word.IN_CALL and word.at >= self.in_call_after

    def types(self) -> set[int]:
        """Return the types under which something was found."""
        numbers = [
            *(each.entity_type_id for each in self.letters),
            *(each.entity_type_id for each in self.waiting),
            *(each.entity_type_id for each in self.words),
        ]
        return {number for number in numbers if number is not None}

    @property
    def not_shown(self) -> list[LastWord]:
        """The words of items that the portal did not show by an external id, nor refused."""
        shown = {(each.entity_type_id, each.item_id) for each in self.items}
        return [
            word
            for word in self.words
            if word.word is Word.IMPORTED
            and not word.stale
            and word.entity_type_id not in self.refused
            and (word.entity_type_id, word.item_id) not in shown
        ]
