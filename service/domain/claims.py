"""Decides whose turn an event is: who works on it, who joins, and what is remembered of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from service.domain.doubt import Doubt, Knowledge, doubt_of
from service.domain.events import ExternalId, Identity, ItemEvent, Malformed
from service.domain.outcomes import Imported, Outcome
from service.domain.remembering import Remembered

D = TypeVar("D")
Key = Identity | tuple[int, ExternalId]
TYPE_BITS = 31
"""An entity type fits into these, so that a number of it and an item is one of both."""


@dataclass(frozen=True, slots=True)
class Settlement(Generic[D]):
    """How the message of one delivery ended; `batch_id` None: no call was made for it."""

    event: ItemEvent | Malformed
    delivery: D
    outcome: Outcome
    attempts: int = 0
    batch_id: str | None = None
    warnings: Sequence[str] = ()


@dataclass(slots=True, eq=False)
class Claim(Generic[D]):
    """The right to work on one event, and every delivery that shares its outcome.

    `heirs` are claims that must wait for this one: the same id with another body, or another
    event that carries the same external id.
    """

    event: ItemEvent
    deliveries: list[D]
    since: float
    size: int
    known: Knowledge = field(default_factory=Knowledge)
    heirs: list["Claim[D]"] = field(default_factory=list)

    def same_message(self, event: ItemEvent) -> bool:
        """Tell whether a message is a copy of the one this claim was made for."""
        return self.event.identity == event.identity and self.event.message == event.message


@dataclass(frozen=True, slots=True)
class Repeat:
    """A message whose event ended earlier.

    `imported` is published again for a new publish; None: acknowledge, the outcome is out.
    """

    imported: Imported | None


@dataclass(frozen=True, slots=True)
class Resolved(Generic[D]):
    """What the end of a claim sets free: claims to start, claims that share the success."""

    starts: list[Claim[D]]
    repeats: list[Claim[D]]


class Handed(Protocol):
    """What a delivery says of itself; see `doubt_of`."""

    received_at: float
    size: int
    copy: bool
    resubmitted: bool
    early: bool
    times: int


H = TypeVar("H", bound=Handed)


def claim_of(delivery: H, event: ItemEvent, *, ask: str, settle: float) -> Claim[H]:
    """Return the claim of one delivery, in the doubt that its message raises.

    `settle`: a message that was delivered before is not looked up earlier, in seconds.
    """
    doubt = doubt_of(
        event,
        copy=delivery.copy,
        resubmitted=delivery.resubmitted,
        early=delivery.early,
        ask=ask,
    )
    askable = doubt is Doubt.STRONG and event.external_id is not None
    look_at = delivery.received_at + (settle if askable else 0.0)
    known = Knowledge(delivery.times, doubt=doubt, look_at=look_at)
    return Claim(event, [delivery], delivery.received_at, delivery.size, known)


class Claims(Generic[D]):
    """Every event being worked on, and the recently ended ones.

    Two claims never run at once for one id, nor for one external id: the second waits as an heir
    of the first. A claim is never forgotten before it is resolved or released; the memory of
    ended events is bounded by `remember`.
    """

    def __init__(self, *, remember: int) -> None:
        """Start with nothing claimed and nothing remembered."""
        self._holders: dict[Key, Claim[D]] = {}
        self._imported: Remembered[Identity, int] = Remembered(remember)
        self._failed: Remembered[tuple[Identity, str], None] = Remembered(remember)
        self._released: Remembered[tuple[Identity, str], Knowledge] = Remembered(remember)
        self._doubts: Remembered[Identity, float] = Remembered(remember)
        self._owners: Remembered[int, str] = Remembered(remember)

    def __len__(self) -> int:
        """Return the number of events being worked on, heirs not counted."""
        return len({id(claim) for claim in self._holders.values()})

    def admit(self, claim: Claim[D], *, copy: bool) -> Claim[D] | Repeat | None:
        """Take in the claim of one delivery.

        `copy` tells that the message says it was delivered before. Returns the claim when work
        on it may start, a `Repeat` when its event ended earlier, None when it waits for another.
        What is known of an event returned earlier outweighs the doubt of its copy.
        """
        event = claim.event
        item_id = self._imported.get(event.identity)
        if item_id is not None:
            return Repeat(Imported(item_id, duplicate=True))
        if copy and self._failed.forget((event.identity, event.message)):
            return Repeat(None)
        known = self._released.pop((event.identity, event.message))
        if known is not None:
            claim.known = known.for_copy(claim.known)
        doubt = self._doubts.get(event.identity)
        if doubt is not None:
            claim.known.suspected(Doubt.STRONG, doubt)
        return claim if self._start_or_join(claim) else None

    def resolve(self, claim: Claim[D], outcome: Outcome) -> Resolved[D]:
        """End a claim whose outcome the broker has confirmed."""
        identity = claim.event.identity
        heirs = self._drop(claim)
        self._doubts.pop(identity)
        if isinstance(outcome, Imported):
            self._imported.put(identity, outcome.item_id)
        else:
            self._failed.put((claim.event.identity, claim.event.message), None)
        resolved: Resolved[D] = Resolved([], [])
        for heir in heirs:
            if isinstance(outcome, Imported) and heir.event.identity == identity:
                resolved.repeats.append(heir)
            elif self._start_or_join(heir):
                resolved.starts.append(heir)
        return resolved

    def release(self, claim: Claim[D]) -> list[D]:
        """Give a claim up unsettled; return its deliveries and those of its heirs."""
        deliveries: list[D] = []
        for each in (claim, *self._drop(claim)):
            event = each.event
            self._released.put((event.identity, event.message), each.known)
            if each.known.doubt is Doubt.STRONG:
                earlier = self._doubts.get(event.identity) or 0.0
                self._doubts.put(event.identity, max(earlier, each.known.look_at))
            deliveries += each.deliveries
        return deliveries

    def own(self, event: ItemEvent, item_id: int) -> bool:
        """Settle a CRM item on an event; False when it belongs to another event already."""
        key = item_id << TYPE_BITS | event.entity_type_id
        owner = self._owners.get(key)
        if owner is None:
            self._owners.put(key, event.event_id)
            return True
        return owner == event.event_id

    def _start_or_join(self, claim: Claim[D]) -> bool:
        """Start a claim, or let it wait for whoever holds its id or its external id."""
        keys = _keys(claim.event)
        holder = next((self._holders[key] for key in keys if key in self._holders), None)
        for key in keys:
            self._holders.setdefault(key, holder or claim)
        if holder is None:
            return True
        for each in (holder, *holder.heirs):
            if each.same_message(claim.event):
                each.deliveries += claim.deliveries
                if claim.known.times > each.known.times + 1:
                    each.known.suspected(claim.known.doubt, claim.known.look_at)
                each.known.times = max(each.known.times, claim.known.times)
                return False
        holder.heirs.append(claim)
        return False

    def _drop(self, claim: Claim[D]) -> list[Claim[D]]:
        """Take a claim and its heirs out; return the heirs."""
        heirs, claim.heirs = claim.heirs, []
        for each in (claim, *heirs):
            for key in _keys(each.event):
                if self._holders.get(key) is claim:
                    del self._holders[key]
        return heirs


def _keys(event: ItemEvent) -> list[Key]:
    """Return what only one claim at a time may hold."""
    if event.external_id is None:
        return [event.identity]
    return [event.identity, (event.entity_type_id, event.external_id)]
