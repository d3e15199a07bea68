"""Judges whose fault a refusal is: the item's, or the portal's."""

import random
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from service.domain.batching import Batch
from service.domain.circuit_breaker import CircuitBreaker
from service.domain.claims import Claim
from service.domain.decisions import Decision, Rules, refused_alone, rejected
from service.domain.outcomes import (
    CallFailed,
    CallKind,
    Failed,
    Fault,
    PauseReason,
    RefusalKind,
    Refused,
)

D = TypeVar("D")


class Probe(Protocol):
    """What can be asked of a portal that may be shut."""

    async def probe(self) -> None:
        """Make the cheapest call there is; raises CallFailed."""


class FaultAttribution(Generic[D]):
    """Keeps one item from holding up the intake, and the portal's trouble from costing items.

    A refusal that could be the item's own ends the item only while others pass, and pauses only
    when a second, different item gets it too or a probe confirms it.
    """

    def __init__(
        self, *, portal: Probe, breaker: CircuitBreaker, rules: Rules, clock: Callable[[], float]
    ) -> None:
        """Judge by what the gate has seen and what a probe of the portal says."""
        self._portal = portal
        self._breaker = breaker
        self._retry = rules.retry
        tries = rules.retry.max_attempts
        self._fresh = tries * (rules.settle + rules.recheck + rules.retry.delay(tries, 1.0))
        self._clock = clock

    def portal_failed(self, fault: Fault) -> None:
        """Tell the gate what a failed call says about the portal."""
        now = self._clock()
        self._breaker.fault = fault
        match fault.kind:
            case CallKind.BARRED | CallKind.SUSPECT:
                self._breaker.trip(fault.pause or PauseReason.UNAVAILABLE, now)
            case CallKind.UNAVAILABLE | CallKind.OVER_BUDGET:
                self._breaker.record_failure(fault.pause or PauseReason.UNAVAILABLE, now)
            case CallKind.AMBIGUOUS:
                self._breaker.record_failure(PauseReason.UNAVAILABLE, now, sure=False)
            case _:
                pass
        if fault.retry_after:
            reason = fault.pause or PauseReason.UNAVAILABLE
            self._breaker.left_alone(reason, fault.retry_after, now)

    def denied(
        self, batch: Batch[D], verdicts: Sequence[tuple[Claim[D], object]], *, others: bool
    ) -> Decision[D]:
        """Judge items that were denied: for their own sake, or for everybody's."""
        denied = [
            (claim, verdict)
            for claim, verdict in verdicts
            if isinstance(verdict, Refused) and verdict.refusal_kind is RefusalKind.DENIED
        ]
        own = [c for c, _ in denied if others or self._passed_since(c, c.known.refused_at)]
        decision: Decision[D] = Decision(
            ended=[(c, rejected(why)) for c, why in denied if c in own]
        )
        denied = [(claim, verdict) for claim, verdict in denied if claim not in own]
        if not denied:
            return decision
        now = self._clock()
        again = batch.part([claim for claim, _ in denied], now)
        if len(denied) > 1:
            for claim, _ in denied:
                claim.known.first_failed_at = claim.known.first_failed_at or now
                claim.known.refused_at = now
            self._breaker.fault = None
            self._breaker.trip(PauseReason.SCOPE, now)
            again.due = now + self._retry.cap
            decision.again.append(again)
            return decision
        failure = rejected(denied[0][1])
        return decision.add(self._lone_suspect(again, failure, PauseReason.SCOPE, own=False))

    async def broken(self, batch: Batch[D]) -> bool:
        """Count a broken call against an item tried alone, if the portal is otherwise healthy.

        It is when the portal answers a probe, and other items passed meanwhile or this is the
        only one that breaks its calls. Tells whether it was counted.
        """
        if len(batch.claims) != 1:
            return False
        claim = batch.claims[0]
        others = self._breaker.broke_alone(claim.event.identity) > 1
        healthy = self._passed_since(claim, claim.known.first_failed_at) or not others
        if not healthy or await self._probe() is not None:
            return False
        claim.known.failures_alone += 1
        return True

    async def suspect(self, batch: Batch[D], fault: Fault) -> Decision[D]:
        """Judge a refusal of one item that may be its own fault, or everybody's."""
        shut = await self._probe()
        reason = fault.pause or PauseReason.UNAVAILABLE
        if shut is not None:
            self.portal_failed(shut)
            batch.due = self._clock() + self._retry.cap
            return Decision(again=[batch])
        self._breaker.fault = fault
        # A code of credentials, scope or plan never ends an item on its own evidence.
        own = fault.pause is None
        failure = refused_alone(batch.claims[0], fault)
        return self._lone_suspect(batch, failure, reason, own=own)

    def _lone_suspect(
        self, batch: Batch[D], failure: Failed, reason: PauseReason, *, own: bool
    ) -> Decision[D]:
        """End an item that is refused alone while others pass; pause when a second one is too.

        `own`: nothing but the item can be the reason, so it ends after enough tries as well.
        """
        claim, now = batch.claims[0], self._clock()
        known = claim.known
        # The first time, whoever passed since it failed with others counts as well.
        again = known.passed_by or known.first_failed_at is None
        since = known.refused_at if again else known.first_failed_at
        passed = self._passed_since(claim, since)
        known.first_failed_at = known.first_failed_at or now
        known.refused_at = now
        # Tried anew from the first time that others passed; there may be no others later.
        first = passed and not known.passed_by
        known.failures_alone = 1 if first else known.failures_alone + 1
        ended: Decision[D] = Decision(ended=[(claim, failure)])
        known.passed_by += passed
        # Credentials that come and go refuse everybody at times: once may be chance.
        if known.passed_by > (0 if own else 1):
            return ended
        if (own or known.passed_by) and known.failures_alone >= self._retry.max_attempts:
            return ended
        others = self._breaker.suspect(failure.code, claim.event.identity) > 1
        if others or (
            known.failures_alone >= self._retry.max_attempts and self._idle_since(claim)
        ):
            self._breaker.trip(reason, now)
            batch.due = now + self._retry.cap
        else:
            batch.due = now + self._retry.delay(known.failures_alone, _chance())
        return Decision(again=[batch])

    def _passed_since(self, claim: Claim[D], failed_at: float | None) -> bool:
        """Tell whether others of its type were imported since an item failed, and lately.

        An old success says nothing of the portal now; all tries of an item must fit, though.
        """
        last = self._breaker.passed(claim.event.entity_type_id)
        if failed_at is None or last is None:
            return False
        return last > failed_at and self._clock() - last <= self._fresh

    def _idle_since(self, claim: Claim[D]) -> bool:
        """Tell whether nothing at all was imported since this item first failed."""
        first, last = claim.known.first_failed_at, self._breaker.last_success
        return last is None or first is None or last <= first

    async def _probe(self) -> Fault | None:
        """Return what keeps the portal from answering a cheap call; None when it answers."""
        try:
            await self._portal.probe()
        except CallFailed as failed:
            return failed.fault
        return None


def refusal_kind_of(verdict: object) -> RefusalKind | None:
    """Return the standing of a refusal; None for anything else."""
    return verdict.refusal_kind if isinstance(verdict, Refused) else None


def _chance() -> float:
    return random.random()  # noqa: S311 - jitter
