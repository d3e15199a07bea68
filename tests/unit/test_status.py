"""Proves the names and the sense of what /status shows."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.domain.circuit_breaker import CircuitBreaker, PausePolicy
from service.domain.claims import Claims
from service.domain.lanes import Lanes
from service.domain.limits import Load
from service.domain.outcomes import CallKind, Fault, PauseReason
from service.domain.recent_events import Ended
from service.health import Status
from service.importer.lane_signs import LaneSigns
from service.importer.results import Confirmed
from service.importer.settlement import Settler
from service.status import connection, next_try, overview, told_why
from service.telemetry.metrics import Metrics
from tests.unit.test_docs import REFERENCE

NOW = 1000.0
LIMITS: dict[str, Any] = {
    "bucket": {"limit": 46, "level": 3.0, "share": 1.0, "wait_seconds": 0.0},
    "budget": {"import": {"limit_seconds": 420, "used_seconds": 1.0, "wait_seconds": 0.0}},
    "item_cost_seconds": {"2": 0.2},
}


class Nobody:
    """A publisher that is never asked."""

    async def ready(self) -> None:
        raise AssertionError

    async def results(self, _: object) -> list[Confirmed]:
        raise AssertionError

    async def dead_letters(self, _: object) -> list[Confirmed]:
        raise AssertionError


@dataclass
class Depths:
    """What waits in inner queues."""

    depths: dict[str, int] = field(default_factory=dict)
    signs: LaneSigns = field(default_factory=lambda: LaneSigns(Metrics(), NOW))


@dataclass
class Idle:
    """A pipeline that does nothing."""

    breaker: CircuitBreaker = field(
        default_factory=lambda: CircuitBreaker(PausePolicy(60.0, 15.0, 300.0))
    )
    lanes: Lanes = field(default_factory=lambda: Lanes(PausePolicy(60.0, 15.0, 300.0)))
    lane_control: "Depths" = field(default_factory=Depths)
    load: Load = field(default_factory=lambda: Load(1, 3))
    settler: Settler = field(
        default_factory=lambda: Settler(
            publisher=Nobody(),
            claims=Claims(remember=1),
            metrics=Metrics(),
            clock=lambda: NOW,
            remember=1,
        )
    )


@dataclass
class Attached:
    """A consumer that knows, or does not know, whether it is active."""

    active: bool | None = None

    def inner_name(self, queue: str) -> str:
        """Return the whole name of an inner queue."""
        return f"crm.items.parked.{queue}"


def shown(status: Status, work: Idle, active: bool | None = None) -> dict[str, Any]:  # noqa: FBT001
    """Return what a reader of /status gets."""
    make = overview(status, work, Attached(active), limits=LIMITS, slots=2, now=NOW)
    read: dict[str, Any] = json.loads(json.dumps(make()))
    return read


UP = Status(broker="connected", intake="attached")


def test_every_member_stands_in_the_operators_page() -> None:
    """Whoever reads one finds what it means."""
    page = REFERENCE.read_text().split("### Status")[1].split("\n## ")[0]
    work = Idle()
    work.settler.history.add(Ended("e1", 2, "failed", "X", 1.0, time.time()))
    work.lanes.close(128, PauseReason.SCOPE, NOW)
    work.lane_control.depths["128"] = 7
    document = shown(UP, work)
    inner = [
        *document["lanes"][0],
        *document["parked"][0],
        *document["held"],
        *document["slots"],
        *document["bucket"],
        *document["last"][0],
    ]
    names = [*document, *inner, *document["budget"]["import"]]
    assert [] == [name for name in names if f"`{name}`" not in page]


@pytest.mark.parametrize("active", [True, False, None])
def test_it_tells_whether_this_process_is_the_active_one(active: bool | None) -> None:  # noqa: FBT001
    """Or that nobody can know."""
    assert active is shown(UP, Idle(), active)["active"]


def test_a_pause_has_its_reason_and_the_next_try() -> None:
    """When it flows there is neither."""
    work = Idle()
    assert ("flowing", None, None) == tuple(
        shown(UP, work)[name] for name in ("state", "reason", "next_try_seconds")
    )
    assert None is told_why(work.breaker, None)
    work.breaker.trip(PauseReason.CREDENTIALS, NOW)
    assert ("paused", "credentials", 15.0) == tuple(
        shown(UP, work)[name] for name in ("state", "reason", "next_try_seconds")
    )
    assert 15.0 == next_try(work.breaker, NOW)


def test_why_nothing_flows_is_told_with_who_must_act() -> None:
    """Of the broker first: without it nothing else matters."""
    breaker = Idle().breaker
    breaker.trip(PauseReason.CREDENTIALS, NOW)
    assert "see the runbook" in (told_why(breaker, None) or "")
    cause = "the portal answered HTTP 401, X"
    breaker.fault = Fault(CallKind.BARRED, "X", "", cause=cause, remedy="ask")
    assert "the portal answered HTTP 401, X: ask" == told_why(breaker, None)
    assert "nobody listens" == told_why(breaker, "nobody listens")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (Status(), "connecting"),
        (Status(broker="reconnecting"), "reconnecting"),
        (Status(broker="connected", draining=True), "draining"),
        (Status(broker="reconnecting", draining=True), "draining"),
    ],
)
def test_the_broker_and_a_stop_go_first(status: Status, state: str) -> None:
    """One word for what the process is doing."""
    assert state == shown(status, Idle())["state"]


def test_the_newest_end_comes_first() -> None:
    """With id, type, outcome, code and age, and nothing else of the event."""
    work = Idle()
    work.settler.history.add(Ended("e1", 2, "imported", None, 0.51239, 0.0))
    work.settler.history.add(Ended("e2", None, "malformed", "NOT_JSON", 2.0, 0.0))
    document = shown(UP, work)
    assert {"imported": 1, "duplicate": 0, "failed": 0, "malformed": 1} == document["outcomes"]
    assert {"NOT_JSON": 1} == document["codes"]
    newest, older = document["last"]
    assert ("e2", None, "malformed", "NOT_JSON") == tuple(
        newest[name] for name in ("id", "entity_type_id", "outcome", "code")
    )
    assert ("e1", 0.512, "1970-01-01T00:00:00+00:00") == (
        older["id"],
        older["age_seconds"],
        older["at"],
    )


def test_closed_lanes_and_what_waits_are_shown() -> None:
    """With the reason, the next try, and how many wait for what."""
    work = Idle()
    work.lanes.close(128, PauseReason.SCOPE, NOW - 5.0)
    work.lane_control.depths |= {"128": 7, "doubtful": 2, "links": 0}
    for queue in ("128", "links"):
        work.lane_control.signs.oldest.put(queue, "e1", NOW - 9.0, NOW - 5.0)
    document = shown(UP, work)
    (lane,) = document["lanes"]
    assert (128, "closed", "scope", 10.0, 7) == tuple(
        lane[name] for name in ("entity_type", "state", "reason", "next_try_seconds", "parked")
    )
    assert [
        ("crm.items.parked.128", 128, "lane", 7, "e1"),
        ("crm.items.parked.doubtful", None, "doubt", 2, None),
        ("crm.items.parked.links", None, "link", 0, None),
    ] == [tuple(each.values()) for each in document["parked"]]


def test_it_connects_until_it_was_connected_once() -> None:
    """Only what was there can come again."""
    told = ["connecting"]
    for up in (False, False, True, False, True):
        told.append(connection(told[-1], up=up))
    assert ["connecting"] * 3 + ["connected", "reconnecting", "connected"] == told
