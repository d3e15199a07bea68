"""Notices ids that come again in one file, and items that would share an external id."""

from dataclasses import dataclass, field
from typing import TypeVar

from service.commands.publish.records import Record
from service.commands.publish.rehearsal.verdicts import Finding, Level
from service.domain.events import ExternalId, ItemEvent, Reference, digest_of
from service.domain.external_id import storable

V = TypeVar("V")

REMEMBERED = 200_000
"""Events that are remembered, the newest; each takes about 200 bytes."""
MAX_SHOWN = 80


@dataclass(slots=True, eq=False)
class Identities:
    """Remembers good events as digests, with the line on which each stood first."""

    remembered: int = REMEMBERED
    _events: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    _brought: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    is_whole: bool = True

    def is_new(self, record: Record) -> bool:
        """Note a good event; tell whether it is the first of its id."""
        event = record.event
        identity = digest_of(event.identity)
        if identity in self._events:
            return False
        self.is_whole = self.is_whole and len(self._events) < self.remembered
        line = record.place.first
        _put(self._events, identity, (event.content, line), self.remembered)
        shared = _brought(event)
        if shared is not None and shared not in self._brought:
            _put(self._brought, shared, (identity, line), self.remembered)
        return True

    def meant(self, reference: Reference) -> bytes | None:
        """Return the digest of the good event whose item a reference means, if there is one."""
        identity = digest_of(reference.identity)
        if reference.originator is None and identity in self._events:
            return identity
        if reference.external_id is None:
            return None
        shared = _external(reference.entity_type_id, reference.external_id)
        other, _ = self._brought.get(shared, (None, 0))
        return other if other is not None and other in self._events else None

    def findings(self, record: Record) -> list[Finding]:
        """Return what is wrong with the ids of an event; call it before the event is noted."""
        event = record.event
        before = self._events.get(digest_of(event.identity))
        if before is not None:
            return [_again(event.event_id, before[1], same=before[0] == event.content)]
        shared = _brought(event)
        other = self._brought.get(shared) if shared is not None else None
        if other is None or event.external_id is None:
            return []
        field, line = event.external_id.field, other[1]
        text = f"has the same {field} as line {line}, which has another id"
        remedy = "this id must be unique: otherwise the importer can take one item for the other"
        return [Finding(Level.LOSS, "", text, remedy, alike=f"brought {field}")]


def _external(entity_type_id: int, external: ExternalId) -> bytes:
    return digest_of((entity_type_id, external.field, external.value, external.originator))


def _brought(event: ItemEvent) -> bytes | None:
    """Return the digest of an external id that an event brings itself."""
    external = event.external_id
    if external is None:
        return None
    stamped = external.originator is None or b'"originatorId"' in event.stamp
    ours = stamped and external.value == storable(event.event_id)
    return None if ours else _external(event.entity_type_id, external)


def _again(event_id: str, line: int, *, same: bool) -> Finding:
    shown = event_id[:MAX_SHOWN]
    if same:
        text = f"the id {shown} is already on line {line}, with the same content"
        return Finding(Level.NOTE, "", f"{text}: they become one item", alike="repeated")
    text = (
        f"the id {shown} is already on line {line}, with other content: only the first "
        f"becomes an item, nothing is updated"
    )
    return Finding(Level.LOSS, "", text, "give every item an id of its own", alike="changed")


def _put(memory: dict[bytes, V], key: bytes, value: V, most: int) -> None:
    if len(memory) >= most:
        del memory[next(iter(memory))]
    memory[key] = value
