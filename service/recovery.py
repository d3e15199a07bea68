"""Clears doubt: asks the portal which items exist, and says what follows for each event."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from service.domain.claims import Claim, Claims
from service.domain.doubt import Doubt
from service.domain.events import ExternalId
from service.domain.outcomes import (
    CallFailed,
    CallKind,
    Failed,
    FailureKind,
    Fault,
    Imported,
)
from service.domain.sequel import Cleared
from service.telemetry.metrics import Metrics

D = TypeVar("D")
BAD_REQUEST = 400

UNKNOWN_FATE = Failed(
    FailureKind.AMBIGUOUS,
    "CONNECTION_LOST",
    "the message was delivered before, nobody knows whether its item was imported, and the portal "
    "cannot be asked: look into the CRM, and publish the event again if the item is not there",
)


class Lookup(Protocol):
    """What recovery needs of the portal; every method raises CallFailed."""

    async def find(
        self, entity_type_id: int, wanted: Sequence[ExternalId]
    ) -> dict[ExternalId, list[int]]:
        """Return the ids of the items that carry the external ids, lowest first."""

    async def sees_any(self, entity_type_id: int) -> bool:
        """Tell whether reading items of a type is proved."""

    async def probe(self) -> None:
        """Make the cheapest call there is."""


class Recovery(Generic[D]):
    """Looks doubtful events up, believing "absent" only where reading is proved."""

    def __init__(
        self, *, portal: Lookup, claims: Claims[D], resend: bool, metrics: Metrics
    ) -> None:
        """`resend`: send again what may exist and cannot be asked for."""
        self._portal = portal
        self._claims = claims
        self._resend = resend
        self._metrics = metrics
        self._readable: set[int] = set()

    async def clear(self, claims: Sequence[Claim[D]]) -> Cleared[D]:
        """Look the doubtful among the claims up; raises CallFailed when that fails."""
        cleared: Cleared[D] = Cleared()
        doubtful = [claim for claim in claims if claim.known.doubt]
        try:
            found = await self._find([c for c in doubtful if c.event.external_id is not None])
            proved = await self._proved(doubtful, any_found=bool(found))
        except CallFailed as failed:
            if failed.fault.kind is not CallKind.UNSUPPORTED:
                raise
            # No items of a type that the portal does not know; the import will say the same.
            return Cleared(absent=_known_absent(claims))
        for claim in claims:
            if claim.known.doubt is Doubt.NONE:
                cleared.absent.append(claim)
            elif claim in found:
                cleared.ended.append((claim, self._reconciled(claim, found[claim])))
            elif claim.event.external_id is not None and (
                proved or claim.known.doubt is Doubt.WEAK
            ):
                self._believe_absent(claim, cleared)
            else:
                self._cannot_tell(claim, cleared)
        return cleared

    async def _find(self, claims: Sequence[Claim[D]]) -> dict[Claim[D], int]:
        """Return the item of each claim that has one; an item settles at most one event."""
        wanted = [claim.event.external_id for claim in claims]
        ids = [external for external in wanted if external is not None]
        if not ids:
            return {}
        entity_type_id = claims[0].event.entity_type_id
        try:
            items = await self._portal.find(entity_type_id, ids)
        except CallFailed as failed:
            await self._give_up_or_raise(failed)
            return {}
        found: dict[Claim[D], int] = {}
        for claim, external in zip(claims, wanted, strict=True):
            for item_id in sorted(items.get(external, ())) if external else ():
                if self._claims.own(claim.event, item_id):
                    found[claim] = item_id
                    break
        return found

    async def _proved(self, doubtful: Sequence[Claim[D]], *, any_found: bool) -> bool:
        """Tell whether an empty answer means that there is no item.

        Not worth a call for a weak doubt: such an event is sent either way.
        """
        if not doubtful:
            return True
        entity_type_id = doubtful[0].event.entity_type_id
        if any_found:
            self._readable.add(entity_type_id)
        if entity_type_id in self._readable:
            return True
        strong = [claim for claim in doubtful if claim.known.doubt is Doubt.STRONG]
        if all(claim.event.external_id is None for claim in strong):
            return False
        try:
            proved = await self._portal.sees_any(entity_type_id)
        except CallFailed as failed:
            await self._give_up_or_raise(failed)
            return False
        if proved:
            self._readable.add(entity_type_id)
        return proved

    async def _give_up_or_raise(self, failed: CallFailed) -> None:
        """Return when this type cannot be asked for; raise when the portal is shut or ill."""
        if not _refused_for_good(failed.fault):
            raise failed
        if failed.fault.kind is CallKind.SUSPECT:
            await self._portal.probe()

    def _reconciled(self, claim: Claim[D], item_id: int) -> Imported:
        self._metrics.reconciled.labels("yes").inc()
        earlier = claim.known.attempts == 0 and claim.known.doubt is Doubt.WEAK
        return Imported(item_id, reconciled=True, duplicate=earlier)

    def _believe_absent(self, claim: Claim[D], cleared: Cleared[D]) -> None:
        known = claim.known
        if known.doubt is Doubt.STRONG and not known.absent_once:
            known.absent_once = True
            cleared.again.append(claim)
            return
        self._metrics.reconciled.labels("no").inc()
        if known.refusal is not None:
            cleared.ended.append((claim, known.refusal))
            return
        known.surely_absent()
        cleared.absent.append(claim)

    def _cannot_tell(self, claim: Claim[D], cleared: Cleared[D]) -> None:
        known = claim.known
        if known.doubt is Doubt.STRONG and not self._resend:
            fault = known.fault or UNKNOWN_FATE
            cleared.ended.append(
                (
                    claim,
                    Failed(FailureKind.AMBIGUOUS, fault.code, fault.message, fault.http_status),
                )
            )
            return
        known.surely_absent()
        cleared.absent.append(claim)


def _refused_for_good(fault: Fault) -> bool:
    """Tell whether the portal will never answer this look-up, though it works otherwise."""
    if fault.kind is CallKind.SUSPECT:
        return True
    return fault.kind is CallKind.AMBIGUOUS and fault.http_status == BAD_REQUEST and fault.answered


def _known_absent(claims: Sequence[Claim[D]]) -> list[Claim[D]]:
    for claim in claims:
        claim.known.surely_absent()
    return list(claims)
