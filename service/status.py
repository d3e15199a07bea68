"""Builds what /status shows: one object for people and for the console.

Its member names are stable; members may be added.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Protocol

from service import __version__
from service.domain.circuit_breaker import CircuitBreaker, Mode
from service.domain.limits import Load
from service.domain.recent_events import History
from service.health import Status
from service.importer.settlement import Settler

OUTCOMES = ("imported", "duplicate", "failed", "malformed")


class Work(Protocol):
    """What is being done."""

    breaker: CircuitBreaker
    settler: Settler
    load: Load


class Consumer(Protocol):
    """The intake's consumer."""

    @property
    def active(self) -> bool | None:
        """Whether it is the one that gets messages; None while nobody can know."""


def overview(
    status: Status,
    work: Work,
    consumer: Consumer,
    *,
    limits: Mapping[str, Any],
    slots: int,
    now: float,
) -> dict[str, Any]:
    """Return the object, now (the loop's time); `limits` is what the portal's throttle tells."""
    breaker, settler = work.breaker, work.settler
    waiting, settling = work.load.waiting, settler.settling
    return {
        "version": __version__,
        "at": _moment(time.time()),
        "active": consumer.active,
        "state": _state(status, breaker.mode),
        "reason": breaker.reason if breaker.mode is not Mode.FLOWING else None,
        "since": _moment(status.since),
        "next_try_seconds": (
            round(max(0.0, breaker.probe_at - now), 1) if breaker.mode is Mode.PAUSED else None
        ),
        "broker": status.broker,
        "intake": status.intake,
        "lanes": [],
        "slots": {"limit": slots, "in_use": work.load.in_flight},
        "held": {
            "total": len(settler.held),
            "waiting": waiting,
            "in_flight": max(0, len(settler.held) - waiting - settling),
            "settling": settling,
        },
        "oldest_held_seconds": round(settler.oldest_held(), 1),
        **limits,
        **_ended(settler.history),
    }


def _state(status: Status, mode: Mode) -> str:
    """Return the one word for what the process is doing."""
    if status.draining:
        return "draining"
    if status.broker != "connected":
        return status.broker
    return str(mode)


def _ended(history: History) -> dict[str, Any]:
    last = [asdict(each) for each in reversed(history.last)]
    for each in last:
        each["id"] = each.pop("event_id")
        each["age_seconds"] = round(each["age_seconds"], 3)
        each["at"] = _moment(each["at"])
    return {
        "outcomes": {outcome: history.outcomes[outcome] for outcome in OUTCOMES},
        "codes": dict(history.codes.most_common()),
        "last": last,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
