"""Decides whose turn an event is: who works on it, who joins, and what is remembered of it."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from service.domain.bounded_memory import Remembered
from service.domain.claim import Claim
from service.domain.copies import comes_again
from service.domain.delivery import Delivery
from service.domain.events import (
    CONTENT_BITS,
    Identity,
    ItemEvent,
    Malformed,
    Profile,
    digest_of,
    event_digest,
)
from service.domain.history import Doubt, History
from service.domain.last_words import LastWord, Word
from service.domain.outcomes import Failed, FailureKind, Imported, Outcome

Key = Identity | tuple[int, bytes]
"""An identity, or an entity type and what stands for an external id."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A message whose event was imported earlier: the success is published again."""

    imported: Imported


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the end of a claim sets free: claims to start, claims that share the success.

    `content` is that of the event that has ended.
    """

    starts: list[Claim]
    repeats: list[Claim]
    content: int = 0

    def success(self, waiter: Claim, imported: Imported) -> Imported:
        """Return how an event ended that shares another's id and success."""
        other = waiter.event.content != self.content
        return Imported(imported.item_id, duplicate=True, other_body=other)


class Claims:
    """Every event being worked on, and the recently ended ones.

    Two claims never run at once for one id, nor for one external id: the second waits for the
    first. A claim is never forgotten before it is resolved, kept or released. The memory of ended
    events is bounded: `remember` entries, each of a fixed size whatever the ids. Below zero: the
    number of an item that was imported before the portal was set back.

    Only success is final. A failure that is out is not remembered: its message, if it comes again,
    cannot be told from a new publish of the same bytes, and that one is a new try.
    """

    def __init__(self, *, remember: int, returned: int | None = None) -> None:
        """Start with nothing claimed and nothing remembered.

        `returned` bounds what is remembered of events that went back, `remember` of the others.
        """
        returned = remember if returned is None else returned
        self.remember = remember
        self._holders: dict[Key, Claim] = {}
        self._imported: Remembered[bytes, int] = Remembered(remember)
        self._released: Remembered[bytes, History] = Remembered(returned)
        self._doubts: Remembered[bytes, tuple[float, frozenset[Profile]]] = Remembered(returned)

    def __len__(self) -> int:
        """Return the number of events being worked on, waiters not counted."""
        return len({id(claim) for claim in self._holders.values()})

    def admit(
        self, claim: Claim, *, copy: bool, word: LastWord | None = None
    ) -> Claim | Repeat | None:
        """Take in the claim of one delivery; `word` is the last one on its event.

        `copy` tells that the message says it was delivered before. Returns the claim when work
        on it may start (where `known.outcome` is set, only its outcome is left to publish), a
        `Repeat` when its event was imported, None when it waits for another.
        """
        event = claim.event
        # By message, not by id: another body under the same id is another try.
        known = self._returned(event, claim.known.mark) if self._released else None
        if known is not None:
            claim.known = comes_again(known, claim.known, copy=copy)
        identity = event.identity_digest
        imported = self._imported.get(identity)
        if imported is not None and imported > 0 and claim.known.outcome is None:
            return Repeat(_repeated(imported, event))
        noted = word is not None and word.word is Word.IMPORTED and not word.stale
        if word is not None and noted and claim.known.outcome is None:
            other = word.body != event.content.to_bytes(8, "big")
            return Repeat(Imported(word.item_id, duplicate=True, other_body=other))
        # By id: whichever of its messages was perhaps sent, the item would be the same.
        doubt = self._doubts.get(identity)
        if doubt is not None:
            claim.known = claim.known.suspected(Doubt.STRONG, *doubt)
        if imported is not None and event.external_id is not None:
            claim.known = claim.known.imported_earlier()
        return claim if self._start_or_join(claim, copy=copy) else None

    def resolve(self, claim: Claim, outcome: Outcome) -> Resolved:
        """End a claim whose outcome the broker has confirmed."""
        # First of all: a waiter that starts below must not find this claim still in its way.
        identity, waiters = claim.event.identity, self._drop(claim)
        digest = claim.event.identity_digest
        self._doubts.forget(digest)
        unclear = claim.event.external_id is not None and _is_unclear(outcome)
        doubt = claim.known.look_at, claim.known.asks | {claim.event.asks}
        if unclear:
            self._doubts.put(digest, doubt)
        if isinstance(outcome, Imported):
            self._imported.put(digest, _noted(outcome.item_id, claim.event))
        resolved = Resolved([], [], claim.event.content if waiters else 0)
        for waiter in waiters:
            if unclear and waiter.event.identity == identity:
                waiter.known = waiter.known.suspected(Doubt.STRONG, *doubt)
            if isinstance(outcome, Imported) and waiter.event.identity == identity:
                resolved.repeats.append(waiter)
            elif self._start_or_join(waiter):
                resolved.starts.append(waiter)
        return resolved

    def keep(self, claim: Claim, outcome: Outcome) -> Resolved:
        """End a claim that has no delivery any more: its copy will find the outcome.

        What is out of it by then is not published again for that copy.
        """
        claim.known = claim.known.ended(outcome)
        self._released.put(message_digest(claim.event), claim.known)
        return self.resolve(claim, outcome)

    def release(self, claim: Claim) -> list[Delivery]:
        """Give a claim up unsettled; return its deliveries and those of its waiters."""
        # Its waiters go back too, in their order: a younger message must not overtake it here.
        going = [claim, *self._drop(claim)]
        for each in reversed(going):
            # The claim last: of waiters for the same message less is known.
            self._remember(each)
            if each.known.doubt is Doubt.STRONG:
                self._note_doubt(each)
        return [delivery for each in going for delivery in each.deliveries]

    def park(self, claim: Claim) -> list[Claim]:
        """Give a claim up that waits elsewhere now; return those that waited for it.

        What is known of it travels with its messages, but for what other messages of its id must
        know: that it was perhaps sent.
        """
        waiters = self._drop(claim)
        if claim.known.doubt is Doubt.STRONG:
            self._note_doubt(claim)
            doubt = claim.known.look_at, claim.known.asks | {claim.event.asks}
            for each in waiters:
                if each.event.identity == claim.event.identity:
                    each.known = each.known.suspected(Doubt.STRONG, *doubt)
        return [each for each in waiters if self._start_or_join(each)]

    def is_held(self, identity: Identity) -> bool:
        """Tell whether an event of this identity is being worked on."""
        return identity in self._holders

    def waits(self, identity: Identity) -> bool:
        """Tell whether an event that is held waits in doubt, or for items of others."""
        known = self._holders[identity].known if identity in self._holders else History()
        links = known.links
        return known.doubt is Doubt.STRONG or (links.waits and links.values is None)

    def of_type(self, entity_type_id: int) -> Iterator[Claim]:
        """Return the claims of a type that are being worked on."""
        return (c for c in self._holders.values() if c.event.entity_type_id == entity_type_id)

    def item_of(self, identity: Identity) -> int | None:
        """Return the item of an event that was imported here; None where that is no answer."""
        imported = self._imported.get(event_digest(identity))
        return imported >> CONTENT_BITS if imported is not None and imported > 0 else None

    def forget(self, identity: Identity) -> None:
        """Forget that an event was imported: the portal does not show its item any more."""
        digest = event_digest(identity)
        if self._imported.forget(digest):
            self._doubts.put(digest, (0.0, frozenset()))

    def holds(self, claim: Claim) -> bool:
        """Tell whether a claim is being worked on: neither ended nor given up."""
        return self._holders.get(claim.event.identity) is claim

    def take_back(self, late: Callable[[Delivery], bool]) -> list[Delivery]:
        """Take the late deliveries out of their claims, which stay: their copies will join."""
        taken: list[Delivery] = []
        for holder in {id(claim): claim for claim in self._holders.values()}.values():
            for claim in (holder, *holder.waiters):
                taken += filter(late, claim.deliveries)
                claim.deliveries[:] = [each for each in claim.deliveries if not late(each)]
        return taken

    def set_back(self) -> None:
        """Note that the portal was set back: what was imported before may be gone."""
        self._imported.change(lambda item_id: -abs(item_id))

    def _start_or_join(self, claim: Claim, *, copy: bool = False) -> bool:
        """Start a claim, or let it wait for the claim with the same id or external id.

        Not a `copy`: a new publish, which joins no claim whose result is out already. Whoever
        publishes an event again because of that result would never hear of it. A copy takes the
        place of a message that went back or was lost with its connection.
        """
        keys = _keys(claim.event)
        holder = next((self._holders[key] for key in keys if key in self._holders), None)
        # A waiter's own keys lead to the holder as well: a third event may share only those.
        for key in keys:
            self._holders.setdefault(key, holder or claim)
        if holder is None:
            return True
        for each in (holder, *holder.waiters):
            if each.same_message(claim.event) and each.takes(claim, copy=copy):
                each.join(claim, copy=copy)
                return False
        holder.waiters.append(claim)
        return False

    def _remember(self, claim: Claim) -> None:
        """Remember what is known of an event that goes back, for each of its stays."""
        digest, known = message_digest(claim.event), claim.known
        self._released.put(digest, known)
        for mark in {each.stay.mark for each in claim.deliveries if each.stay} - {known.mark}:
            self._released.put(_of_stay(digest, mark), known._replace(mark=mark))

    def _returned(self, event: ItemEvent, mark: float | None) -> History | None:
        """Return what is known of a message that went back; each is asked for once."""
        digest = message_digest(event)
        known = self._released.pop(_of_stay(digest, mark))
        return self._released.pop(digest) if known is None else known

    def _note_doubt(self, claim: Claim) -> None:
        """Remember that an event was perhaps sent, for every message of its id."""
        identity = claim.event.identity_digest
        look_at, asks = self._doubts.get(identity) or (0.0, frozenset())
        asks |= claim.known.asks | {claim.event.asks}
        self._doubts.put(identity, (max(look_at, claim.known.look_at), asks))

    def _drop(self, claim: Claim) -> list[Claim]:
        """Take a claim and its waiters out; return the waiters."""
        waiters, claim.waiters = claim.waiters, []
        for each in (claim, *waiters):
            for key in _keys(each.event):
                if self._holders.get(key) is claim:
                    del self._holders[key]
        return waiters


