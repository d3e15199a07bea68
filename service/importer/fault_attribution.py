"""Judges whose fault a refusal is: the item's, its entity type's, or the portal's."""

from collections.abc import Callable, Sequence
from typing import Protocol

from service.domain.batch import Batch
from service.domain.claim import Claim
from service.domain.decisions import Decision, Rules, refused_alone, rejected
from service.domain.lanes import BROKEN_CALLS, LaneState
from service.domain.outcomes import (
    CallFailed,
    CallKind,
    Failed,
    Fault,
    PauseReason,
    RefusalKind,
    Refused,
)
from service.importer.evidence import Evidence
from service.telemetry.chance import chance


class Probe(Protocol):
    """What can be asked of a portal that may be shut."""

    async def probe(self) -> None:
        """Make the cheapest call there is; raises CallFailed."""


class FaultAttribution:
    """Keeps one item from holding up its lane, one lane the intake, and both from costing items.

    A refusal that could be the item's own ends the item only while others of its type pass. It
    closes the lane when a second, different item gets it too, and pauses the intake only when a
    probe of the portal fails.
    """

    def __init__(
        self,
        *,
        portal: Probe,
        evidence: Evidence,
        rules: Rules,
        clock: Callable[[], float],
    ) -> None:
        """Judge by what the lanes have seen and what a probe of the portal says."""
        self._portal = portal
        self._breaker = evidence.breaker
        self._lanes = evidence.lanes
        self._close = evidence.keeper.close
        self._retry = rules.retry
        tries = rules.retry.max_attempts
        self._fresh = tries * (rules.settle + rules.recheck + rules.retry.delay(tries, 1.0))
        self._clock = clock

    def portal_failed(self, fault: Fault) -> None:
        """Tell the circuit breaker what a failed call says about the portal."""
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

    async def asking_failed(self, entity_type_id: int, fault: Fault) -> bool:
        """Tell the circuit breaker of a failed look-up; tell whether imports may go on.

        A question that breaks is the affair of its entity type while the portal answers a probe:
        the type has one slot then. Look-ups have an execution time of their own.
        """
        if fault.kind is CallKind.OVER_BUDGET:
            return True
        if fault.kind is CallKind.AMBIGUOUS and await self._probe() is None:
            self._breaker.healthy()
            self._lanes.broke(entity_type_id, self._clock())
            return True
        self.portal_failed(fault)
        return False

    async def denied(
        self, batch: Batch, verdicts: Sequence[tuple[Claim, object]], *, others: bool
    ) -> Decision:
        """Judge items that were denied: for their own sake, or for their type's.

        Of several at once it is their type's first of all: the right may just have been taken
        away, although others passed since their last refusal.
        """
        denied = _with(verdicts, RefusalKind.DENIED)
        alone = len(denied) == 1

        def is_own(claim: Claim) -> bool:
            tried = alone or claim.known.attempts >= self._retry.max_attempts
            return others or (tried and self._passed_since(claim, claim.known.refused_at))

        own = [claim for claim, _ in denied if is_own(claim)]
        decision = Decision(ended=[(c, rejected(why)) for c, why in denied if c in own])
        left = [(claim, why) for claim, why in denied if claim not in own]
        await self._refused_by_name(batch, left, decision)
        # Not its own fault, even if others pass: the plan may have ended during the call.
        barred = _with(verdicts, RefusalKind.BARRED, RefusalKind.BARRED_UNCLEAR)
        for pause in dict.fromkeys(_pause_of(why) for _, why in barred):
            several = [(claim, why) for claim, why in barred if _pause_of(why) is pause]
            await self._refused_by_name(batch, several, decision)
        return decision

    async def _refused_by_name(
        self,
        batch: Batch,
        refused: Sequence[tuple[Claim, Refused]],
        decision: Decision,
    ) -> None:
        """Say what follows for items that were refused by a code which tells of all of a type."""
        if not refused:
            return
        now, unclear = self._clock(), RefusalKind.BARRED_UNCLEAR
        again = batch.part([claim for claim, _ in refused], now)
        for claim, why in refused:
            if why.refusal_kind is unclear:
                claim.known = claim.known.perhaps_sent(rejected(why), now)
        fault, reason = refused[0][1].fault, _pause_of(refused[0][1])
        if len(refused) == 1:
            [(claim, why)] = refused
            made = await self._lone_suspect(again, rejected(why), reason, fault, own=False)
            if made.ended and why.refusal_kind is unclear:
                # It may be saved: its end stands if a look-up does not find it.
                claim.known = claim.known.perhaps_sent(rejected(why), now, stands=True)
                made = Decision(again=[again])
            decision.add(made)
            return
        for claim, _ in refused:
            claim.known = claim.known.refused(now)
        await self._close(batch.key.entity_type_id, reason, fault)
        decision.again.append(again.due_at(now + self._retry.cap))

    async def lane_refused(self, batch: Batch, fault: Fault) -> Decision:
        """Close the lane of a type that the portal refuses as a whole: its plan has none of it."""
        await self._close(batch.key.entity_type_id, fault.pause or PauseReason.PLAN, fault)
        return Decision(again=[batch.due_at(self._clock() + self._retry.cap)])

    async def broken(self, batch: Batch, fault: Fault) -> bool:
        """Judge a broken call; tell whether it says nothing of the portal as a whole.

        It counts against an item tried alone, if others of its type passed meanwhile or it is the
        only one that breaks its calls: of its type since an item of that was accepted, however
        often the lane has closed since, and of all types while none passes. It closes the lane
        when several calls of it broke in a row while other types pass, or for long. Both only
        while the portal answers a probe.
        """
        kind, own = batch.key.entity_type_id, False
        in_a_row, lasting = self._lanes.broke(kind, self._clock())
        others_pass = self._lanes.others_passed(kind)
        lane = in_a_row >= BROKEN_CALLS and (others_pass or lasting >= self._breaker.lasting)
        if len(batch.claims) == 1:
            claim = batch.claims[0]
            several = self._lanes.broke_alone(claim.event.identity) > 1 or (
                not others_pass and self._lanes.others_break(kind, self._clock() - self._fresh)
            )
            own = self._passed_since(claim, claim.known.first_failed_at, found=True) or not several
        if not (own or lane):
            return others_pass
        shut = await self._probe()
        if shut is not None:
            return False
        self._breaker.healthy()
        if own:
            batch.claims[0].known = batch.claims[0].known.failed_alone()
        else:
            await self._close(kind, PauseReason.UNAVAILABLE, fault)
        return True

    async def suspect(self, batch: Batch, fault: Fault) -> Decision:
        """Judge a refusal of one item that may be its own fault, or everybody's."""
        shut = await self._probe()
        reason = fault.pause or PauseReason.UNAVAILABLE
        if shut is not None:
            self.portal_failed(shut)
            return Decision(again=[batch.due_at(self._clock() + self._retry.cap)])
        # A code of credentials, scope or plan alone never ends an item.
        own = fault.pause is None
        failure = refused_alone(batch.claims[0], fault)
        return await self._lone_suspect(batch, failure, reason, fault, own=own)

    async def _lone_suspect(
        self,
        batch: Batch,
        failure: Failed,
        reason: PauseReason,
        fault: Fault | None,
        *,
        own: bool,
    ) -> Decision:
        """End an item that is refused alone while others pass; close its lane for a second one.

        `own`: nothing but the item can be the reason, so it ends after enough tries as well.
        """
        claim, now = batch.claims[0], self._clock()
        passed = self._passed_since(claim, claim.known.compared_since)
        known = claim.known = claim.known.refused_alone(now, others_passed=passed, own=own)
        times = known.failures_alone if own else known.refusals_alone
        ended = Decision(ended=[(claim, failure)])
        # Credentials that come and go refuse everybody at times: once may be chance.
        if known.passed_by > (0 if own else 1):
            return ended
        if (own or known.passed_by) and times >= self._retry.max_attempts:
            return ended
        others = self._lanes.suspect(failure.code, claim.event.identity) > 1
        # On trial it counts how often it was tried before it waited: one call is enough.
        trial = self._lanes.state(batch.key.entity_type_id) is LaneState.TRIAL
        tried = max(times, known.attempts if trial else 0)
        worn_out = tried >= self._retry.max_attempts
        if others or (worn_out and not known.passed_by):
            await self._close(batch.key.entity_type_id, reason, fault)
            return Decision(again=[batch.due_at(now + self._retry.cap)])
        return Decision(again=[batch.due_at(now + self._retry.delay(times, chance()))])

    def _passed_since(self, claim: Claim, failed_at: float | None, *, found: bool = False) -> bool:
        """Tell whether others of its type were imported since an item failed, and lately.

        An old success says nothing of the portal now; all tries of an item must fit, though.
        `found`: one that was only found counts; of rights it says nothing, it is older.
        """
        last = self._lanes.passed_at(claim.event.entity_type_id, found=found)
        if failed_at is None or last is None:
            return False
        return last > failed_at and self._clock() - last <= self._fresh

    async def _probe(self) -> Fault | None:
        """Return what keeps the portal from answering a cheap call; None when it answers."""
        try:
            await self._portal.probe()
        except CallFailed as failed:
            return failed.fault
        return None


def refusal_kind_of(verdict: object) -> RefusalKind | None:
    """Return the kind of a refusal; None for anything else."""
    return verdict.refusal_kind if isinstance(verdict, Refused) else None


def code_of(verdict: object) -> str | None:
    """Return the code of a refusal; None for anything else."""
    return verdict.code if isinstance(verdict, Refused) else None


def _pause_of(refused: Refused) -> PauseReason:
    """Return what the lane of an item closes for that was refused by name."""
    return (refused.fault and refused.fault.pause) or PauseReason.SCOPE


def _with(
    verdicts: Sequence[tuple[Claim, object]], *kinds: RefusalKind
) -> list[tuple[Claim, Refused]]:
    """Return the claims that were refused so."""
    return [(c, v) for c, v in verdicts if isinstance(v, Refused) and v.refusal_kind in kinds]
