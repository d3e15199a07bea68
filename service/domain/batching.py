"""Decides which claims travel together, and when they leave."""

import heapq
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count

from service.domain.claims import Claim
from service.domain.events import PRIORITY, BatchKey
from service.domain.outcomes import Fault
from service.domain.priority import order, packed, rank

May = Callable[[BatchKey], bool]

ASK_SECONDS = 5.0
"""Shortest time between two look-ups of an event that waits for a proof."""


class ClosedBy(StrEnum):
    """Why a batch left (label of `importer_batches_total`)."""

    SIZE = "size"
    WINDOW = "window"
    BYTES = "bytes"
    PRESSURE = "pressure"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """The bounds of a batch: items, seconds since its first item, bytes of its messages.

    `patience`: so many seconds an event waits for others of higher priority, and no longer.
    """

    max_items: int
    window: float
    max_bytes: int
    patience: float = math.inf


@dataclass(slots=True, eq=False)
class Batch:
    """Claims of one key in arrival order.

    `due` is the loop time from which it may leave. `tries` counts calls that were refused
    before execution, `failed_look_ups` those that failed; `fault` is the whole-call failure after
    which its claims are in doubt, `some_found` that others of that call are in the CRM;
    `waits_since`: when its claims were last asked for, if they wait for a proof; `gathered`: its
    claims came one by one and were not tried yet, so that they may leave with others as well;
    `refilled`: it was taken once, and some of its claims had to wait: others take their places.
    """

    key: BatchKey
    claims: list[Claim]
    opened_at: float
    due: float
    size: int = 0
    closed_by: ClosedBy | None = None
    tries: int = 0
    failed_look_ups: int = 0
    fault: Fault | None = None
    some_found: bool = False
    waits_since: float | None = None
    gathered: bool = False
    refilled: bool = False

    @property
    def suspected(self) -> bool:
        """Whether one of its claims was part of a call that broke or was refused whole."""
        return any(claim.known.first_failed_at is not None for claim in self.claims)

    def part(self, claims: list[Claim], due: float) -> "Batch":
        """Return a batch of some of its claims that keeps its age."""
        return Batch(
            key=self.key,
            claims=claims,
            opened_at=self.opened_at,
            due=due,
            size=sum(claim.size for claim in claims),
            closed_by=self.closed_by,
        )


