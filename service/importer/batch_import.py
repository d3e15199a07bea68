"""Carries one batch through its call: clears doubt, imports, and says what follows."""

import logging
import uuid
from collections.abc import Callable

from service.domain.batch import Batch
from service.domain.claims import Claims
from service.domain.codes import LANE_CODES
from service.domain.decisions import (
    UNFINISHED,
    Decision,
    Rules,
    after_failed_look_up,
    after_fault,
    after_look_up,
    after_report,
)
from service.domain.lanes import LaneState
from service.domain.leave import NotOurs, asked_before_sending
from service.domain.outcomes import (
    MISSING,
    Accepted,
    CallFailed,
    CallKind,
    Fault,
    RefusalKind,
    Report,
)
from service.importer.evidence import Evidence
from service.importer.fault_attribution import FaultAttribution, code_of, refusal_kind_of
from service.importer.field_check import Validator
from service.importer.link_resolution import LinkResolution, to_send
from service.importer.lookup import Clocks, Recovery
from service.importer.memory import CallNotes
from service.importer.portal import NEVER_RAN, Portal, answered, shown
from service.telemetry import steady
from service.telemetry.chance import chance
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import contained

log = logging.getLogger(__name__)


class Importer:
    """Makes the calls for one batch at a time and tells the circuit breaker what the portal said.

    Never waits between tries: what must go again is handed back with its due time.
    """

    def __init__(
        self,
        *,
        portal: Portal,
        claims: Claims,
        evidence: Evidence,
        rules: Rules,
        notes: CallNotes,
        metrics: Metrics,
    ) -> None:
        """Call the portal by the rules, and note each call; the notes know the loop's time.

        `may_send`, to be set before use, tells whether a batch is still ours to send.
        """
        self.may_send: Callable[[Batch], bool] = lambda _: True
        self._portal = portal
        self._evidence = evidence
        self._rules = rules
        self._metrics = metrics
        self._clock = clock = notes.clock
        self._notes = notes
        self._judge = FaultAttribution(portal=portal, evidence=evidence, rules=rules, clock=clock)
        self._recovery = Recovery(
            portal=portal,
            claims=claims,
            rules=rules,
            metrics=metrics,
            clocks=Clocks(clock, evidence.open_seconds),
        )
        self._recovery.words = lambda: notes.memory.words
        self.links = LinkResolution(
            portal=portal,
            claims=claims,
            rules=rules,
            metrics=metrics,
            notes=notes,
            open_seconds=evidence.portal_open_seconds,
        )
        self.links.waiting.lane_is_open = evidence.lanes.is_open
        self._validator = Validator(
            portal=portal, policy=rules.validation, metrics=metrics, clock=clock
        )

    async def carry(self, batch: Batch) -> Decision:
        """Look up what is in doubt, import the rest, and return what follows for every claim."""
        started = self._clock()
        decision = await self._carry(batch)
        with contained(self._metrics, "links"):
            decision = await self.links.after(decision)
        # What has become of the items is known: a bug in counting must not have them sent again.
        with contained(self._metrics, "count"):
            self._metrics.spent["call"].inc(self._clock() - started)
            await self._evidence.ended(batch.key.entity_type_id, decision)
            if self._recovery.set_back_seen:
                self._recovery.set_back_seen = False
                await self._notes.set_back()
        return decision

    async def _carry(self, batch: Batch) -> Decision:
        decision = Decision()
        ready: Batch | None = batch
        await self._validator.look(batch)
        if any(claim.known.doubt for claim in batch.claims):
            try:
                cleared = await self._recovery.clear(batch.claims, tries=batch.failed_look_ups)
            except CallFailed as failed:
                # After a broken call all go together: one of them is the reason.
                alone = batch.fault is None
                stuck = [c for c in batch.claims if c.known.doubt or not alone]
                left = [c for c in batch.claims if c not in stuck]
                ready = batch.part(left, batch.due) if left else None
                ready = await self._put_back(batch.only(stuck), ready, failed.fault, decision)
            else:
                decision, ready = after_look_up(
                    batch, cleared, rules=self._rules, now=self._clock(), chance=chance()
                )
                with contained(self._metrics, "note"):
                    await self._notes.after((), decision)
        ready = self._validated(ready, decision) if ready is not None else None
        if ready is not None:
            prepared = await self.links.prepare(ready, decision)
            ready = prepared.ready
            if prepared.kept is not None and prepared.fault is not None:
                ready = await self._put_back(prepared.kept, ready, prepared.fault, decision)
        if ready is None:
            return decision
        # Look-ups take time: the broker may have taken the messages back, the lane have closed.
        if not self.may_send(ready) or not self._may_import(ready):
            decision.again.append(ready.due_at(self._clock()))
            return decision
        return decision.add(await self._send(ready))

    def _may_import(self, batch: Batch) -> bool:
        """Tell whether its lane lets a batch leave; it may have closed during the look-up."""
        return self._evidence.lanes.state(batch.key.entity_type_id) is not LaneState.CLOSED

    async def _send(self, batch: Batch) -> Decision:
        """Note the call, make it, and note what became of it before anything is acknowledged."""
        at, withdrawn = steady.time(), []
        with contained(self._metrics, "note"):
            withdrawn = await self._notes.before(batch)
        decision = Decision()
        if withdrawn:
            decision.again.append(batch.part(withdrawn, max(c.known.look_at for c in withdrawn)))
            left = [claim for claim in batch.claims if claim not in withdrawn]
            if not left:
                return decision
            batch = batch.part(left, batch.due)
        made = await self._import(batch)
        with contained(self._metrics, "note"):
            await self._notes.after(batch.claims, made, at=at)
        return decision.add(made)

    def _validated(self, batch: Batch, decision: Decision) -> Batch | None:
        """Return what of a batch may be sent; the rest ends without a call."""
        refused = self._validator.refused(batch)
        if not refused:
            return batch
        decision.ended += refused
        out = [claim for claim, _ in refused]
        left = [claim for claim in batch.claims if claim not in out]
        return batch.part(left, batch.due) if left else None

    async def _import(self, batch: Batch) -> Decision:
        known = batch.claims[0].known
        if len(batch.claims) == 1 and (known.failures_alone or known.refusals_alone):
            self._metrics.isolations.inc()
        batch_id = uuid.uuid4().hex
        for claim in batch.claims:
            claim.known = claim.known.called(batch_id)
        try:
            with asked_before_sending(lambda: self.may_send(batch)):
                events = [to_send(claim) for claim in batch.claims]
                report = await self._portal.import_items(batch.key, events)
            return await self._answered(batch, report)
        except NotOurs:
            return self._withheld(batch)
        except CallFailed as failed:
            return await self._call_failed(batch, failed.fault)
        except BaseException:
            # Cancelled at the deadline, or a bug: the portal may have the body all the same.
            for claim in batch.claims:
                look_at = self._clock() + self._rules.settle
                claim.known = claim.known.perhaps_sent(UNFINISHED, look_at)
            raise

    def _withheld(self, batch: Batch) -> Decision:
        """Put a batch back that did not leave: the broker may have given its messages away."""
        log.warning("call withheld: the broker was not heard", extra={"items": len(batch.claims)})
        for claim in batch.claims:
            claim.known = claim.known.uncalled()
        return Decision(again=[batch.due_at(self._clock())])

    async def _answered(self, batch: Batch, report: Report) -> Decision:
        now = self._clock()
        report = self._once(batch, report)
        verdicts = list(zip(batch.claims, report, strict=True))
        decision = after_report(batch, report, now=now)
        # "100" is said before rights are looked at, so it tells nothing about them.
        passed = [
            v
            for v in report
            if refusal_kind_of(v) in {None, RefusalKind.REJECTED} and code_of(v) != "100"
        ]
        decision.add(await self._judge.denied(batch, verdicts, others=bool(passed)))
        log.info("batch answered", extra=answered(batch, report))
        return decision

    def _once(self, batch: Batch, report: Report) -> Report:
        """Believe an item id only if no other event has it: one item settles one event."""
        believed = {
            position: MISSING
            if isinstance(verdict, Accepted)
            and not self._recovery.answered(claim.event, verdict.item_id)
            else verdict
            for position, (claim, verdict) in enumerate(zip(batch.claims, report, strict=True))
        }
        return Report(len(report), believed)

    async def _call_failed(self, batch: Batch, fault: Fault) -> Decision:
        now = self._clock()
        log.warning("import call failed", extra=shown(batch, fault))
        if fault.kind in NEVER_RAN:
            for claim in batch.claims:
                claim.known = claim.known.uncalled()
        if fault.code.lower() in LANE_CODES:
            return await self._judge.lane_refused(batch, fault)
        if fault.kind is CallKind.SUSPECT and len(batch.claims) == 1:
            return await self._judge.suspect(batch, fault)
        # First of all the doubt: whatever happens next, these claims were perhaps sent.
        decision = after_fault(batch, fault, rules=self._rules, now=now, chance=chance())
        if fault.kind is not CallKind.SUSPECT and not await self._is_not_the_portals(batch, fault):
            self._judge.portal_failed(fault)
        if fault.kind in {CallKind.SUSPECT, CallKind.AMBIGUOUS}:
            for claim in batch.claims:
                known, refused = claim.known, fault.kind is CallKind.SUSPECT
                claim.known = known.refused(now) if refused else known.broke(now)
        return decision

    async def _is_not_the_portals(self, batch: Batch, fault: Fault) -> bool:
        """Tell whether a broken call is the affair of its items, or of their type."""
        if fault.kind is not CallKind.AMBIGUOUS:
            return False
        self._metrics.ambiguous.inc()
        return await self._judge.broken(batch, fault)

    async def _put_back(
        self, batch: Batch, others: Batch | None, fault: Fault, decision: Decision
    ) -> Batch | None:
        """Put back what could not be looked up; return the others, if imports may go on."""
        log.warning("look-up failed", extra=shown(batch, fault))
        may_go_on = await self._judge.asking_failed(batch.key.entity_type_id, fault)
        now = self._clock()
        again = after_failed_look_up(batch, fault, rules=self._rules, now=now, chance=chance())
        decision.again.append(again)
        if others is not None and not may_go_on:
            decision.again.append(others.due_at(again.due))
        return others if may_go_on else None
