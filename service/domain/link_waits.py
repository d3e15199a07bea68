"""Remembers which events wait for which others: since when it counts, and whether in a circle."""

import struct
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from service.domain.bounded_memory import Remembered
from service.domain.events import Identity, event_digest
from service.domain.links import cycle

MAX_REFERENCES = 100_000
"""Of all waiting events together; the oldest are forgotten, which costs a name or a hurry."""
MAX_NAME = 80
"""Characters of an event's name in the message about a circle."""
PARTS = 8
"""So large a part of all, the oldest, is forgotten at once."""
MAX_IN_CIRCLES = 1_000
"""Events whose circle is still named after another one of it has ended."""
KEY_BYTES = 8
_HEAD = struct.Struct(">dd?H")


class _Wait(NamedTuple):
    open_at: float
    waited: float
    counts: bool
    name: str
    waits_for: tuple[bytes, ...]

    def packed(self) -> bytes:
        """Return it as one value: as a tuple of several it would take twice as much."""
        name = self.name.encode("utf-8", "surrogatepass")
        head = _HEAD.pack(self.open_at, self.waited, self.counts, len(name))
        return b"".join((head, name, *self.waits_for))


class LinkWaits:
    """The events that wait for items, of those that this process has seen.

    They lie in parts by age, as in `bounded_memory`: to drop the first of a large dictionary
    again and again takes ever longer.
    """

    def __init__(self) -> None:
        """Start knowing none."""
        self._parts: deque[dict[bytes, bytes]] = deque([{}])
        self._awaited: dict[bytes, int] = {}
        self._references = self._newest = 0
        self._circles: Remembered[bytes, tuple[int, Sequence[str]]] = Remembered(MAX_IN_CIRCLES)

    def __len__(self) -> int:
        """Return the number of events that wait."""
        return sum(map(len, self._parts))

    def counted(self, event: Identity, open_at: float, *, counts: bool) -> tuple[float, float]:
        """Return the seconds that had counted when an event was last noted, and those since then.

        Copies of an event share its time: many of them do not wait longer than one.
        """
        known = self._of(_key(event))
        if known is None:
            return 0.0, 0.0
        return known.waited, open_at - known.open_at if known.counts and counts else 0.0

    def note(
        self,
        event: Identity,
        waits_for: Sequence[Identity],
        open_at: float,
        waited: float = 0.0,
        *,
        counts: bool,
    ) -> None:
        """Note that an event waits, and has waited for so many seconds that count.

        `open_at`: seconds that the portal has taken imports in the life of this process;
        `counts`: the time from now on counts.
        """
        self._forget(_key(event))
        keys = tuple(dict.fromkeys(map(_key, waits_for)))
        name = f"{event.entity_type_id}/{event.event_id}"
        name = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
        self._put(_key(event), _Wait(open_at, waited, counts, name, keys))

    def knows(self, event: Identity) -> bool:
        """Tell whether an event is known to wait."""
        return any(_key(event) in part for part in self._parts)

    def end(self, event: Identity) -> None:
        """Note that an event waits no more."""
        self._forget(_key(event))
        self._circles.forget(_key(event))

    def is_awaited(self, event: Identity) -> bool:
        """Tell whether another event waits for this event."""
        return bool(self._awaited) and _key(event) in self._awaited

    def circle(self, event: Identity) -> list[str]:
        """Return the names of the events of a circle that an event waits in, itself first.

        The others of it are told the same when their turn comes, though this one waits no more.
        """
        keys = cycle(_key(event), self._waits_for)
        names = [wait.name for wait in map(self._of, keys) if wait is not None]
        for place, key in enumerate(keys):
            self._circles.put(key, (place, names))
        place, circle = self._circles.get(_key(event)) or (0, [])
        return [*circle[place:], *circle[:place]]

    def _of(self, key: bytes) -> _Wait | None:
        return next((_unpacked(part[key]) for part in self._parts if key in part), None)

    def _waits_for(self, key: bytes) -> tuple[bytes, ...]:
        wait = self._of(key)
        return () if wait is None else wait.waits_for

    def _put(self, key: bytes, wait: _Wait) -> None:
        count = len(wait.waits_for)
        if self._newest and self._newest + count > MAX_REFERENCES // PARTS:
            self._open_part()
        self._parts[-1][key] = wait.packed()
        self._newest += count
        self._references += count
        for each in wait.waits_for:
            self._awaited[each] = self._awaited.get(each, 0) + 1
        while self._references > MAX_REFERENCES:
            for record in self._parts.popleft().values():
                self._release(_unpacked(record))

    def _open_part(self) -> None:
        """Open a part for what is noted from now on; those that hold little become one."""
        self._parts = deque(part for part in self._parts if part)
        if len(self._parts) > 2 * PARTS:
            oldest = self._parts.popleft()
            self._parts[0] = {**oldest, **self._parts[0]}
        self._parts.append({})
        self._newest = 0

    def _forget(self, key: bytes) -> _Wait | None:
        for part in self._parts:
            if key in part:
                return self._release(_unpacked(part.pop(key)))
        return None

    def _release(self, wait: _Wait) -> _Wait:
        """Note that what an event has waited for is awaited by one less; return it."""
        self._references -= len(wait.waits_for)
        for each in wait.waits_for:
            self._awaited[each] -= 1
            if not self._awaited[each]:
                del self._awaited[each]
        return wait


def _key(event: Identity) -> bytes:
    """Return what stands for an event: its id may have a thousand characters."""
    return event_digest(event)[:KEY_BYTES]


def _unpacked(record: bytes) -> _Wait:
    open_at, waited, counts, length = _HEAD.unpack_from(record)
    start = _HEAD.size + length
    name = record[_HEAD.size : start].decode("utf-8", "surrogatepass")
    keys = (record[at : at + KEY_BYTES] for at in range(start, len(record), KEY_BYTES))
    return _Wait(open_at, waited, counts, name, tuple(keys))
