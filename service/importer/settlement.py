"""Settles: publishes outcomes until the broker has them, then acknowledges."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from service.domain.claim import Claim
from service.domain.claims import Claims, Resolved, message_digest
from service.domain.delivery import Delivery
from service.domain.events import ItemEvent
from service.domain.outcomes import Outcome
from service.domain.retry import broker_delay
from service.importer.outcome_metrics import Reckoner
from service.importer.results import Ending, Outlet, Publisher
from service.telemetry.chance import chance
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import AGAIN, contained

log = logging.getLogger(__name__)


End = tuple[Claim, Outcome]
Resolve = Callable[[Resolved, Outcome], None]


class Settler:
    """The only place where deliveries end: settled, or given back.

    Publishes until the broker confirms, so a slot stays taken while it cannot. Only for a message
    that is here: an outcome whose last delivery is gone is kept, and its copy ends with it. Of a
    failed event the result goes first, its dead letter once that is confirmed. What is confirmed
    is not published again. `held` are the deliveries that have not ended, oldest first.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        claims: Claims,
        metrics: Metrics,
        clock: Callable[[], float],
        remember: int,
    ) -> None:
        """Settle through the publisher; remember this many results without their dead letter."""
        self._outlet = Outlet(publisher=publisher, metrics=metrics, remember=remember)
        self._claims = claims
        self._metrics = metrics
        self._clock = clock
        self._reckoner = Reckoner(metrics, clock)
        self._alone: dict[Delivery, Ending] = {}
        self._returning = asyncio.Lock()
        self.held: dict[Delivery, None] = {}
        self.history = self._reckoner.history
        self.settling = 0
        """How many outcomes are being published."""

    def oldest_held(self, *, waiting: bool = False) -> float:
        """Return the age of the oldest delivery held; callable from another thread.

        Without those that wait in doubt or for items, unless `waiting` ones count as well.
        """
        # Copied at once, before the loop can change it.
        oldest = next((e for e in list(self.held) if waiting or not self._waits(e)), None)
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest.received_at)

    def _waits(self, delivery: Delivery) -> bool:
        event = delivery.event
        return isinstance(event, ItemEvent) and self._claims.waits(event.identity)

    async def settle(self, ended: Sequence[End], resolved: Resolve) -> list[End]:
        """Publish outcomes until all are confirmed; after each try, end those that are.

        `resolved` is told what the end of each claim sets free. Returns those that a bug keeps
        from being published: they are to be settled alone, later.
        """
        started = self._clock()
        pending = [self._outlet.of_claim(claim, outcome) for claim, outcome in ended]
        stuck = await self._publish_all(pending, resolved)
        self._metrics.spent["settle"].inc(self._clock() - started)
        return [(each.claim, each.outcome) for each in stuck if each.claim is not None]

    async def settle_apart(self, ended: End, resolved: Resolve) -> None:
        """Settle a claim that a bug keeps from being settled, however often it takes."""
        tries, stuck = 0, [ended]
        while stuck:
            await asyncio.sleep(AGAIN.delay(tries, 1.0))
            tries += 1
            with contained(self._metrics, "settle apart"):
                stuck = await self.settle(stuck, resolved)

    async def settle_message(self, delivery: Delivery, outcome: Outcome) -> None:
        """Settle a delivery that needs no claim: malformed, or of an event imported before."""
        if delivery.copy and self._joined(delivery):
            return
        ending = self._alone[delivery] = self._outlet.of_message(delivery, outcome)
        tries = 0
        try:
            while await self._publish_all([ending], _nothing_waits):
                ending.struck = False
                await asyncio.sleep(AGAIN.delay(tries, 1.0))
                tries += 1
        finally:
            del self._alone[delivery]

    def _joined(self, copy: Delivery) -> bool:
        """Let a copy of a message share the outcome that is being published for that one."""
        digest = message_digest(copy.event)
        for ending in self._alone.values():
            if not ending.done and message_digest(ending.event) == digest:
                ending.deliveries.append(copy)
                return True
        return False

    def late(self, before: float) -> list[Delivery]:
        """Take out what was received before a time: it goes back before the broker takes it.

        Claims and outcomes stay, and their copies join them.
        """
        late = dict.fromkeys(each for each in self.held if each.received_at < before)
        if late:
            self._claims.take_back(late.__contains__)
            for ending in self._alone.values():
                ending.deliveries[:] = [each for each in ending.deliveries if each not in late]
        return list(late)

    def released(self, claims: Iterable[Claim]) -> list[Delivery]:
        """Give claims up unsettled, keep what is known of them; return what must go back."""
        return self.taken(each for claim in claims for each in self._claims.release(claim))

    def taken(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Take deliveries that will go back out of `held`; return them in order of arrival."""
        back = set(deliveries)
        ordered = [each for each in self.held if each in back]
        for each in ordered:
            del self.held[each]
        return ordered

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Return deliveries to their queue, unsettled, one by one in their order."""
        async with self._returning:
            for delivery in deliveries:
                if not delivery.live:
                    self._metrics.lost.inc()
                    continue
                self._metrics.returned.inc()
                with contained(self._metrics, "give back"):
                    await delivery.give_back()

    async def _publish_all(self, pending: list[Ending], resolved: Resolve) -> list[Ending]:
        """Publish until all have ended, but for those that a bug strikes: these are returned."""
        stuck: list[Ending] = []
        tries, many = 0, len(pending)
        self.settling += many
        try:
            while pending := await self._once(pending, stuck, resolved):
                await _back_off(tries)
                tries += 1
        finally:
            self.settling -= many
        return stuck

    async def _once(
        self, pending: list[Ending], stuck: list[Ending], resolved: Resolve
    ) -> list[Ending]:
        """Make one try; return what has to go again."""
        await self._outlet.ready()
        here = [each for each in pending if self._is_here(each, resolved)]
        if here:
            await self._outlet.publish(here)
            await self._flush(self._end_done(here, resolved))
        stuck += [each for each in here if each.struck]
        return [each for each in here if not each.done and not each.struck]

    def _is_here(self, ending: Ending, resolved: Resolve) -> bool:
        """Tell whether a message of an ending is still here; if not, keep the outcome."""
        claim = ending.claim
        if claim is not None:
            ending.deliveries = claim.deliveries
        gone = [each for each in ending.deliveries if not each.live]
        for each in gone:
            ending.deliveries.remove(each)
            if each in self.held:
                del self.held[each]
                self._metrics.lost.inc()
        if ending.deliveries:
            return True
        if claim is not None:
            resolved(self._claims.keep(claim, ending.outcome), ending.outcome)
        else:
            self._outlet.remember(ending)
        return False

    def _end_done(self, pending: Sequence[Ending], resolved: Resolve) -> list[Delivery]:
        """End those that are all confirmed; return their deliveries, to be acknowledged."""
        settled: list[Delivery] = []
        for each in pending:
            # Its message may have gone back while it was published.
            if not each.done or not self._is_here(each, resolved):
                continue
            with contained(self._metrics, "end") as work:
                if each.claim is not None:
                    resolved(self._claims.resolve(each.claim, each.outcome), each.outcome)
                self._end(each)
                settled += each.deliveries
            each.struck = work.struck
        return settled

    async def _flush(self, deliveries: Sequence[Delivery]) -> None:
        """Send the acknowledgements of deliveries of any channel."""
        for delivery in deliveries:
            with contained(self._metrics, "acknowledge"):
                await delivery.flush()

    def _end(self, ending: Ending) -> None:
        """Acknowledge and count: the first carries the outcome, the others are copies."""
        known = None if ending.claim is None else ending.claim.known
        batch_id, attempts = (known.batch_id, known.attempts) if known is not None else (None, 0)
        for position, delivery in enumerate(ending.deliveries):
            outcome = None if position else ending.outcome
            with contained(self._metrics, "count"):
                self._reckoner.ended(delivery, outcome, batch_id=batch_id, attempts=attempts)
            self.held.pop(delivery, None)
            delivery.ack()


async def _back_off(tries: int) -> None:
    await asyncio.sleep(broker_delay(tries, chance()))


def _nothing_waits(_: Resolved, __: Outcome) -> None:
    """Do nothing: no claim ends here."""
