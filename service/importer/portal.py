"""Says what the importer needs of the portal."""

from collections.abc import Sequence
from typing import Protocol

from service.domain.batch import Batch
from service.domain.events import BatchKey, ItemEvent
from service.domain.outcomes import Accepted, CallKind, Fault, PauseReason, Report
from service.importer.field_check import Describing
from service.importer.looking import Lookup

NEVER_RAN = frozenset(
    {CallKind.THROTTLED, CallKind.OVER_BUDGET, CallKind.UNAVAILABLE, CallKind.BARRED}
)


class Portal(Lookup, Describing, Protocol):
    """What the importer needs of the portal; every method raises CallFailed."""

    async def types(self) -> frozenset[int]:
        """Return the entity types that the portal lists."""

    async def import_items(self, key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        """Import events of one key; the report has one verdict for each, in order."""

    def pace(self) -> tuple[float, str]:
        """Tell how many seconds an import would wait for the portal's limits, and for which."""

    def shut_for(self, reason: PauseReason | None) -> float:
        """Return for how many seconds no call can help, though intake is paused for a reason."""

    def most(self, entity_type_id: int, most: int) -> int:
        """Return how many items of a type one call should carry, at most `most`."""


def shown(batch: Batch, fault: Fault) -> dict[str, object]:
    """Return what the log tells of a failed call; the portal's own words stay out."""
    return {
        "batch_id": batch.claims[0].known.batch_id,
        "entity_type": batch.key.entity_type_id,
        "items": len(batch.claims),
        "kind": fault.kind,
        "code": fault.code,
        "http_status": fault.http_status,
        "cause": fault.cause,
    }


def answered(batch: Batch, report: Report) -> dict[str, object]:
    """Return what the log tells of an answered call."""
    return {
        "batch_id": batch.claims[0].known.batch_id,
        "entity_type": batch.key.entity_type_id,
        "items": len(batch.claims),
        "accepted": sum(isinstance(verdict, Accepted) for verdict in report),
        "closed_by": batch.closed_by,
    }
