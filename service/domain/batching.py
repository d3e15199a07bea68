"""Decides which claims travel together, and when they leave."""

import heapq
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import count

from service.domain.batch import Batch, ClosedBy
from service.domain.claim import Claim
from service.domain.events import PRIORITY, BatchKey
from service.domain.priority import order, packed, rank

May = Callable[[BatchKey], bool]

ASK_SECONDS = 5.0
"""Shortest time between two look-ups of an event that waits for a proof."""


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """The bounds of a batch: items, seconds since its first item, bytes of its messages.

    `patience`: longest time in seconds that an event waits for others of higher priority.
    """

    max_items: int
    window: float
    max_bytes: int
    patience: float = math.inf


@dataclass(slots=True)
class Batcher:
    """Everything that waits: open batches, closed ones, batches to try again, lone claims.

    The window of a batch opens with its first item. A batch stays open until it is taken, so
    what arrives while no slot is free still travels with it. The oldest batch goes first.
    `most(entity type, items)` may lower the number of items a batch carries. Where
    `suspected_from` says a time, batches with an item that was part of a broken call go last, and
    not before: others may be on their way.

    All that changes: `_waiting` has every batch by its ticket, `_open` the tickets of those that
    claims may still join, `_deferred` the claims that join one later, soonest first.
    """

    policy: BatchPolicy
    most: Callable[[int, int], int] = lambda _, most: most
    suspected_from: Callable[[], float | None] = lambda: None
    _waiting: dict[int, Batch] = field(default_factory=dict)
    _open: dict[BatchKey, int] = field(default_factory=dict)
    _deferred: list[tuple[float, int, Claim]] = field(default_factory=list)
    _ticket: Iterator[int] = field(default_factory=count)
    ranked: bool = False
    """Whether an event of another than the usual priority was ever here."""

    def __len__(self) -> int:
        """Return the number of claims that wait."""
        return sum(len(each.claims) for each in self._waiting.values()) + len(self._deferred)

    def __contains__(self, claim: Claim) -> bool:
        """Tell whether a claim waits here."""
        waiting = any(claim in batch.claims for batch in self._waiting.values())
        return waiting or any(claim is each for _, _, each in self._deferred)

    def sendable(self) -> bool:
        """Tell whether anything waits for another reason than a proof."""
        waiting = self._waiting.values()
        return bool(self._deferred) or any(each.waits_since is None for each in waiting)

    def add(self, claim: Claim, now: float) -> bool:
        """Let a claim join the open batch of its key; the batch opens if there is none.

        Tells whether anything is due at another time than before.
        """
        key = claim.event.batch_key
        self.ranked = self.ranked or claim.priority != PRIORITY
        ticket = self._open.get(key)
        if ticket is not None and self._waiting[ticket].size + claim.size > self.policy.max_bytes:
            self._close(ticket, ClosedBy.BYTES, now)
            ticket = None
        if ticket is None:
            batch = Batch(key, (claim,), now, now + self.policy.window, gathered=True)
            ticket = self._open[key] = self.put(batch)
        else:
            batch = self._waiting[ticket]
            batch = self._waiting[ticket] = batch.only((*batch.claims, claim))
        full = len(batch.claims) >= self.most(key.entity_type_id, self.policy.max_items)
        if full:
            self._close(ticket, ClosedBy.SIZE, now)
        return full or len(batch.claims) == 1

    def defer(self, claim: Claim, until: float) -> None:
        """Let a claim join an open batch later."""
        heapq.heappush(self._deferred, (until, next(self._ticket), claim))

    def alone(self, claim: Claim, due: float, now: float) -> None:
        """Let a claim leave in a batch of its own, from a due time on."""
        self.put(Batch(claim.event.batch_key, (claim,), now, due, ClosedBy.WINDOW))

    def put(self, batch: Batch) -> int:
        """Let a batch leave, as it is, from its due time on; return its ticket."""
        ticket = next(self._ticket)
        self._waiting[ticket] = batch
        return ticket

    def hasten(self, entity_types: Collection[int], now: float) -> None:
        """Let what waits for a proof be asked for soon: items of these types were imported."""
        for ticket, batch in self._waiting.items():
            if batch.waits_since is not None and batch.key.entity_type_id in entity_types:
                soon = max(now, batch.waits_since + ASK_SECONDS)
                self._waiting[ticket] = batch.due_at(min(batch.due, soon))

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
        may: May = lambda _: True,
    ) -> Batch | None:
        """Return the oldest batch that may leave now; under pressure the oldest open one.

        `may`: whether a batch of a key may leave at all.
        """
        while self._deferred and self._deferred[0][0] <= now:
            self.add(heapq.heappop(self._deferred)[2], now)
        waiting = self._waiting
        suspected_from = self.suspected_from()
        due = self._due(now, suspected_from, pressure=pressure, may=may)
        if not due:
            return None

        ranked = self.ranked and self._differ()

        def turn(ticket: int) -> tuple[bool, int, float]:
            batch = waiting[ticket]
            suspected = suspected_from is not None and batch.suspected
            return suspected, -self._rank(batch, now) if ranked else 0, batch.opened_at

        first = min(due, key=turn)
        # Half-open it leaves as it is: filled up with suspects it would be one.
        if suspected_from is None and (ranked or waiting[first].refilled):
            self._prefer(first, now)
        if waiting[first].closed_by is None:
            window = waiting[first].due <= now
            self._close(first, ClosedBy.WINDOW if window else ClosedBy.PRESSURE, now)
        return self._fitting(waiting.pop(first), now)

    def _due(
        self, now: float, suspected_from: float | None, *, pressure: bool, may: May
    ) -> list[int]:
        """Return the tickets of the batches that may leave; the arguments are those of `take`."""
        waiting, still_open = self._waiting, self._open.values()
        due = [ticket for ticket, batch in waiting.items() if batch.due <= now]
        # Half-open, one batch decides: a poison item in it would pause the intake again.
        if suspected_from is not None and due and all(waiting[t].suspected for t in due):
            due += [ticket for ticket in still_open if not waiting[ticket].suspected]

        def leaves(ticket: int) -> bool:
            batch = waiting[ticket]
            return may(batch.key) and _earliest(batch, suspected_from) <= now

        due = [ticket for ticket in due if leaves(ticket)]
        return due or [ticket for ticket in still_open if pressure and leaves(ticket)]

    def next_time(self, may: May = lambda _: True, *, pressure: bool = False) -> float | None:
        """Return the loop time at which something may leave; None when nothing may.

        `may`: whether a batch of a key may leave at all; under pressure open ones may at once.
        """
        suspected_from = self.suspected_from()
        waiting = [batch for batch in self._waiting.values() if may(batch.key)]
        times = [max(batch.due, _earliest(batch, suspected_from)) for batch in waiting]
        if pressure:
            opened = [self._waiting[ticket] for ticket in self._open.values()]
            times += [
                max(batch.opened_at, _earliest(batch, suspected_from))
                for batch in opened
                if may(batch.key)
            ]
        times += [until for until, _, claim in self._deferred if may(claim.event.batch_key)]
        return min(times, default=None)

    def drain(self, now: float) -> None:
        """Close every open batch, so that it may leave at once; a proof is waited for no more."""
        for ticket in list(self._open.values()):
            self._close(ticket, ClosedBy.DRAIN, now)
        for ticket, batch in self._waiting.items():
            if batch.waits_since is not None:
                self._waiting[ticket] = batch.due_at(math.inf)

    def prune(self, keep: Callable[[Claim, float], bool]) -> list[Claim]:
        """Take out and return the claims that `keep(claim, due)` does not want to keep."""
        removed: list[Claim] = []
        for ticket, batch in self._waiting.items():
            gone = [claim for claim in batch.claims if not keep(claim, batch.due)]
            if gone:
                removed += gone
                self._waiting[ticket] = batch.only(c for c in batch.claims if c not in gone)
        self._drop_empty()
        lone = [entry for entry in self._deferred if not keep(entry[2], entry[0])]
        if lone:
            removed += [claim for _, _, claim in lone]
            self._deferred = [entry for entry in self._deferred if entry not in lone]
            heapq.heapify(self._deferred)
        return removed

    def _differ(self) -> bool:
        """Tell whether events of different priorities wait; some clients give 0 to each."""
        waiting = self._waiting.values()
        return len({claim.priority for batch in waiting for claim in batch.claims}) > 1

    def _rank(self, batch: Batch, now: float) -> int:
        return max(rank(claim, now, self.policy.patience) for claim in batch.claims)

    def _prefer(self, first: int, now: float) -> None:
        """Let the events of highest priority of a key leave in the batch that leaves."""
        waiting, leaves = self._waiting, self._waiting[first]
        if not leaves.gathered:
            return
        fresh = [t for t, each in waiting.items() if each.key == leaves.key and each.gathered]
        fresh.sort(key=lambda ticket: (ticket != first, waiting[ticket].opened_at))
        claims = [claim for ticket in fresh for claim in waiting[ticket].claims]
        room = self.most(leaves.key.entity_type_id, self.policy.max_items)
        ordered = order(claims, now, self.policy.patience)
        cut = packed(ordered, room=room, max_bytes=self.policy.max_bytes)
        # More than before, where sizes fit together less well.
        empty = leaves.part((), now)._replace(gathered=True)
        fresh += [self.put(empty) for _ in cut[len(fresh) :]]
        spare: list[list[Claim]] = [[] for _ in fresh[len(cut) :]]
        if spare and len(cut) > 1 and len(cut[-1]) < room:
            # The rest goes into the youngest batch, which may still be filled.
            rest, youngest = waiting[fresh[len(cut) - 1]], waiting[fresh[-1]]
            waiting[fresh[-1]] = youngest._replace(
                opened_at=min(rest.opened_at, youngest.opened_at), due=min(rest.due, youngest.due)
            )
            spare.append(cut.pop())
        for ticket, some in zip(fresh, [*cut, *spare], strict=True):
            waiting[ticket] = waiting[ticket].only(some)
        self._drop_empty()

    def _drop_empty(self) -> None:
        for ticket in [ticket for ticket, batch in self._waiting.items() if not batch.claims]:
            del self._waiting[ticket]
        self._open = {key: each for key, each in self._open.items() if each in self._waiting}

    def _fitting(self, batch: Batch, now: float) -> Batch:
        """Put back what the portal could not work off in one call, as it has shown lately."""
        most = self.most(batch.key.entity_type_id, self.policy.max_items)
        # Items that failed together stay together, so that the guilty one can be found.
        if len(batch.claims) > most and batch.fault is None:
            rest = batch.part(batch.claims[most:], now)
            self.put(rest._replace(gathered=batch.gathered))
            batch = batch.part(batch.claims[:most], now)
        return batch._replace(gathered=False)

    def _close(self, ticket: int, reason: ClosedBy, now: float) -> None:
        batch = self._waiting[ticket]
        self._waiting[ticket] = batch._replace(closed_by=reason, due=min(batch.due, now))
        if self._open.get(batch.key) == ticket:
            del self._open[batch.key]


def _earliest(batch: Batch, suspected_from: float | None) -> float:
    """Return the time before which a batch does not leave, although it is due."""
    return -math.inf if suspected_from is None or not batch.suspected else suspected_from
