"""Decides whose item a number is: one item settles one event."""

from enum import Enum, auto

from service.domain.bounded_memory import Remembered
from service.domain.events import ItemEvent
from service.domain.last_words import LastWord

TYPE_BITS = 31
"""Bits of an entity type. Type and item number share one integer."""
DIGEST = 12


class Owned(Enum):
    """What is known of an item number."""

    OURS = auto()
    """The item belongs to this event."""
    TAKEN = auto()
    """The item belongs to another event with the same external id."""
    OTHER_PAIR = auto()
    """The item is remembered with another external id. If the portal shows it with ours, the
    portal was set back."""


class Owners:
    """The events of the item numbers seen lately, as digests of fixed size."""

    def __init__(self, *, remember: int) -> None:
        """Start with nothing known."""
        self._remember = remember
        self.forget()

    def forget(self) -> None:
        """Forget all: the portal was set back, and gives out numbers again."""
        self._owners: Remembered[int, bytes] = Remembered(self._remember)

    def own(self, event: ItemEvent, item_id: int) -> Owned:
        """Note an item as an event's, unless the number is known as another's."""
        key = item_id << TYPE_BITS | event.entity_type_id
        name = event.identity_digest[:DIGEST]
        pair = name if event.external_id is None else event.pair_digest[:DIGEST]
        owner = self._owners.get(key)
        if owner is None:
            self._owners.put(key, pair + name)
        elif owner != pair + name:
            return Owned.TAKEN if owner[:DIGEST] == pair else Owned.OTHER_PAIR
        return Owned.OURS


def noted_owner(event: ItemEvent, word: LastWord | None) -> Owned | None:
    """Return whose item a number is by the memory's word on it; None where that says nothing.

    `word`: of the event that the number is remembered of, in any process.
    """
    if word is None or word.stale or word.event == event.identity_digest:
        return None
    same = event.external_id is not None and word.pair == event.pair_digest
    return Owned.TAKEN if same else Owned.OTHER_PAIR
