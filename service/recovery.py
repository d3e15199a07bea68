"""Clears doubt: asks the portal which items exist, and says what follows for each event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from service.domain.claims import Claim, Claims
from service.domain.doubt import Doubt
from service.domain.events import ExternalId
from service.domain.outcomes import (
    CallFailed,
    CallKind,
    Failed,
    FailureKind,
    Imported,
)
from service.domain.sequel import Cleared, Rules
from service.telemetry.metrics import Metrics

D = TypeVar("D")
BAD_REQUEST = 400
REFUSED_FOR_GOOD = frozenset({"invalid_arg_value", "error_argument"})
"""Codes that say that a look-up asks for what is not there, such as a field."""

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


@dataclass(frozen=True, slots=True)
class _Asked(Generic[D]):
    """The portal's answer; `believable`: what it does not show does not exist."""

    found: Mapping[Claim[D], int]
    believable: bool


class Recovery(Generic[D]):
    """Looks doubtful events up, believing "absent" only where reading is proved."""

    def __init__(
        self, *, portal: Lookup, claims: Claims[D], rules: Rules, metrics: Metrics
    ) -> None:
        """Ask the portal, by the rules."""
        self._portal = portal
        self._claims = claims
        self._resend = rules.resend
        self._patience = rules.retry.max_attempts
        self._metrics = metrics
        self._readable: set[int] = set()

    async def clear(self, claims: Sequence[Claim[D]], *, tries: int) -> Cleared[D]:
        """Look the doubtful among the claims up; raises CallFailed when that fails.

        `tries` counts the look-ups of these claims that have failed already.
        """
        cleared: Cleared[D] = Cleared()
        doubtful = [claim for claim in claims if claim.known.doubt]
        try:
            asked = await self._ask(doubtful)
        except CallFailed as failed:
            if failed.fault.kind is CallKind.UNSUPPORTED:
                # No items of a type that the portal does not know; the import says the same.
                return Cleared(absent=_known_absent(claims))
            await self._give_up_or_raise(failed, tries)
            self._readable.discard(claims[0].event.entity_type_id)
            asked = _Asked({}, believable=False)
        for claim in claims:
            if claim.known.doubt is Doubt.NONE:
                cleared.absent.append(claim)
            elif claim in asked.found:
                cleared.ended.append((claim, self._reconciled(claim, asked.found[claim])))
            elif claim.event.external_id is not None and (
                (asked.believable and claim.event.external_id.exact)
                or claim.known.doubt is Doubt.WEAK
            ):
                self._believe_absent(claim, cleared)
            else:
                self._cannot_tell(claim, cleared)
        return cleared

    async def _ask(self, doubtful: Sequence[Claim[D]]) -> "_Asked[D]":
        """Ask the portal for the items of the claims, and whether its silence means anything."""
        askable = [claim for claim in doubtful if claim.event.external_id is not None]
        if not askable:
            return _Asked({}, believable=False)
        entity_type_id = askable[0].event.entity_type_id
        found = await self._find(askable)
        if found:
            self._readable.add(entity_type_id)
        strong = any(claim.known.doubt is Doubt.STRONG for claim in askable)
        # Not worth a call for a weak doubt: such an event is sent either way.
        unproved = strong and entity_type_id not in self._readable
        if unproved and await self._portal.sees_any(entity_type_id):
            self._readable.add(entity_type_id)
        return _Asked(found, believable=entity_type_id in self._readable)

    async def _find(self, claims: Sequence[Claim[D]]) -> dict[Claim[D], int]:
        """Return the item of each claim that has one; an item settles at most one event."""
        wanted = [claim.event.external_id for claim in claims]
        items = await self._portal.find(
            claims[0].event.entity_type_id, [each for each in wanted if each is not None]
        )
        found: dict[Claim[D], int] = {}
        for claim, external in zip(claims, wanted, strict=True):
            for item_id in sorted(items.get(external, ())) if external else ():
                if self._claims.own(claim.event, item_id):
                    found[claim] = item_id
                    break
        return found

    async def _give_up_or_raise(self, failed: CallFailed, tries: int) -> None:
        """Return when this type cannot be asked for; raise when the portal is shut or ill."""
        fault = failed.fault
        if fault.kind is CallKind.SUSPECT:
            await self._portal.probe()
            return
        refused = fault.kind is CallKind.AMBIGUOUS and fault.answered
        for_good = fault.code.lower() in REFUSED_FOR_GOOD or tries >= self._patience
        if not (refused and fault.http_status == BAD_REQUEST and for_good):
            raise failed

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
        refused = known.refusal is not None
        if known.doubt is Doubt.STRONG and (refused or not self._resend):
            fault = known.fault or UNKNOWN_FATE
            cleared.ended.append(
                (
                    claim,
                    Failed(FailureKind.AMBIGUOUS, fault.code, fault.message, fault.http_status),
                )
            )
            return
        known.unproved = known.unproved or known.doubt is Doubt.STRONG
        known.surely_absent()
        cleared.absent.append(claim)


def _known_absent(claims: Sequence[Claim[D]]) -> list[Claim[D]]:
    for claim in claims:
        claim.known.surely_absent()
    return list(claims)
