"""Says what the importer needs of the portal."""

from collections.abc import Sequence
from typing import Protocol

from service.domain.events import BatchKey, ItemEvent
from service.domain.outcomes import CallKind, Failed, FailureKind, PauseReason, Report
from service.importer.field_check import Describing
from service.importer.lookup import Lookup

NEVER_RAN = frozenset(
    {CallKind.THROTTLED, CallKind.OVER_BUDGET, CallKind.UNAVAILABLE, CallKind.BARRED}
)

UNFINISHED = Failed(
    FailureKind.REJECTED,
    "UNREADABLE_ANSWER",
    "the call to the portal was broken off on our side; its item may or may not exist",
)


class Portal(Lookup, Describing, Protocol):
    """What the importer needs of the portal; every method raises CallFailed."""

    async def import_items(self, key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        """Import events of one key; the report has one verdict for each, in order."""

    def pace(self) -> tuple[float, str]:
        """Tell how many seconds an import would wait for the portal's limits, and for which."""

    def shut_for(self, reason: PauseReason | None) -> float:
        """Return for how many seconds no call can help, though intake is paused for a reason."""

    def most(self, entity_type_id: int, most: int) -> int:
        """Return how many items of a type one call should carry, at most `most`."""
