"""Remembers which events wait for which others: since when it counts, and whether in a circle."""

from collections.abc import Sequence
from typing import NamedTuple

from service.domain.events import Identity
from service.domain.last_words import event_digest
from service.domain.links import cycle

MAX_REFERENCES = 30_000
"""Of all waiting events together; the oldest are forgotten, which costs a name or a hurry."""
MAX_NAME = 80
"""Characters of an event's name in the message about a circle."""


class _Wait(NamedTuple):
    name: str
    open_at: float
    counts: bool
    waits_for: tuple[bytes, ...]


class LinkWaits:
    """The events that wait for items, as far as this process has seen them."""

    def __init__(self) -> None:
        """Start knowing none."""
        self._waits: dict[bytes, _Wait] = {}
        self._awaited: dict[bytes, int] = {}
        self._references = 0

    def __len__(self) -> int:
        """Return the number of events that wait."""
        return len(self._waits)

    def note(
        self, event: Identity, waits_for: Sequence[Identity], open_at: float, *, counts: bool
    ) -> float:
        """Note that an event waits; return the seconds that count since it was last noted.

        `open_at`: seconds that the portal has taken imports in the life of this process;
        `counts`: the time from now on counts.
        """
        known = self.end(event)
        digests = tuple(dict.fromkeys(map(event_digest, waits_for)))
        name = f"{event.entity_type_id}/{event.event_id}"
        name = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
        self._waits[event_digest(event)] = _Wait(name, open_at, counts, digests)
        for each in digests:
            self._awaited[each] = self._awaited.get(each, 0) + 1
        self._references += len(digests)
        while self._references > MAX_REFERENCES:
            self._forget(next(iter(self._waits)))
        return open_at - known.open_at if known is not None and known.counts and counts else 0.0

    def knows(self, event: Identity) -> bool:
        """Tell whether an event is known to wait."""
        return event_digest(event) in self._waits

    def end(self, event: Identity) -> _Wait | None:
        """Note that an event waits no more; return what was known of its waiting."""
        return self._forget(event_digest(event))

    def is_awaited(self, event: Identity) -> bool:
        """Tell whether somebody waits for an event."""
        return event_digest(event) in self._awaited

    def circle(self, event: Identity) -> list[str]:
        """Return the names of the events of a circle that an event waits in, itself first."""
        found = cycle(event_digest(event), self._waits_for)
        return [self._waits[each].name for each in found]

    def _waits_for(self, event: bytes) -> tuple[bytes, ...]:
        wait = self._waits.get(event)
        return () if wait is None else wait.waits_for

    def _forget(self, event: bytes) -> _Wait | None:
        wait = self._waits.pop(event, None)
        for each in () if wait is None else wait.waits_for:
            self._references -= 1
            self._awaited[each] -= 1
            if not self._awaited[each]:
                del self._awaited[each]
        return wait
