"""Knows the item numbers that links become: from memory, else by asking the portal, paced."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from service.domain.bounded_memory import Remembered
from service.domain.claim import Claim
from service.domain.claims import Claims
from service.domain.codes import is_refused_for_good
from service.domain.decisions import Rules
from service.domain.events import ExternalId, Reference, digest_of, event_digest
from service.domain.last_words import Word
from service.domain.links import MAX_REFERENCES
from service.domain.outcomes import CallFailed, CallKind, Fault
from service.domain.witnessing import Seen
from service.importer.looking import Lookup
from service.importer.memory import CallNotes

MAX_ASKED = 50
"""References in one look-up: its answer fits on one page."""
MAX_TYPES = 256
GROWTH = 12
"""By so much the interval between two look-ups that find little grows at most."""
SHARE = 4
"""For this many remembered events, one looked-up reference is remembered as well."""
LEAST = 2 * MAX_REFERENCES
"""References remembered at least."""


@dataclass(slots=True)
class Open:
    """A claim of which not every item is known.

    `last`: the references that it is asked for a last time, because it has waited long enough.
    """

    claim: Claim
    missing: list[Reference]
    last: list[Reference]


@dataclass(slots=True)
class Asked:
    """What was asked of the portal for one batch; `fault`: why no more was."""

    references: set[Reference] = field(default_factory=set)
    unknown_types: set[int] = field(default_factory=set)
    fault: Fault | None = None


class ItemNumbers:
    """The numbers of items that events refer to; of several items of one the lowest counts.

    At most one call for a referred type and a batch. What was asked for in vain is asked for
    again at an interval that keeps such calls one in ten; so is what was not asked for yet, while
    the last look-up of its type found less than half. The interval grows while that stays so: in
    a load of new items, what they refer to is mostly in the same load.
    """

    def __init__(self, *, portal: Lookup, claims: Claims, rules: Rules, notes: CallNotes) -> None:
        """Ask the portal, by the rules; what was imported is known from claims and notes."""
        self._portal, self._claims, self._notes = portal, claims, notes
        self._gap = self._again_gap = rules.links_gap
        self._gaps: Remembered[int, float] = Remembered(MAX_TYPES)
        self._limit = max(LEAST, claims.remember // SHARE)
        self._fresh_from: Remembered[int, float] = Remembered(MAX_TYPES)
        self._again_from = float("-inf")
        self.set_back_at: float | None = None
        self._forget_all()

    def of(self, reference: Reference) -> int | None:
        """Return the number of an item as it is remembered; None where that is no answer."""
        if reference.originator is None:
            item_id = self._claims.item_of(reference.identity)
            if item_id is not None:
                return item_id
            word = self._notes.memory.words.of(event_digest(reference.identity))
            if word is not None and word.word is Word.IMPORTED and not word.stale:
                return word.item_id
        return self._found.get(_key(reference))

    def flies(self, reference: Reference) -> bool:
        """Tell whether the event that is meant is held here."""
        return reference.originator is None and self._claims.is_held(reference.identity)

    def put(self, reference: Reference, item_id: int) -> None:
        """Remember the number of an item."""
        self._found.put(_key(reference), item_id)

    def found(self, reference: Reference) -> int | None:
        """Return the number of an item as the last look-up of it has shown it."""
        return self._found.get(_key(reference))

    def asked_at(self, reference: Reference) -> float | None:
        """Return the loop time at which an item was last asked for without success."""
        return self._absent.get(_key(reference))

    def may_ask_from(self, entity_type_id: int) -> float:
        """Return the loop time from which a type may be asked for what is new."""
        return self._fresh_from.get(entity_type_id) or 0.0

    def heed_set_back(self) -> None:
        """Forget the numbers of before the portal was set back."""
        at = self._notes.memory.words.set_back_at
        if at != self.set_back_at:
            self.set_back_at = at
            self._forget_all()

    async def ask(self, waiting: Sequence[Open]) -> Asked:
        """Ask for what is missing and not in flight: one call for each type at most."""
        asked = Asked()
        last = {reference for each in waiting for reference in each.last}
        wanted = by_type(
            each
            for claim in waiting
            for each in claim.missing
            if each in last or not self.flies(each)
        )
        for entity_type_id in sorted(wanted, key=self.may_ask_from):
            several = self._chosen(entity_type_id, wanted[entity_type_id], last)
            if not several:
                continue
            try:
                await self.find(entity_type_id, several)
                asked.references.update(several)
            except CallFailed as failed:
                if failed.fault.kind is CallKind.UNSUPPORTED:
                    asked.unknown_types.add(entity_type_id)
                    continue
                asked.fault = failed.fault
                break
        return asked

    async def find(self, entity_type_id: int, several: Sequence[Reference]) -> bool:
        """Look items up, and remember what was found; raises CallFailed.

        Tells whether the portal can be asked for items of this type.
        """
        wanted = {each: each.external_id for each in several if each.external_id is not None}
        # Set before the call: it may wait for the portal's limits, and others look meanwhile.
        self._hold_off(entity_type_id)
        items = await self._items(entity_type_id, [*dict.fromkeys(wanted.values())])
        now, found = self._notes.clock(), 0
        for each, external in wanted.items():
            shown = (items or {}).get(external)
            if shown:
                found += 1
                self.put(each, min(seen.item_id for seen in shown))
                self._absent.forget(_key(each))
                continue
            self._absent.put(_key(each), now)
            if items is not None:
                self._found.forget(_key(each))
        if 2 * found >= len(wanted):
            self._fresh_from.put(entity_type_id, now)
            self._gaps.forget(entity_type_id)
        if found:
            self._again_gap = self._gap
        return items is not None

    async def forget(self, references: Iterable[Reference]) -> None:
        """Forget items that are not there as they were known: a new publish is a new try."""
        gone = [each.identity for each in references if each.originator is None]
        for identity in gone:
            self._claims.forget(identity)
        await self._notes.gone(gone)

    async def _items(
        self, entity_type_id: int, wanted: Sequence[ExternalId]
    ) -> Mapping[ExternalId, Sequence[Seen]] | None:
        """Return the items that carry external ids; None where this type cannot be asked for."""
        try:
            return await self._portal.find(entity_type_id, wanted)
        except CallFailed as failed:
            if failed.fault.kind is CallKind.SUSPECT:
                # The type alone may be shut to us; a portal that is shut to everything says so.
                await self._portal.probe()
            elif not is_refused_for_good(failed.fault):
                raise
        return None

    def _chosen(
        self, entity_type_id: int, wanted: Sequence[Reference], last: set[Reference]
    ) -> list[Reference]:
        """Return what of a type may be asked for now; the last chance first, then what is new."""
        now = self._notes.clock()
        final = [each for each in wanted if each in last]
        asked_at = {each: self.asked_at(each) for each in wanted if each not in last}
        fresh = [each for each, at in asked_at.items() if at is None]
        waited = [(at, each) for each, at in asked_at.items() if at is not None]
        waited = [(at, each) for at, each in waited if at <= now - self._gap]
        again = [each for _, each in sorted(waited, key=lambda pair: pair[0])]
        if final or (fresh and now >= self.may_ask_from(entity_type_id)):
            return [*final, *fresh, *again][:MAX_ASKED]
        if again and now >= self._again_from:
            self._again_from = now + self._again_gap
            self._again_gap = min(2 * self._again_gap, GROWTH * self._gap)
            return again[:MAX_ASKED]
        return []

    def _hold_off(self, entity_type_id: int) -> None:
        """Let what is new of a type wait, longer each time in a row."""
        gap = self._gaps.get(entity_type_id) or self._gap
        self._fresh_from.put(entity_type_id, self._notes.clock() + gap)
        self._gaps.put(entity_type_id, min(2 * gap, GROWTH * self._gap))

    def _forget_all(self) -> None:
        self._found: Remembered[bytes, int] = Remembered(self._limit)
        self._absent: Remembered[bytes, float] = Remembered(self._limit)


def by_type(several: Iterable[Reference]) -> dict[int, list[Reference]]:
    """Return references by their type, each once, in the order given."""
    found: dict[int, list[Reference]] = {}
    for each in dict.fromkeys(several):
        found.setdefault(each.entity_type_id, []).append(each)
    return found


def _key(reference: Reference) -> bytes:
    return digest_of(reference.said)