@dataclass(slots=True)
class Batcher:
    """Everything that waits: open batches, closed ones, batches to try again, lone claims.

    The window of a batch opens with its first item. A batch stays open until it is taken, so
    what arrives while no slot is free still travels with it. The oldest batch goes first.
    `most(entity type, items)` may lower the number of items a batch carries.
    """

    policy: BatchPolicy
    most: Callable[[int, int], int] = lambda _, most: most
    _batches: list[Batch] = field(default_factory=list)
    _open: dict[BatchKey, Batch] = field(default_factory=dict)
    _deferred: list[tuple[float, int, Claim]] = field(default_factory=list)
    _ticket: Iterator[int] = field(default_factory=count)
    ranked: bool = False
    """Whether an event of another than the usual priority was ever here."""

    def __len__(self) -> int:
        """Return the number of claims that wait."""
        return sum(len(batch.claims) for batch in self._batches) + len(self._deferred)

    def __contains__(self, claim: Claim) -> bool:
        """Tell whether a claim waits here."""
        waiting = any(claim in batch.claims for batch in self._batches)
        return waiting or any(claim is each for _, _, each in self._deferred)

    def sendable(self) -> bool:
        """Tell whether anything waits for another reason than a proof."""
        return bool(self._deferred) or any(each.waits_since is None for each in self._batches)

    def add(self, claim: Claim, now: float) -> bool:
        """Let a claim join the open batch of its key; the batch opens if there is none.

        Tells whether anything is due at another time than before.
        """
        key = claim.event.batch_key
        self.ranked = self.ranked or claim.priority != PRIORITY
        batch = self._open.get(key)
        if batch is not None and batch.size + claim.size > self.policy.max_bytes:
            self._close(batch, ClosedBy.BYTES, now)
            batch = None
        if batch is None:
            due = now + self.policy.window
            batch = Batch(key, [], opened_at=now, due=due, gathered=True)
            self._open[key] = batch
            self._batches.append(batch)
        batch.claims.append(claim)
        batch.size += claim.size
        if len(batch.claims) >= self.most(key.entity_type_id, self.policy.max_items):
            self._close(batch, ClosedBy.SIZE, now)
        return len(batch.claims) == 1 or batch.closed_by is not None

    def defer(self, claim: Claim, until: float) -> None:
        """Let a claim join an open batch later."""
        heapq.heappush(self._deferred, (until, next(self._ticket), claim))

    def alone(self, claim: Claim, due: float, now: float) -> None:
        """Let a claim leave in a batch of its own, from a due time on."""
        batch = Batch(claim.event.batch_key, [claim], opened_at=now, due=due, size=claim.size)
        batch.closed_by = ClosedBy.WINDOW
        self._batches.append(batch)

    def put(self, batch: Batch) -> None:
        """Let a batch leave, as it is, from its due time on."""
        self._batches.append(batch)

    def hasten(self, entity_types: Collection[int], now: float) -> None:
        """Let what waits for a proof be asked for soon: items of these types were imported."""
        for batch in self._batches:
            if batch.waits_since is not None and batch.key.entity_type_id in entity_types:
                batch.due = min(batch.due, max(now, batch.waits_since + ASK_SECONDS))

    def hasten_deferred(self, may_go_on: Callable[[Claim], bool], now: float) -> None:
        """Let claims that wait to join an open batch do so now."""
        if any(until > now and may_go_on(claim) for until, _, claim in self._deferred):
            self._deferred = [
                (min(until, now) if may_go_on(claim) else until, ticket, claim)
                for until, ticket, claim in self._deferred
            ]
            heapq.heapify(self._deferred)

    def take(
        self,
        now: float,
        *,
        pressure: bool = False,
        unsuspected_first: bool = False,
        may: May = lambda _: True,
    ) -> Batch | None:
        """Return the oldest batch that may leave now; under pressure the oldest open one.

        `unsuspected_first`: batches without an item that was part of a broken call go first;
        `may`: whether a batch of a key may leave at all.
        """
        while self._deferred and self._deferred[0][0] <= now:
            self.add(heapq.heappop(self._deferred)[2], now)
        due = [batch for batch in self._batches if batch.due <= now]
        if unsuspected_first and due and all(batch.suspected for batch in due):
            due += [batch for batch in self._open.values() if not batch.suspected]
        due = [batch for batch in due if may(batch.key)]
        if not due and pressure:
            due = [batch for batch in self._open.values() if may(batch.key)]
        if not due:
            return None
        batch = min(
            due,
            key=lambda each: (
                unsuspected_first and each.suspected,
                -self._rank(each, now),
                each.opened_at,
            ),
        )
        if self.ranked or batch.refilled:
            self._prefer(batch, now)
        if batch.closed_by is None:
            self._close(batch, ClosedBy.WINDOW if batch.due <= now else ClosedBy.PRESSURE, now)
        self._batches.remove(batch)
        taken = self._fitting(batch, now)
        taken.gathered = False
        return taken

    def next_time(self, may: May = lambda _: True, *, pressure: bool = False) -> float | None:
        """Return the loop time at which something may leave; None when nothing may.

        `may`: whether a batch of a key may leave at all; under pressure open ones may at once.
        """
        times = [batch.due for batch in self._batches if may(batch.key)]
        times += [b.opened_at for b in self._open.values() if pressure and may(b.key)]
        times += [until for until, _, claim in self._deferred if may(claim.event.batch_key)]
        return min(times, default=None)

    def drain(self, now: float) -> None:
        """Close every open batch, so that it may leave at once; a proof is waited for no more."""
        for batch in list(self._open.values()):
            self._close(batch, ClosedBy.DRAIN, now)
        for batch in self._batches:
            if batch.waits_since is not None:
                batch.due = math.inf

    def prune(self, keep: Callable[[Claim, float], bool]) -> list[Claim]:
        """Take out and return the claims that `keep(claim, due)` does not want to keep."""
        removed: list[Claim] = []
        for batch in self._batches:
            gone = [claim for claim in batch.claims if not keep(claim, batch.due)]
            if gone:
                removed += gone
                batch.claims = [claim for claim in batch.claims if claim not in gone]
                batch.size -= sum(claim.size for claim in gone)
        self._drop_empty()
        lone = [entry for entry in self._deferred if not keep(entry[2], entry[0])]
        if lone:
            removed += [claim for _, _, claim in lone]
            self._deferred = [entry for entry in self._deferred if entry not in lone]
            heapq.heapify(self._deferred)
        return removed

    def _rank(self, batch: Batch, now: float) -> int:
        if not self.ranked:
            return PRIORITY
        return max(rank(claim, now, self.policy.patience) for claim in batch.claims)

    def _prefer(self, batch: Batch, now: float) -> None:
        """Let the events of highest priority of a key leave in the batch that leaves."""
        if not batch.gathered:
            return
        fresh = [each for each in self._batches if each.key == batch.key and each.gathered]
        fresh.sort(key=lambda each: (each is not batch, each.opened_at))
        ordered = order(
            [claim for each in fresh for claim in each.claims], now, self.policy.patience
        )
        room = self.most(batch.key.entity_type_id, self.policy.max_items)
        cut = packed(ordered, room=room, max_bytes=self.policy.max_bytes)
        for _ in cut[len(fresh) :]:
            # Sizes that fit together less well than before.
            fresh.append(replace(batch.part([], now), gathered=True))
            self._batches.append(fresh[-1])
        spare: list[list[Claim]] = [[] for _ in fresh[len(cut) :]]
        if spare and len(cut) > 1 and len(cut[-1]) < room:
            # What is left over goes into the youngest, which may still be filled.
            rest = fresh[len(cut) - 1]
            fresh[-1].opened_at = min(rest.opened_at, fresh[-1].opened_at)
            fresh[-1].due = min(rest.due, fresh[-1].due)
            spare.append(cut.pop())
        for each, claims in zip(fresh, [*cut, *spare], strict=True):
            each.claims = claims
            each.size = sum(claim.size for claim in claims)
        self._drop_empty()

    def _drop_empty(self) -> None:
        self._batches = [batch for batch in self._batches if batch.claims]
        self._open = {key: batch for key, batch in self._open.items() if batch.claims}

    def _fitting(self, batch: Batch, now: float) -> Batch:
        """Put back what the portal could not work off in one call, as it has shown lately."""
        most = self.most(batch.key.entity_type_id, self.policy.max_items)
        if len(batch.claims) <= most or batch.fault is not None:
            return batch
        self.put(replace(batch.part(batch.claims[most:], now), gathered=batch.gathered))
        return batch.part(batch.claims[:most], now)

    def _close(self, batch: Batch, reason: ClosedBy, now: float) -> None:
        batch.closed_by = reason
        batch.due = min(batch.due, now)
        if self._open.get(batch.key) is batch:
            del self._open[batch.key]
