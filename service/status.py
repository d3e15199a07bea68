"""Builds what /status shows: one object for people and for the console.

Its member names are stable; members may be added.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from service import __version__
from service.domain.circuit_breaker import CircuitBreaker, Mode
from service.domain.lanes import ClosedLane, Lanes
from service.domain.limits import Load
from service.domain.parking import DOUBT, DOUBTFUL, LINK
from service.domain.recent_events import Ended
from service.health import Status
from service.importer.intake_control import why_shut
from service.importer.lane_signs import LaneSigns
from service.importer.settlement import Settler

OUTCOMES = ("imported", "duplicate", "failed", "malformed")


class Waiting(Protocol):
    """What waits in inner queues, as far as known."""

    depths: dict[str, int]
    signs: LaneSigns


class Work(Protocol):
    """What is being done."""

    breaker: CircuitBreaker
    lanes: Lanes
    settler: Settler
    load: Load

    @property
    def lane_control(self) -> Waiting:
        """What knows the inner queues."""


class Consumer(Protocol):
    """The intake's consumer, and where events wait."""

    def inner_name(self, queue: str) -> str:
        """Return the whole name of an inner queue."""

    @property
    def active(self) -> bool | None:
        """Whether it gets the messages; None while unknown."""


def told_why(breaker: CircuitBreaker, broker_trouble: str | None) -> str | None:
    """Return in a sentence why nothing flows, with who must do what; None where it flows."""
    if broker_trouble is not None or breaker.mode is Mode.FLOWING:
        return broker_trouble
    shut = why_shut(breaker.reason, breaker.fault, 0.0)
    return ": ".join(str(shut[each]) for each in ("cause", "remedy") if each in shut)


def connection(before: str, *, up: bool) -> str:
    """Return the word for the connection to the broker; only what was up can come again."""
    lost = "connecting" if before == "connecting" else "reconnecting"
    return "connected" if up else lost


def next_try(breaker: CircuitBreaker, now: float) -> float | None:
    """Return the seconds until a paused portal is asked again."""
    return round(max(0.0, breaker.probe_at - now), 1) if breaker.mode is Mode.PAUSED else None


def overview(
    status: Status,
    work: Work,
    consumer: Consumer,
    *,
    limits: Mapping[str, Any],
    slots: int,
    now: float,
) -> Callable[[], dict[str, Any]]:
    """Return what makes the object of now (the loop's time), in any thread.

    Most of it is how the last events ended, which is written out only for who asks. `limits` is
    what the portal's throttle tells.
    """
    breaker, settler = work.breaker, work.settler
    waiting, settling = work.load.waiting, settler.settling
    last = tuple(settler.history.last)
    facts = {
        "version": __version__,
        "at": _moment(time.time()),
        "active": consumer.active,
        "state": _state(status, breaker.mode),
        "reason": breaker.reason if breaker.mode is not Mode.FLOWING else None,
        "since": _moment(status.since),
        "why": status.why,
        "next_try_seconds": next_try(breaker, now),
        "broker": status.broker,
        "intake": status.intake,
        "lanes": [_lane(each, work.lane_control.depths, now) for each in work.lanes.not_open()],
        "parked": _parked(work.lane_control, consumer),
        "refusing": dict(status.refusing),
        "broken_queues": dict(status.broken_queues),
        "slots": {"limit": slots, "in_use": work.load.in_flight},
        "held": {
            "total": len(settler.held),
            "waiting": waiting,
            "in_flight": max(0, len(settler.held) - waiting - settling),
            "settling": settling,
        },
        "oldest_held_seconds": round(settler.oldest_held(), 1),
        **limits,
        "outcomes": {outcome: settler.history.outcomes[outcome] for outcome in OUTCOMES},
        "codes": dict(settler.history.codes.most_common()),
    }
    return lambda: {**facts, "last": [_told(each) for each in reversed(last)]}


def _parked(lane_control: Waiting, consumer: Consumer) -> list[dict[str, Any]]:
    return [
        {
            "queue": consumer.inner_name(queue),
            **_waiting(queue),
            "messages": depth,
            "oldest_id": lane_control.signs.oldest.event_id(queue) if depth else None,
        }
        for queue, depth in sorted(lane_control.depths.items())
    ]


def _lane(lane: ClosedLane, depths: Mapping[str, int], now: float) -> dict[str, Any]:
    return {
        "entity_type": lane.entity_type_id,
        "state": lane.state,
        "reason": lane.reason,
        "since": _moment(time.time() - (now - lane.since)),
        "next_try_seconds": round(max(0.0, lane.next_try - now), 1),
        "parked": depths.get(str(lane.entity_type_id), 0),
    }


def _waiting(queue: str) -> dict[str, Any]:
    if queue.isdigit():
        return {"entity_type": int(queue), "reason": "lane"}
    return {"entity_type": None, "reason": DOUBT if queue == DOUBTFUL else LINK}


def _state(status: Status, mode: Mode) -> str:
    """Return the one word for what the process is doing."""
    if status.draining:
        return "draining"
    if status.broker != "connected":
        return status.broker
    return str(mode)


def _told(ended: Ended) -> dict[str, Any]:
    # Written out: `asdict` takes ten times as long.
    return {
        "id": ended.event_id,
        "entity_type_id": ended.entity_type_id,
        "outcome": ended.outcome,
        "code": ended.code,
        "age_seconds": round(ended.age_seconds, 3),
        "at": _moment(ended.at),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
