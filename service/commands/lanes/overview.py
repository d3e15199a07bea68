"""Gathers what is known of the lanes: from the importer, else from the broker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from service.commands.inner_queues import inner_queues, memory_of
from service.commands.runtime import CommandRuntime
from service.commands.status_reading import Process
from service.domain.parking import DOUBTFUL, LINKS
from service.rabbit.connection import ConnectionLost
from service.rabbit.holding import hold
from service.rabbit.letters import moment
from service.rabbit.memory_visit import NoMemoryError, Visit
from service.rabbit.parked import InnerDepth
from service.rabbit.waiting import Waiting, waiting_of

MAX_SHOWN = 1000
"""Most lanes that are shown."""
MAX_WAIT = 1e9


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane; None: unknown. `state` is open, closed, trial, or empty."""

    entity_type_id: int
    state: str = ""
    reason: str | None = None
    since: datetime | None = None
    next_try: float | None = None
    parked: int | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """How many events wait in one inner queue, and why; `oldest_id`: None if unknown."""

    queue: str
    entity_type_id: int | None
    reason: str
    messages: int | None
    oldest_id: str | None = None


@dataclass(slots=True)
class Overview:
    """The lanes, and their source: the importer at `address`; None: the broker."""

    address: str | None
    lanes: list[Lane] = field(default_factory=list)
    parked: list[Waits] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def told_by_importer(process: Process) -> Overview | None:
    """Return the lanes of /status; None for a stand-by, or a version without lanes."""
    status = process.status or {}
    lanes, parked = status.get("lanes"), status.get("parked")
    if process.active is False or not isinstance(lanes, list) or not isinstance(parked, list):
        return None
    overview = Overview(process.address)
    overview.parked = [_waits(each) for each in _objects(parked)]
    ready = {each.entity_type_id: each.messages for each in overview.parked}
    closed = {lane.entity_type_id: lane for lane in map(_lane, _objects(lanes))}
    # Only the queue shows that an open lane exists.
    for number, messages in ready.items():
        if number is not None:
            closed.setdefault(number, Lane(number, "open", parked=messages))
    overview.lanes = [closed[number] for number in sorted(closed)]
    return overview


def _objects(listed: Sequence[object]) -> list[Mapping[str, Any]]:
    shown: list[Mapping[str, Any]] = [each for each in listed if isinstance(each, dict)]
    return [each for each in shown if "entity_type" in each][:MAX_SHOWN]


def _lane(told: Mapping[str, Any]) -> Lane:
    next_try = told.get("next_try_seconds")
    believed = isinstance(next_try, int | float) and abs(next_try) < MAX_WAIT
    return Lane(
        entity_type_id=_count(told.get("entity_type")) or 0,
        state=str(told.get("state", "")),
        reason=str(told.get("reason") or "") or None,
        since=moment(told.get("since")),
        next_try=float(next_try or 0.0) if believed else None,
        parked=_count(told.get("parked")),
    )


def _waits(told: Mapping[str, Any]) -> Waits:
    return Waits(
        queue=str(told.get("queue", "")),
        entity_type_id=_count(told.get("entity_type")),
        reason=str(told.get("reason", "")),
        messages=_count(told.get("messages")),
        oldest_id=str(told.get("oldest_id") or "") or None,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


async def told_by_broker(work: CommandRuntime) -> Overview:
    """Return what the queues tell: how many wait, and of the first one why and since when.

    Only the first message of each queue is taken, and returned. Raises ConnectionLost.
    """
    overview = Overview(None)
    visit = await _memory(work, overview)
    inner = await inner_queues(work, visit)
    overview.notes += inner.notes
    for queue in inner.queues:
        first = await _first(work, queue, overview)
        number = queue.entity_type_id
        if number is not None:
            overview.lanes.append(_by_its_queue(number, queue, first))
        reason = first.reason if first else _REASONS.get(queue.part, "")
        oldest = (first.event_id or None) if first else None
        overview.parked.append(Waits(queue.name, number, reason, queue.messages, oldest))
    return overview


_REASONS = {DOUBTFUL: "doubt", LINKS: "link"}


async def _memory(work: CommandRuntime, overview: Overview) -> Visit | None:
    try:
        async with memory_of(work) as visit:
            await visit.read()
            return visit
    except NoMemoryError as why:
        overview.notes.append(f"lanes that only the memory knows are not listed: {why}")
        return None


async def _first(work: CommandRuntime, queue: InnerDepth, overview: Overview) -> Waiting | None:
    """Look at the first message of a queue; None where there is none, or none of ours."""
    if not queue.messages:
        return None
    try:
        async with hold(work.session, queue.name) as holding:
            async for window in holding.windows(most=1):
                return waiting_of(window[0].header.properties)
    except ConnectionLost:
        overview.notes.append(f"queue {queue.name} could not be read")
    return None


def _by_its_queue(number: int, queue: InnerDepth, first: Waiting | None) -> Lane:
    since = first.parked_at.astimezone(UTC) if first else None
    return Lane(number, "", first.reason if first else None, since, None, queue.messages)
