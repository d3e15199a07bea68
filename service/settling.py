"""Settles: publishes outcomes until the broker has them, then acknowledges."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

from service.domain.claims import Claim, Claims, Resolved, Settlement
from service.domain.events import ItemEvent, Malformed
from service.domain.history import Ended, History
from service.domain.outcomes import Failed, FailureKind, Imported, Outcome
from service.domain.retry import RetryPolicy
from service.telemetry.labels import OUTCOMES
from service.telemetry.metrics import Metrics

_BACK_OFF = RetryPolicy(base=0.2, cap=10.0, max_attempts=1)

log = logging.getLogger(__name__)


class Delivery(Protocol):
    """One message handed over and not settled."""

    event: ItemEvent | Malformed
    received_at: float
    size: int
    copy: bool
    resubmitted: bool
    early: bool
    times: int

    @property
    def live(self) -> bool:
        """Whether it can still be acknowledged."""

    def ack(self) -> None:
        """Acknowledge it with the next `flush`."""

    async def flush(self) -> None:
        """Send what was acknowledged on its channel; never raises."""

    async def give_back(self) -> None:
        """Return it to its queue; never raises."""


class Publisher(Protocol):
    """Publishes outcomes."""

    async def publish(self, settlements: Sequence[Settlement[Delivery]]) -> list[bool]:
        """Return for each whether all its messages are confirmed; waits for a connection."""


class Settler:
    """The only place where deliveries end: settled, or given back.

    Publishes for ever until the broker confirms, so a slot stays taken while it cannot. `held`
    are the deliveries that have not ended, oldest first.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        claims: Claims[Delivery],
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """Settle through the publisher."""
        self._publisher = publisher
        self._claims = claims
        self._metrics = metrics
        self._clock = clock
        self._items = cache(metrics.items.labels)
        self._latency = {name: metrics.latency.labels(name) for name in OUTCOMES}
        self._alone: dict[Delivery, asyncio.Task[None]] = {}
        self._settling: set[Claim[Delivery]] = set()
        self.held: dict[Delivery, None] = {}
        self.history = History()

    @property
    def settling(self) -> int:
        """How many outcomes are being published."""
        return len(self._settling) + len(self._alone)

    def oldest_held(self) -> float:
        """Return the age of the oldest delivery held; callable from another thread."""
        try:
            oldest = next(iter(self.held))
        except (StopIteration, RuntimeError):
            return 0.0
        return max(0.0, self._clock() - oldest.received_at)

    async def settle(
        self,
        ended: Sequence[tuple[Claim[Delivery], Outcome]],
        resolved: Callable[[Resolved[Delivery], Outcome], None],
    ) -> None:
        """Publish outcomes until all are confirmed; after each try, end those that are.

        `resolved` is told what the end of each claim sets free.
        """
        started = self._clock()
        pending = [(claim, _settlement(claim, outcome)) for claim, outcome in ended]
        self._settling |= {claim for claim, _ in pending}
        tries = 0
        while pending:
            confirmed = await self._publisher.publish([each for _, each in pending])
            left = []
            settled: list[Delivery] = []
            for (claim, settlement), done in zip(pending, confirmed, strict=True):
                if done:
                    outcome = settlement.outcome
                    self._settling.discard(claim)
                    resolved(self._claims.resolve(claim, outcome), outcome)
                    self._end(claim.deliveries, outcome)
                    settled += claim.deliveries
                else:
                    left.append((claim, settlement))
            await _flush(settled)
            pending = left
            if pending:
                await _back_off(tries)
                tries += 1
        self._metrics.spent["settle"].inc(self._clock() - started)

    async def settle_message(self, delivery: Delivery, outcome: Outcome) -> None:
        """Settle a delivery that needs no claim: malformed, or of an event that ended before."""
        tries = 0
        task = asyncio.current_task()
        if task is not None:
            self._alone[delivery] = task
            task.add_done_callback(lambda _: self._alone.pop(delivery, None))
        settlement = Settlement(delivery.event, delivery, outcome)
        while not (await self._publisher.publish([settlement]))[0]:
            await _back_off(tries)
            tries += 1
        self._end([delivery], outcome)
        await delivery.flush()

    async def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge a copy of a message whose outcome is out already."""
        self._end([delivery], None)
        await delivery.flush()

    def overdue(self, before: float) -> list[Delivery]:
        """Take out deliveries received before a time whose outcome cannot be published.

        They must go back before the broker takes them back; their copies join the claim.
        """
        late: list[Delivery] = []
        for holder in self._settling:
            for claim in (holder, *holder.heirs):
                late += [each for each in claim.deliveries if each.received_at < before]
                claim.deliveries = [e for e in claim.deliveries if e.received_at >= before]
        for delivery, task in list(self._alone.items()):
            if delivery.received_at < before:
                task.cancel()
                late.append(delivery)
        return late

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Return deliveries to their queue, unsettled."""
        for delivery in deliveries:
            self.held.pop(delivery, None)
            if delivery.live:
                self._metrics.returned.inc()
                await delivery.give_back()
            else:
                self._metrics.lost.inc()

    def _end(self, deliveries: Sequence[Delivery], outcome: Outcome | None) -> None:
        """Acknowledge and count: the first carries the outcome, the others are copies."""
        for position, delivery in enumerate(deliveries):
            self._count(delivery, None if position else outcome)
            self.held.pop(delivery, None)
            delivery.ack()

    def _count(self, delivery: Delivery, outcome: Outcome | None) -> None:
        match outcome:
            case Failed(kind=FailureKind.MALFORMED):
                name = "malformed"
            case Failed():
                name = "failed"
            case Imported(duplicate=False):
                name = "imported"
            case _:
                name = "duplicate"
        if outcome is None and not delivery.live:
            self._metrics.lost.inc()
            return
        if isinstance(outcome, Failed):
            self._report(delivery.event, outcome)
        elif name == "imported":
            self._metrics.last_success.set(time.time())
        event, age = delivery.event, self._clock() - delivery.received_at
        if outcome is not None:
            code = outcome.code if isinstance(outcome, Failed) else None
            ended = Ended(event.event_id, event.entity_type_id, name, code, age, time.time())
            self.history.add(ended)
        entity_type = self._metrics.entity_type(event.entity_type_id)
        self._items(entity_type, name).inc()
        self._latency[name].observe(age)

    def _report(self, event: ItemEvent | Malformed, failed: Failed) -> None:
        """Tell operators of a failed event; the portal's own words stay out of the log."""
        code = self._metrics.code(failed.code)
        self._metrics.item_errors.labels(failed.kind, code).inc()
        self._metrics.dead_letters.labels(failed.kind).inc()
        log.warning(
            "event failed",
            extra={
                "event_id": event.event_id,
                "entity_type": event.entity_type_id,
                "kind": failed.kind,
                "code": failed.code,
            },
        )


def _settlement(claim: Claim[Delivery], outcome: Outcome) -> Settlement[Delivery]:
    known = claim.known
    return Settlement(
        claim.event,
        claim.deliveries[0],
        outcome,
        known.attempts,
        known.batch_id,
        known.warnings or (),
    )


async def _flush(deliveries: Sequence[Delivery]) -> None:
    """Send the acknowledgements of deliveries, whatever channels they came on."""
    for delivery in deliveries:
        await delivery.flush()


async def _back_off(tries: int) -> None:
    await asyncio.sleep(_BACK_OFF.delay(tries, 0.5 + random.random() / 2))  # noqa: S311 - jitter
