"""Tells the circuit breaker and the lanes how events ended: what opens and closes them."""

from collections.abc import Callable
from typing import Protocol

from service.domain.circuit_breaker import CircuitBreaker
from service.domain.claim import Claim
from service.domain.decisions import Decision
from service.domain.history import Doubt
from service.domain.lanes import Lanes, LaneState
from service.domain.outcomes import Failed, FailureKind, Fault, Imported, Outcome, PauseReason
from service.importer.field_check import VALIDATION_FAILED
from service.importer.link_failures import CODES as LINK_CODES


class LaneKeeper(Protocol):
    """What follows when a lane closes or opens."""

    lanes: Lanes

    async def close(self, entity_type_id: int, reason: PauseReason, fault: Fault | None) -> None:
        """Close a lane; where its events cannot wait elsewhere, pause the whole intake."""

    def opened(self, entity_type_id: int) -> None:
        """Note that a lane is open again."""


class Evidence:
    """What is known of the portal, and of each entity type, by how events ended."""

    def __init__(
        self, breaker: CircuitBreaker, keeper: LaneKeeper, clock: Callable[[], float]
    ) -> None:
        """Tell this breaker, and the lanes of this keeper."""
        self.breaker = breaker
        self.keeper = keeper
        self.lanes = keeper.lanes
        self._clock = clock
        self._began = clock()

    def open_since(self, entity_type_id: int, since: float) -> float:
        """Return for how many seconds items of a type could be imported since a loop time.

        What was before this process does not count.
        """
        now, since = self._clock(), max(since, self._began)
        shut = self.lanes.shut_within(entity_type_id, since, now)
        return max(0.0, self._portal_open_since(since) - shut)

    def portal_open_seconds(self) -> float:
        """Return for how long the portal took imports, in the life of this process."""
        return self._portal_open_since(self._began)

    def _portal_open_since(self, since: float) -> float:
        now = self._clock()
        return now - since - self.breaker.shut.within(since, now)

    def open_seconds(self, entity_type_id: int) -> float:
        """Return for how long items of a type could be imported, in the life of this process."""
        return self.open_since(entity_type_id, self._began)

    async def ended(self, kind: int, decision: Decision) -> None:
        """Tell the breaker and the lane how events of a type ended."""
        ends = [outcome for _, outcome in decision.ended]
        done = [end for end in ends if isinstance(end, Imported)]
        imported = sum(not end.reconciled for end in done)
        found = sum(_is_found(claim, end) for claim, end in decision.ended)
        failed = [e for e in ends if isinstance(e, Failed) and e.kind is FailureKind.REJECTED]
        # A failure because of a link is no answer of the portal.
        refused = [each for each in failed if each.code not in LINK_CODES]
        judged = sum(each.code == VALIDATION_FAILED for each in refused)
        by_name = len(refused) - judged
        now = self._clock()
        self.breaker.ended(imported, by_name, now, found=found, judged=judged)
        before = self.lanes.state(kind)
        # The answer of an earlier call opens nothing.
        found = 0 if before is LaneState.TRIAL else found
        rejected = by_name + judged
        if self.lanes.answered(kind, accepted=imported, found=found, rejected=rejected, now=now):
            await self.keeper.close(kind, PauseReason.FAILURE_SHARE, None)
        elif before is LaneState.TRIAL and self.lanes.state(kind) is LaneState.OPEN:
            self.keeper.opened(kind)


def _is_found(claim: Claim, end: Outcome) -> bool:
    """Tell whether a look-up found an item that was made lately, perhaps by another process."""
    known = claim.known
    old = known.attempts == 0 and (known.earlier or known.doubt is Doubt.WEAK)
    return isinstance(end, Imported) and end.reconciled and not old
