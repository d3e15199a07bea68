"""Carries one batch through its call: clears doubt, imports, and says what follows."""

import logging
import random
import uuid
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from service.domain.batching import Batch
from service.domain.claims import Claim, Claims
from service.domain.events import BatchKey, ItemEvent
from service.domain.outcomes import (
    Accepted,
    CallFailed,
    CallKind,
    Failed,
    FailureKind,
    Fault,
    Outcome,
    PauseReason,
    Refused,
    Report,
    Standing,
)
from service.domain.pausing import Gate
from service.domain.sequel import (
    Rules,
    Sequel,
    after_failed_look_up,
    after_fault,
    after_look_up,
    after_report,
    rejected,
)
from service.recovery import Lookup, Recovery
from service.telemetry.metrics import Metrics

D = TypeVar("D")

NEVER_RAN = frozenset(
    {CallKind.THROTTLED, CallKind.OVER_BUDGET, CallKind.UNAVAILABLE, CallKind.BARRED}
)

log = logging.getLogger(__name__)


class Portal(Lookup, Protocol):
    """What the importer needs of the portal; every method raises CallFailed."""

    async def import_items(self, key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        """Import events of one key; the report has one verdict for each, in order."""

    def pace(self) -> tuple[float, str]:
        """Tell how many seconds an import would wait for the portal's limits, and for which."""

    def most(self, entity_type_id: int, most: int) -> int:
        """Return how many items of a type one call should carry, at most `most`."""


class Importer(Generic[D]):
    """Makes the calls for one batch at a time and keeps the gate informed.

    Never waits between tries: what must go again is handed back with its due time.
    """

    def __init__(
        self,
        *,
        portal: Portal,
        claims: Claims[D],
        gate: Gate,
        rules: Rules,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """Call the portal by the rules; `clock` is the loop's."""
        self._portal = portal
        self._gate = gate
        self._rules = rules
        self._claims = claims
        self._metrics = metrics
        self._clock = clock
        self._recovery = Recovery(
            portal=portal, claims=claims, resend=rules.resend, metrics=metrics
        )

    async def carry(self, batch: Batch[D]) -> Sequel[D]:
        """Look up what is in doubt, import the rest, and return what follows for every claim."""
        sequel: Sequel[D] = Sequel()
        ready: Batch[D] | None = batch
        if any(claim.known.doubt for claim in batch.claims):
            try:
                cleared = await self._recovery.clear(batch.claims)
            except CallFailed as failed:
                return self._look_up_failed(batch, failed.fault)
            sequel, ready = after_look_up(
                batch, cleared, rules=self._rules, now=self._clock(), chance=_chance()
            )
        if ready is None:
            return sequel
        return sequel.add(await self._import(ready))

    async def _import(self, batch: Batch[D]) -> Sequel[D]:
        if len(batch.claims) == 1 and batch.claims[0].known.solo_failures:
            self._metrics.isolations.inc()
        batch_id = uuid.uuid4().hex
        for claim in batch.claims:
            claim.known.attempts += 1
            claim.known.batch_id = batch_id
        try:
            report = await self._portal.import_items(batch.key, [c.event for c in batch.claims])
        except CallFailed as failed:
            return await self._call_failed(batch, failed.fault)
        return self._answered(batch, report)

    def _answered(self, batch: Batch[D], report: Report) -> Sequel[D]:
        now = self._clock()
        verdicts = list(zip(batch.claims, report, strict=True))
        for claim, verdict in verdicts:
            if isinstance(verdict, Accepted):
                self._claims.own(claim.event, verdict.item_id)
        accepted = sum(isinstance(verdict, Accepted) for verdict in report)
        named = sum(_standing(verdict) is Standing.REJECTED for verdict in report)
        self._gate.answered(accepted, named, now)
        sequel = after_report(batch, report, now=now)
        sequel.add(self._denied(batch, verdicts, others=accepted + named > 0))
        planless = [c for c, verdict in verdicts if _standing(verdict) is Standing.PLAN]
        if planless:
            self._gate.bar(PauseReason.PLAN, now)
            sequel.again.append(batch.part(planless, now + self._rules.retry.cap))
        log.info(
            "batch answered",
            extra={
                "batch_id": batch.claims[0].known.batch_id,
                "entity_type": batch.key.entity_type_id,
                "items": len(batch.claims),
                "accepted": accepted,
                "closed_by": batch.closed_by,
            },
        )
        return sequel

    def _denied(
        self, batch: Batch[D], verdicts: Sequence[tuple[Claim[D], object]], *, others: bool
    ) -> Sequel[D]:
        """Judge items that were denied: for their own sake, or for everybody's."""
        denied = [
            (claim, verdict)
            for claim, verdict in verdicts
            if isinstance(verdict, Refused) and verdict.standing is Standing.DENIED
        ]
        if not denied:
            return Sequel()
        if others:
            return Sequel(ended=[(claim, rejected(verdict)) for claim, verdict in denied])
        now = self._clock()
        again = batch.part([claim for claim, _ in denied], now)
        if len(denied) > 1:
            self._gate.bar(PauseReason.SCOPE, now)
            again.due = now + self._rules.retry.cap
            return Sequel(again=[again])
        return self._lone_suspect(again, rejected(denied[0][1]), PauseReason.SCOPE)

    async def _call_failed(self, batch: Batch[D], fault: Fault) -> Sequel[D]:
        now = self._clock()
        log.warning(
            "import call failed",
            extra={
                "kind": fault.kind,
                "code": fault.code,
                "http_status": fault.http_status,
                "items": len(batch.claims),
                "entity_type": batch.key.entity_type_id,
            },
        )
        if fault.kind in NEVER_RAN:
            for claim in batch.claims:
                claim.known.attempts -= 1
        if fault.kind in {CallKind.SUSPECT, CallKind.AMBIGUOUS}:
            for claim in batch.claims:
                claim.known.first_failed_at = claim.known.first_failed_at or now
        if fault.kind is CallKind.SUSPECT and len(batch.claims) == 1:
            return await self._suspect(batch, fault)
        if fault.kind is CallKind.AMBIGUOUS:
            self._metrics.ambiguous.inc()
            await self._count_against(batch, fault)
        if fault.kind is not CallKind.SUSPECT:
            self._tell_gate(fault)
        return after_fault(batch, fault, rules=self._rules, now=self._clock(), chance=_chance())

    def _look_up_failed(self, batch: Batch[D], fault: Fault) -> Sequel[D]:
        log.warning("look-up failed", extra={"kind": fault.kind, "code": fault.code})
        self._tell_gate(fault)
        return after_failed_look_up(
            batch, fault, rules=self._rules, now=self._clock(), chance=_chance()
        )

    def _tell_gate(self, fault: Fault) -> None:
        now = self._clock()
        match fault.kind:
            case CallKind.BARRED | CallKind.SUSPECT:
                self._gate.bar(fault.pause or PauseReason.UNAVAILABLE, now)
            case CallKind.UNAVAILABLE | CallKind.OVER_BUDGET:
                self._gate.trouble(fault.pause or PauseReason.UNAVAILABLE, now)
            case CallKind.AMBIGUOUS if not fault.answered:
                self._gate.trouble(PauseReason.UNAVAILABLE, now)
            case _:
                pass

    async def _count_against(self, batch: Batch[D], fault: Fault) -> None:
        """Count a failure against an item tried alone, if the portal is otherwise healthy."""
        if len(batch.claims) != 1:
            return
        claim = batch.claims[0]
        alone = self._gate.suspect("alone", claim.event.identity) == 1
        if self._passed_since(claim) or (
            (fault.answered or alone) and await self._probe() is None
        ):
            claim.known.solo_failures += 1

    async def _suspect(self, batch: Batch[D], fault: Fault) -> Sequel[D]:
        """Judge a refusal of one item that may be its own fault, or everybody's."""
        shut = await self._probe()
        reason = fault.pause or PauseReason.UNAVAILABLE
        if shut is not None:
            self._tell_gate(shut)
            batch.due = self._clock() + self._rules.retry.cap
            return Sequel(again=[batch])
        return self._lone_suspect(batch, fault.failed(FailureKind.REJECTED), reason)

    def _lone_suspect(self, batch: Batch[D], failure: Failed, reason: PauseReason) -> Sequel[D]:
        """End an item that is refused alone while others pass; pause when a second one is too."""
        claim, now = batch.claims[0], self._clock()
        known = claim.known
        known.first_failed_at = known.first_failed_at or now
        if self._gate.suspect(failure.code, claim.event.identity) > 1:
            self._gate.bar(reason, now)
            batch.due = now + self._rules.retry.cap
            return Sequel(again=[batch])
        known.solo_failures += 1
        worn_out = known.solo_failures >= self._rules.retry.max_attempts
        if self._passed_since(claim) or worn_out:
            ended: list[tuple[Claim[D], Outcome]] = [(claim, failure)]
            return Sequel(ended=ended)
        batch.due = now + self._rules.retry.delay(known.solo_failures, _chance())
        return Sequel(again=[batch])

    def _passed_since(self, claim: Claim[D]) -> bool:
        """Tell whether other items were imported since this one first failed."""
        first, last = claim.known.first_failed_at, self._gate.last_success
        return first is not None and last is not None and last > first

    async def _probe(self) -> Fault | None:
        """Return what keeps the portal from answering a cheap call; None when it answers."""
        try:
            await self._portal.probe()
        except CallFailed as failed:
            return failed.fault
        return None


def _standing(verdict: object) -> Standing | None:
    return verdict.standing if isinstance(verdict, Refused) else None


def _chance() -> float:
    return random.random()  # noqa: S311 - jitter
