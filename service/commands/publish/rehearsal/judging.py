"""Judges item events as the importer and the portal will: by the portal's own list of fields."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from service.commands.publish.records import Record
from service.commands.publish.rehearsal.asking import Asking, Gone
from service.commands.publish.rehearsal.verdicts import (
    Finding,
    Level,
    of_complaint,
    of_foreseen,
    of_warning,
)
from service.domain.events import BatchKey, ItemEvent
from service.domain.external_id import ExternalIds
from service.domain.fields import Complaint, Field, complaints
from service.domain.foreseeing import foreseen, needs_admin
from service.domain.outcomes import CallFailed, CallKind, Fault
from service.importer.field_check import MAX_KINDS, read_item

Described = Mapping[str, Field] | Fault
_NO_FIELDS = "UNASKED"
_TOO_MANY = Finding(
    Level.UNJUDGED,
    _NO_FIELDS,
    f"the fields of more than {MAX_KINDS} entity types are not asked for",
    "rehearse fewer types at once",
)


@dataclass(slots=True, eq=False)
class Judge:
    """Judges one event after the other; asks once for the fields of each type.

    `rejects`: the setting VALIDATION has such items refused.
    """

    asking: Asking
    external_ids: ExternalIds
    rejects: bool
    _described: dict[BatchKey, Described] = field(default_factory=dict)
    _admin: bool | None = None
    _asked_who: bool = False

    async def findings(self, record: Record) -> list[Finding]:
        """Return what is to be said of an event, beside the ids and links that it has."""
        event = record.event
        own = [of_warning(each) for each in record.warnings]
        try:
            found = await self._by_the_portal(event)
        except Gone:
            found = [*map(of_warning, record.documented), self.unasked()]
        return [*own, *found, *self._about_type(event.entity_type_id)]

    def unasked(self) -> Finding:
        """Return the finding of a line that could not be judged any more."""
        gone = self.asking.gone
        cause = gone.cause if gone is not None else "the portal was not asked"
        text = f"fields, links, and what is in the CRM already, since {cause}"
        return Finding(Level.UNJUDGED, _NO_FIELDS, text, gone.remedy if gone is not None else "")

    async def _by_the_portal(self, event: ItemEvent) -> list[Finding]:
        known = await self.describe(event.batch_key)
        if known is None:
            return [_TOO_MANY]
        if isinstance(known, Fault):
            return [_of_fault(event.entity_type_id, known)]
        item = read_item(event)
        lost = complaints(item, known, original_names=event.original_names)
        if lost and self.rejects:
            return [of_complaint(each, rejects=True) for each in lost]
        admin = await self._is_admin() if needs_admin(item) else None
        refused = foreseen(item, known, admin=admin, now=datetime.now(UTC))
        names = {each.field for each in refused}
        return [*map(of_foreseen, refused), *_losses(lost, names)]

    async def describe(self, key: BatchKey) -> Described | None:
        """Return the fields of a type, or why they are unknown; None for one type too many.

        Raises Gone.
        """
        if key not in self._described:
            if len(self._described) >= MAX_KINDS:
                return None
            try:
                self._described[key] = await self.asking.ask(
                    lambda: self.asking.portal.fields(key)
                )
            except CallFailed as failed:
                self._described[key] = failed.fault
        return self._described[key]

    async def _is_admin(self) -> bool | None:
        if not self._asked_who:
            self._asked_who = True
            try:
                self._admin = (await self.asking.ask(self.asking.portal.oneself)).admin
            except CallFailed:
                self._admin = None
        return self._admin

    def _about_type(self, number: int) -> Iterator[Finding]:
        if self.external_ids.field_of(number) is None:
            yield Finding(
                Level.NOTE,
                "",
                f"type {number} has no external id: after a lost answer the importer cannot "
                f"look its items up, and links cannot refer to them",
                "name a text field of it in IMPORTER_BITRIX__EXTERNAL_ID_FIELDS",
            )


def _losses(lost: list[Complaint], refused: set[str]) -> Iterator[Finding]:
    """Yield what the portal would lose; of a field that it refuses that is no news."""
    return (of_complaint(each, rejects=False) for each in lost if each.field not in refused)


def _of_fault(number: int, fault: Fault) -> Finding:
    """Return what it means that the fields of a type are unknown."""
    if fault.kind is CallKind.UNSUPPORTED:
        told = fault.message.rstrip(".") or "the portal does not have it"
        text = f"{told} (entity type {number})"
        return Finding(Level.FAIL, fault.code, text, "look at entityTypeId")
    text = f"the fields of type {number}, since {fault.cause}"
    remedy = "give the user the right to read items of this type"
    return Finding(Level.UNJUDGED, _NO_FIELDS, text, remedy)
