"""Stands in for the portal: keeps items, follows a script, and remembers what it was asked."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from service.domain.events import BatchKey, ExternalId, ItemEvent, Profile
from service.domain.fields import Field
from service.domain.outcomes import (
    Accepted,
    CallFailed,
    CallKind,
    Fault,
    PauseReason,
    Report,
    Verdict,
)
from service.domain.witnessing import Oneself, Seen

GIVEN = Profile("1", "0", "Y")
"""What an item has whose event asks for nothing."""


@dataclass(frozen=True)
class Breaks:
    """One import call that fails after so many of its items were created."""

    fault: Fault
    after: int = 0


@dataclass(frozen=True)
class Says:
    """One import call that is answered so; positions not named are accepted.

    `saved`: positions that are created although the answer does not say so.
    """

    verdicts: Mapping[int, Verdict]
    saved: frozenset[int] = frozenset()


class ScriptedPortal:
    """Creates items in order and looks them up; `script` bends one import call after another.

    `poison`: event ids that break their call. An ambiguous fault comes when everything before
    them was created, any other before execution.
    """

    def __init__(self, *script: Breaks | Says) -> None:
        """Follow a script, then behave."""
        self.script = deque(script)
        self.look_up_faults: deque[Fault | None] = deque()
        self.probe_faults: deque[Fault | None] = deque()
        self.field_faults: deque[Fault | None] = deque()
        self.known_fields: dict[str, Field] = {"title": Field("string")}
        self.described: list[BatchKey] = []
        self.readable: bool | Fault = True
        self.poison: dict[str, Fault] = {}
        self.calls: list[list[str]] = []
        self.failed_look_ups: list[list[str]] = []
        self.admin = True
        self.asked_oneself = 0
        self.profiles: dict[int, Profile] = {}
        self.probes = 0
        self.created: defaultdict[str, list[int]] = defaultdict(list)
        self.items: dict[tuple[int, ExternalId], list[int]] = {}
        self._ids = count(1)

    def create(self, event: ItemEvent) -> int:
        """Put an item into the CRM."""
        item_id = next(self._ids)
        self.created[event.event_id].append(item_id)
        asked = zip(event.asks, GIVEN, strict=True)
        self.profiles[item_id] = Profile(*(wish or given for wish, given in asked))
        if event.external_id is not None:
            self.items.setdefault((event.entity_type_id, event.external_id), []).append(item_id)
        return item_id

    async def import_items(self, key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        """Import events of one key, unless the script says otherwise."""
        assert all(event.batch_key == key for event in events)
        self.calls.append([event.event_id for event in events])
        step = self.script.popleft() if self.script else Says({})
        if isinstance(step, Breaks):
            for event in events[: step.after]:
                self.create(event)
            raise CallFailed(step.fault)
        verdicts: dict[int, Verdict] = {}
        broken = [self.poison[each.event_id] for each in events if each.event_id in self.poison]
        if broken and broken[0].kind is not CallKind.AMBIGUOUS:
            raise CallFailed(broken[0])
        for position, event in enumerate(events):
            if event.event_id in self.poison:
                raise CallFailed(self.poison[event.event_id])
            if position in step.saved:
                self.create(event)
            verdicts[position] = step.verdicts.get(position) or Accepted(self.create(event))
        return Report(len(events), verdicts)

    async def find(
        self, entity_type_id: int, wanted: Sequence[ExternalId]
    ) -> dict[ExternalId, list[Seen]]:
        """Return the items that carry the external ids, if they may be read."""
        self.failed_look_ups.append([each.value for each in wanted])
        _raise(self.look_up_faults)
        if self.readable is not True:
            return {}
        known = {each: self.items.get((entity_type_id, each), []) for each in wanted}
        return {
            each: [Seen(item_id, self.profiles.get(item_id, GIVEN)) for item_id in ids]
            for each, ids in known.items()
            if ids
        }

    async def shown(self, entity_type_id: int, item_ids: Sequence[int]) -> list[Seen]:
        """Return the items of some numbers, if they may be read."""
        _raise(self.look_up_faults)
        if self.readable is not True:
            return []
        there = [n for (kind, _), ns in self.items.items() if kind == entity_type_id for n in ns]
        return [Seen(n, self.profiles.get(n, GIVEN)) for n in item_ids if n in there]

    async def types(self) -> frozenset[int]:
        """List no type."""
        return frozenset()

    async def oneself(self) -> Oneself:
        """Tell who asks: whoever may read is an administrator here, unless told otherwise."""
        self.asked_oneself += 1
        if isinstance(self.readable, Fault):
            raise CallFailed(self.readable)
        return Oneself("1", self.readable and self.admin)

    async def fields(self, key: BatchKey) -> Mapping[str, Field]:
        """Describe the fields of a type, unless a fault is due."""
        self.described.append(key)
        _raise(self.field_faults)
        return self.known_fields

    def shut_for(self, reason: PauseReason | None) -> float:  # noqa: ARG002 - the protocol's
        """Tell that it can be asked at any time."""
        return 0.0

    def pace(self) -> tuple[float, str]:
        """Tell that no limit is in the way."""
        return (0.0, "bucket")

    def most(self, entity_type_id: int, most: int) -> int:  # noqa: ARG002 - the protocol's
        """Tell that a call may be full."""
        return most

    async def probe(self) -> None:
        """Answer, unless a fault is due."""
        self.probes += 1
        _raise(self.probe_faults)


@dataclass
class Clock:
    """A loop time that moves only when told."""

    now: float = field(default=1000.0)

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def _raise(faults: deque[Fault | None]) -> None:
    fault = faults.popleft() if faults else None
    if fault is not None:
        raise CallFailed(fault)
