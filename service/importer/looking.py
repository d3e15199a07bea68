"""Asks the portal which items exist, and for those that earlier processes have made."""

import math
from collections.abc import Sequence
from typing import Protocol

from service.domain.events import ExternalId, ItemEvent
from service.domain.last_words import LastWords, profile_digest
from service.domain.witnessing import Oneself, Seen, Shown, Witness, Witnesses


class Lookup(Protocol):
    """What recovery needs of the portal; every method raises CallFailed."""

    async def find(
        self, entity_type_id: int, wanted: Sequence[ExternalId]
    ) -> dict[ExternalId, list[Seen]]:
        """Return the items that carry the external ids, those with the lowest ids first."""

    async def shown(self, entity_type_id: int, item_ids: Sequence[int]) -> list[Seen]:
        """Return those of some items that may be read, and what they have today."""

    async def oneself(self) -> Oneself:
        """Ask who we are."""

    async def probe(self) -> None:
        """Make the cheapest call there is."""


async def see_remembered(
    portal: Lookup,
    words: LastWords,
    events: Sequence[ItemEvent],
    *,
    own: Witnesses,
    shown: Shown,
    now: float,
) -> None:
    """Look at items that the memory names, for events of one type without a witness of our own.

    They were made for what the events ask for. Their external ids are not known here, their
    numbers are. Raises CallFailed.
    """
    made: dict[int, ItemEvent] = {}
    for event in events:
        if not own.of(event):
            profile = profile_digest(event.asks)
            recent = words.recent(event.entity_type_id)
            made |= {word.item_id: event for word in recent if word.profile == profile}
    if not made:
        return
    shown.made_elsewhere |= {event.asks for event in made.values()}
    kind = next(iter(made.values())).entity_type_id
    for seen in await portal.shown(kind, sorted(made)):
        if seen.item_id in made:
            witness = Witness(kind, None, seen.item_id, made[seen.item_id].asks, -math.inf)
            shown.add(witness, seen.has, now)
