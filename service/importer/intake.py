"""Takes deliveries in, keeps what waits, and lets every delivery out: settled, or given back."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from service.domain.batching import Batcher
from service.domain.claim import Claim
from service.domain.claim_making import Noted, claim_of, noted_claim_of
from service.domain.claims import Claims, Repeat, Resolved
from service.domain.decisions import Decision
from service.domain.delivery import Delivery
from service.domain.events import ItemEvent, Malformed
from service.domain.lanes import Lanes
from service.domain.last_words import LastWord
from service.domain.limits import Limits
from service.domain.outcomes import Failed, FailureKind, Imported, Outcome
from service.domain.parking import DOUBT, DOUBTFUL, LINK, LINKS
from service.importer.background import BackgroundTasks
from service.importer.judging import Unjudged
from service.importer.memory import CallNotes
from service.importer.parking_lot import ParkingLot
from service.importer.results import Publisher
from service.importer.settlement import End, Settler
from service.telemetry import steady
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import AGAIN, contained

LINK_SECONDS = 5.0
"""Shortest time between two looks at what waits for links."""
RETURNED = 4
"""Histories of returned events are remembered for this many times the prefetch: returned
events come back first, unless another process takes them."""


class Desk:
    """Knows where every delivery is: with a claim, in the batcher, or on its way out."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        limits: Limits,
        metrics: Metrics,
        most: Callable[[int, int], int],
        wake: Callable[[], None],
        notes: CallNotes,
    ) -> None:
        """Start empty; `most` tells how many items of a type one call should carry.

        `wake` is called whenever something may be due earlier than before; `must_wait`, to be
        set before use, tells whether a new event could only wait for items in a batch.
        """
        self._limits = limits
        self._metrics = metrics
        self._wake = wake
        self._notes = notes
        self.claims = Claims(remember=limits.remember, returned=RETURNED * limits.prefetch)
        self.batcher = Batcher(limits.batch, most)
        self.settler = Settler(
            publisher=publisher,
            claims=self.claims,
            metrics=metrics,
            clock=notes.clock,
            remember=RETURNED * limits.prefetch,
        )
        self.background = BackgroundTasks(on_end=wake, metrics=metrics)
        self._unjudged = Unjudged(
            notes=notes, background=self.background, metrics=metrics, admit=self._admit
        )
        self.lanes = Lanes(limits.pause)
        self.must_wait: Callable[[Claim], bool] = lambda _: False
        self.lot = ParkingLot(
            claims=self.claims,
            settler=self.settler,
            background=self.background,
            metrics=metrics,
            clock=notes.clock,
            go_on=self._go_on,
        )

    @property
    def full(self) -> bool:
        """Whether as much is held as the broker may deliver."""
        return len(self.settler.held) >= self._limits.prefetch

    def accept(self, delivery: Delivery) -> None:
        """Take one delivery in; called for each, in order of arrival."""
        event, stay = delivery.event, delivery.stay
        self.settler.held[delivery] = None
        if stay is None or not stay.queue:
            self.lot.alone_since = min(self.lot.alone_since, steady.time())
        else:
            labels = self._metrics.waits(event.entity_type_id, stay.reason)
            self._metrics.unparked_total.labels(*labels).inc()
        with contained(self._metrics, "accept"):
            if isinstance(event, Malformed):
                failed = Failed(FailureKind.MALFORMED, event.code, event.message)
                self.background.start(self.settler.settle_message(delivery, failed))
            elif self._unjudged.must_wait(delivery):
                self._unjudged.add(delivery, event)
            else:
                self._admit(delivery, event)
        if self.full:
            self._wake()

    async def settle(self, ended: Sequence[End]) -> None:
        """Settle; work that a bug interrupts continues in the background, without blocking others.

        How the events ended is known: whatever happens here, they are not sent again.
        """
        stuck: list[End] | None = None
        with contained(self._metrics, "settle"):
            stuck = await self.settler.settle(ended, self._resolved)
        if stuck is None:
            stuck = [each for each in ended if self._is_open(each[0])]
        for each in stuck:
            self.background.start(self.settler.settle_apart(each, self._resolved))

    def _is_open(self, claim: Claim) -> bool:
        """Tell whether a claim has not wholly ended."""
        return self.claims.holds(claim) or any(d in self.settler.held for d in claim.deliveries)

    def wait(self, decision: Decision, may_go_on: Callable[[Claim], bool]) -> None:
        """Let claims wait for items; those go on that wait for what a batch has brought."""
        now = self._notes.clock()
        for claim, until in decision.later:
            self.batcher.defer(claim, until)
        parked: dict[tuple[str, str], list[Claim]] = {}
        for claim, queue, reason in decision.parked:
            if self.lot.exists:
                parked.setdefault((queue, reason), []).append(claim)
            else:
                self.batcher.defer(claim, now + LINK_SECONDS)
        for (queue, reason), claims in parked.items():
            self.lot.park(claims, queue, reason)
        self.batcher.hasten(decision.imported_types, now)
        self.batcher.hasten_deferred(may_go_on, now)

    def release(self, claims: Iterable[Claim]) -> None:
        """Give claims up unsettled; what is known of them is kept, their deliveries go back."""
        back = self.settler.released(claims)
        if back:
            self.background.start(self.settler.give_back(back))

    def living(self, claims: Sequence[Claim]) -> list[Claim]:
        """Return the claims of which a message is still ours; give the others up."""
        living = [claim for claim in claims if is_live(claim)]
        self.release([claim for claim in claims if claim not in living])
        return living

    def overdue(self, before: float) -> list[Delivery]:
        """Take out what was received before a time, and give up what is here no more."""
        late = self.settler.late(before)
        self.release(self.batcher.prune(lambda claim, _: is_live(claim)))
        return self.settler.taken(late)

    def _admit(self, delivery: Delivery, event: ItemEvent, *, known: bool = True) -> None:
        """Claim the event, or join its claim; `known`: notes of other processes were read."""
        # This process knows its own work better than any note.
        word = None if self.claims.is_held(event.identity) else self._notes.last_word(event)
        reliable = known and self._notes.memory.reliable
        claim = self._claim(delivery, event, word, reliable=reliable)
        claim.judged_at = steady.time() if reliable else float("-inf")
        self.lot.recall(claim, delivery.stay)
        admitted: Claim | Repeat | None = claim
        with contained(self._metrics, "admit") as work:
            admitted = self.claims.admit(claim, copy=delivery.copy, word=word)
        if work.struck and not self.claims.holds(claim):
            return
        if isinstance(admitted, Claim):
            self._schedule(admitted)
            return
        self._metrics.joined.inc()
        if isinstance(admitted, Repeat):
            self.background.start(self.settler.settle_message(delivery, admitted.imported))

    def _claim(
        self, delivery: Delivery, event: ItemEvent, word: LastWord | None, *, reliable: bool
    ) -> Claim:
        look_at = 0.0
        if delivery.stay is not None:
            delivery.stay = stay = self.lot.back(event, delivery.stay)
            if stay.perhaps_sent is not None:
                look_at = self._notes.provable(stay.perhaps_sent)
        # What a note says stays true when others are missing.
        if not (reliable or (word is not None and (word.perhaps_sent or word.stale))):
            return claim_of(
                delivery,
                event,
                ask=self._limits.ask,
                settle=self._limits.rules.settle,
                look_at=look_at,
                began=self.lot.alone_since,
            )
        if word is not None:
            look_at = max(look_at, self._notes.look_at(word))
        memory = self._notes.memory
        since = None if delivery.stay is None else memory.words.complete_since()
        noted = Noted(word, word is not None and word.writer == memory.writer, look_at, since)
        return noted_claim_of(delivery, event, noted, ask=self._limits.ask)

    def _schedule(self, claim: Claim) -> None:
        """Let a claim go its way; one that a bug keeps from that is not left to itself."""
        with contained(self._metrics, "schedule") as work:
            self._place(claim)
        if work.struck and claim not in self.batcher:
            self.background.start(self._schedule_later(claim))

    def recover(self, claims: Iterable[Claim]) -> None:
        """Let those claims go on that a bug has left in no place."""
        for claim in claims:
            if self.claims.holds(claim) and claim not in self.batcher and not claim.leaving:
                self.background.start(self._schedule_later(claim))

    async def _schedule_later(self, claim: Claim) -> None:
        claim.known = claim.known.struck_by_bug()
        await asyncio.sleep(AGAIN.delay(claim.known.struck, 1.0))
        if self.claims.holds(claim):
            self._schedule(claim)

    def _place(self, claim: Claim) -> None:
        """Let a claim join an open batch, once a look-up of it can prove anything.

        What must wait for that, or whose lane is closed, waits elsewhere.
        """
        now, kind = self._notes.clock(), claim.event.entity_type_id
        if claim.known.outcome is not None:
            # It stays known: should a bug strike here, it must not be sent again.
            self.background.start(self.settle([(claim, claim.known.outcome)]))
        elif not self._is_admitted(claim):
            self.lot.set_aside([claim], kind, str(self.lanes.reason(kind)))
        elif claim.known.struck:
            self.batcher.alone(claim, max(now, claim.known.look_at), now)
            self._wake()
        elif claim.known.doubt and self.lot.worth(claim, claim.known.look_at):
            self.lot.park([claim], DOUBTFUL, DOUBT)
        elif claim.known.doubt and claim.known.look_at > now:
            self.batcher.defer(claim, claim.known.look_at)
            self._wake()
        elif self._waits_for_items(claim):
            self.lot.park([claim], LINKS, LINK)
        elif self.batcher.add(claim, now):
            self._wake()

    def _waits_for_items(self, claim: Claim) -> bool:
        """Tell whether a claim can only wait; where little comes, what it needs may come soon."""
        if not claim.event.links or claim.known.doubt or not self.lot.exists:
            return False
        crowded = len(self.batcher) >= self._limits.batch.max_items
        new = all(each.stay is None for each in claim.deliveries)
        return crowded and new and self.must_wait(claim)

    def _is_admitted(self, claim: Claim) -> bool:
        """Tell whether a claim may join a batch; what was perhaps sent is looked up first."""
        if claim.known.asks_first:
            return True
        kind = claim.event.entity_type_id
        waited = any(d.stay is not None and d.stay.queue == str(kind) for d in claim.deliveries)
        return self.lanes.admits(kind, waited=waited)

    def _go_on(self, waiters: Sequence[Claim]) -> None:
        """Go on with what waited for a claim that waits elsewhere now."""
        for waiter in waiters:
            self._schedule(waiter)

    def _resolved(self, resolved: Resolved, outcome: Outcome) -> None:
        """Go on with what waited for a claim that has ended."""
        for waiter in resolved.starts:
            self._schedule(waiter)
        if isinstance(outcome, Imported):
            for waiter in resolved.repeats:
                again = resolved.success(waiter, outcome)
                for delivery in waiter.deliveries:
                    self.background.start(self.settler.settle_message(delivery, again))


def is_live(claim: Claim) -> bool:
    """Tell whether a message of a claim is still ours."""
    return True in [delivery.live for delivery in claim.deliveries]