def _is_unclear(outcome: Outcome) -> bool:
    """Tell whether the item may be in the CRM, although its event has ended."""
    return isinstance(outcome, Failed) and outcome.kind is FailureKind.AMBIGUOUS


def _keys(event: ItemEvent) -> list[Key]:
    """Return what only one claim at a time may hold."""
    if event.external_id is None:
        return [event.identity]
    return [event.identity, (event.entity_type_id, event.pair_digest)]


def _noted(item_id: int, event: ItemEvent) -> int:
    """Return what is remembered of an imported event: one number of its item and its content."""
    return item_id << CONTENT_BITS | event.content


def _repeated(imported: int, event: ItemEvent) -> Imported:
    """Return how an event ended whose id was imported earlier, perhaps with other fields."""
    other = imported & (1 << CONTENT_BITS) - 1 != event.content
    return Imported(imported >> CONTENT_BITS, duplicate=True, other_body=other)


def _of_stay(digest: bytes, mark: float | None) -> bytes:
    return digest if mark is None else digest + struct.pack(">d", mark)


def message_digest(event: ItemEvent | Malformed) -> bytes:
    """Return what is remembered of one message of an event: its id, body and redrives."""
    redrives = event.origin.redrive_count
    return digest_of((event.entity_type_id, event.event_id, event.digest, redrives))
