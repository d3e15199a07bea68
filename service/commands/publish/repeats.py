"""Notices an id that comes again with other content: only the first becomes an item."""

import hashlib
from dataclasses import dataclass, field

from service.commands.publish.records import Record

REMEMBERED = 200_000
"""Ids that are remembered, the newest; each takes about 150 bytes."""
_LINE_BITS = 40
MAX_SHOWN = 80


@dataclass(slots=True, eq=False)
class Repeats:
    """Remembers ids and bodies as digests; a collision would only make a false warning."""

    remembered: int = REMEMBERED
    _seen: dict[int, int] = field(default_factory=dict)

    def warning(self, record: Record) -> str | None:
        """Return what is wrong with an event whose id was seen with another body."""
        event = record.event
        if event.event_id == f"sha256:{event.digest}":
            return None
        identity = _digest(f"{event.entity_type_id} {event.event_id}")
        body = _digest(event.digest)
        before = self._seen.pop(identity, None)
        if before is None:
            self._forget()
            self._seen[identity] = (body << _LINE_BITS) + record.place.first
            return None
        self._seen[identity] = before
        if before >> _LINE_BITS == body:
            return None
        line = before % (1 << _LINE_BITS)
        return (
            f"the id {event.event_id[:MAX_SHOWN]} is already on line {line}, with other "
            f"content: only the first becomes an item, nothing is updated"
        )

    def _forget(self) -> None:
        if len(self._seen) >= self.remembered:
            del self._seen[next(iter(self._seen))]


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
