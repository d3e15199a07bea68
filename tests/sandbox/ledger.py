"""Remembers every created item and every call, and shows what was created twice."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.sandbox.exact import entry_texts

ExternalId = tuple[int, str, str]
INDEXED = ("originId", "xmlId")


@dataclass(slots=True)
class CallRecord:
    """Tells what one call asked for and how it ended."""

    number: int
    method: str
    auth: str
    user_agent: str
    at: float
    wall: float
    bytes: int
    body: str | None = None
    entity_type: object = None
    size: int = 0
    keys: list[str] | None = None
    use_original_uf_names: object = None
    created: list[int] = field(default_factory=list)
    status: int | None = None
    error: str | None = None
    fault: str | None = None
    cut: bool = False
    duration: float | None = None

    def asks(self, params: Mapping[str, Any], *, light: bool) -> None:
        """Note what the call asks for, whether or not it is granted."""
        self.entity_type = params.get("entityTypeId")
        self.use_original_uf_names = params.get("useOriginalUfNames")
        data = params.get("data")
        if isinstance(data, dict | list):
            self.size = len(data)
        if isinstance(data, dict) and not light:
            self.keys = list(data)

    def finish(self, status: int, error: str | None, *, cut: bool) -> None:
        """Note the answer; a cut connection has no status."""
        self.status = None if status == 0 else status
        self.error = error
        self.cut = cut
        self.duration = time.monotonic() - self.at


@dataclass(slots=True)
class ItemRecord:
    """Describes one created item; `fields` is what the portal stored."""

    id: int
    entity_type: int
    call: int
    position: int
    key: str
    at: float
    wall: float
    external: ExternalId | None
    fields: dict[str, Any]


class Ledger:
    """Holds items and calls in order; the light one keeps no bodies, and few fields."""

    def __init__(self, *, light: bool = False) -> None:
        """Start empty."""
        self.light = light
        self.calls: list[CallRecord] = []
        self.items: list[ItemRecord] = []
        self._deleted = 0
        self._by_type: dict[int, dict[int, ItemRecord]] = {}
        self._by_value: dict[tuple[int, str, str], list[int]] = {}
        self._by_external: dict[ExternalId, list[int]] = {}

    def open_call(self, method: str, body: bytes, *, auth: str, user_agent: str) -> CallRecord:
        """Enter a call that has just arrived."""
        record = CallRecord(
            number=len(self.calls) + 1,
            method=method,
            auth=auth,
            user_agent=user_agent,
            at=time.monotonic(),
            wall=time.time(),
            bytes=len(body),
            body=None if self.light else body.decode(errors="replace"),
        )
        self.calls.append(record)
        return record

    def next_id(self) -> int:
        """Return the id that the next item will get."""
        return len(self.items) + self._deleted + 1

    def add(self, item: ItemRecord) -> None:
        """Enter a created item."""
        self.items.append(item)
        self._by_type.setdefault(item.entity_type, {})[item.id] = item
        if item.external is not None:
            self._by_external.setdefault(item.external, []).append(item.id)
        for name, value in item.fields.items():
            if name in INDEXED or name.startswith("ufCrm"):
                for one in value if isinstance(value, list) else [value]:
                    place = (item.entity_type, name, folded(str(one)))
                    self._by_value.setdefault(place, []).append(item.id)

    def set_back(self, kept: int) -> None:
        """Forget all but the oldest items: their numbers will be given out again."""
        self._deleted = 0
        self._keep(self.items[:kept])

    def delete(self, ids: Iterable[int]) -> None:
        """Delete items, as people do; their numbers are not given out again."""
        gone = set(ids)
        kept = [item for item in self.items if item.id not in gone]
        self._deleted += len(self.items) - len(kept)
        self._keep(kept)

    def _keep(self, items: Iterable[ItemRecord]) -> None:
        self.items, self._by_type, self._by_value, self._by_external = [], {}, {}, {}
        for item in items:
            self.add(item)

    def of_type(self, entity_type: int) -> dict[int, ItemRecord]:
        """Return the items of a type by id, in the order of their creation."""
        return self._by_type.get(entity_type, {})

    def with_values(
        self, entity_type: int, name: str, values: Iterable[object]
    ) -> Iterator[ItemRecord] | None:
        """Yield the items that may hold one of the values, or None where that is not indexed."""
        if name not in INDEXED and not name.startswith("ufCrm"):
            return None
        ids: set[int] = set()
        for value in values:
            ids.update(self._by_value.get((entity_type, name, folded(str(value))), ()))
        items = self.of_type(entity_type)
        return (items[number] for number in sorted(ids))

    def duplicates(self) -> dict[ExternalId, list[int]]:
        """Return every external id that more than one item carries, with the items' ids."""
        return {key: ids for key, ids in self._by_external.items() if len(ids) > 1}

    def ids_of(self, entity_type: int, external_id: str, originator: str = "") -> list[int]:
        """Return the ids of the items that carry an external id."""
        return self._by_external.get((entity_type, originator, external_id), [])

    def raw_text(self, item: ItemRecord) -> str:
        """Return the exact JSON text of the entry that became an item; empty when light."""
        body = self.calls[item.call - 1].body
        return "" if body is None else entry_texts(body)[item.position]

    def summary(self) -> dict[str, Any]:
        """Count items, calls, refusals and faults, and name the duplicates."""
        calls = self.calls
        return {
            "items": len(self.items),
            "itemsByType": {str(number): len(ids) for number, ids in self._by_type.items()},
            "calls": dict(Counter(call.method for call in calls)),
            "errors": dict(Counter(call.error for call in calls if call.error is not None)),
            "statuses": dict(Counter(str(call.status) for call in calls if call.status)),
            "faults": dict(Counter(call.fault for call in calls if call.fault is not None)),
            "cut": sum(call.cut for call in calls),
            "open": sum(call.duration is None for call in calls),
            "mostAtOnce": _most_at_once(calls),
            "duplicates": [
                {"entityTypeId": key[0], "originatorId": key[1], "externalId": key[2], "ids": ids}
                for key, ids in self.duplicates().items()
            ],
        }


def folded(value: str) -> str:
    """Return a text as a database that ignores case and trailing blanks compares it."""
    return value.rstrip(" ").casefold()


def _most_at_once(calls: Iterable[CallRecord]) -> int:
    """Return how many calls were in progress at the busiest instant."""
    edges: list[tuple[float, int]] = []
    for call in calls:
        edges.append((call.at, 1))
        if call.duration is not None:
            edges.append((call.at + call.duration, -1))
    most = running = 0
    for _, step in sorted(edges):
        running += step
        most = max(most, running)
    return most
