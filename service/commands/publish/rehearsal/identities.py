"""Notices ids that come again in one file, and items that would share an external id."""

from dataclasses import dataclass, field
from typing import TypeVar

from service.commands.publish.records import Record
from service.commands.publish.rehearsal.verdicts import Finding, Level
from service.domain.events import digest_of
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

    def is_new(self, record: Record) -> bool:
        """Note a good event; tell whether it is the first of its id."""
        event = record.event
        identity = digest_of(event.identity)
        if identity in self._events:
            return False
        _put(self._events, identity, (event.content, record.place.first), self.remembered)
        return True

    def findings(self, record: Record) -> list[Finding]:
        """Return what is wrong with the ids of an event; call it before the event is noted."""
        event = record.event
        before = self._events.get(digest_of(event.identity))
        if before is not None:
            return [_again(event.event_id, before[1], same=before[0] == event.content)]
        external = event.external_id
        if external is None or external.value == storable(event.event_id):
            return []
        parts = event.entity_type_id, external.field, external.value, external.originator
        shared, identity = digest_of(parts), digest_of(event.identity)
        other, line = self._brought.get(shared, (identity, 0))
        if other == identity:
            _put(self._brought, shared, (identity, record.place.first), self.remembered)
            return []
        text = f"brings the {external.field} that line {line} brings under another id"
        remedy = "a brought id must be unique: after a lost answer one item is taken for the other"
        return [Finding(Level.LOSS, "", text, remedy)]


def _again(event_id: str, line: int, *, same: bool) -> Finding:
    shown = event_id[:MAX_SHOWN]
    if same:
        text = f"the id {shown} stands already on line {line}, with the same content"
        return Finding(Level.NOTE, "", f"{text}: they become one item")
    text = (
        f"the id {shown} stands already on line {line}, with other content: only the first "
        "becomes an item, nothing is updated"
    )
    return Finding(Level.LOSS, "", text, "give every item an id of its own")


def _put(memory: dict[bytes, V], key: bytes, value: V, most: int) -> None:
    if len(memory) >= most:
        del memory[next(iter(memory))]
    memory[key] = value
