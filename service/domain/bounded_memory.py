"""Remembers a bounded number of things, and forgets the oldest many at a time."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

PARTS = 4


class Remembered(Generic[K, V]):
    """A bounded memory of the newest `limit` entries, and at most a quarter more.

    Entries lie in parts by age, and the oldest part goes as a whole: plain dictionaries take
    half the memory of one that keeps an order, and none is ever copied to grow.
    """

    def __init__(self, limit: int) -> None:
        """Start empty; hold at least `limit` entries before one is forgotten."""
        self._size = math.ceil(limit / PARTS)
        self._parts: deque[dict[K, V]] = deque([{}], maxlen=PARTS + 1)
        self.complete = True
        """Whether nothing was forgotten for want of room."""

    def __len__(self) -> int:
        """Return the number of entries held; one put twice may count twice."""
        return sum(map(len, self._parts))

    def __contains__(self, key: K) -> bool:
        """Tell whether something is remembered under the key."""
        return any(key in part for part in self._parts)

    def get(self, key: K) -> V | None:
        """Return what is remembered, or None."""
        for part in reversed(self._parts):
            if key in part:
                return part[key]
        return None

    def pop(self, key: K) -> V | None:
        """Return what is remembered, or None, and forget it."""
        found = self.get(key)
        self.forget(key)
        return found

    def forget(self, key: K) -> bool:
        """Forget an entry; tell whether there was one."""
        known = False
        for part in self._parts:
            if key in part:
                del part[key]
                known = True
        return known

    def put(self, key: K, value: V) -> None:
        """Remember; the newest entry is forgotten last."""
        if len(self._parts[-1]) >= self._size:
            self.complete = self.complete and len(self._parts) <= PARTS
            self._parts.append({})
        self._parts[-1][key] = value

    def newest_first(self) -> Iterator[K]:
        """Return every key, the newest part and entry first; one put twice comes twice."""
        for part in reversed(self._parts):
            yield from reversed(part)

    def oldest(self) -> K | None:
        """Return the key of the oldest entry; None when nothing is remembered."""
        for part in self._parts:
            for key in part:
                return key
        return None

    def change(self, value_of: Callable[[V], V]) -> None:
        """Change every value; nothing is forgotten."""
        for part in self._parts:
            for key, value in part.items():
                part[key] = value_of(value)
