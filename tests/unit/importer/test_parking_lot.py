"""Tests what becomes of an event whose message goes back while it is being parked."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from service.domain.claim_making import claim_of
from service.domain.claims import Claim, Claims
from service.domain.delivery import Parking
from service.domain.history import Doubt
from service.domain.retry import RetryPolicy
from service.importer import parking_lot
from service.importer.background import BackgroundTasks
from service.importer.inner_queues import InnerQueues
from service.importer.parking_lot import GoOn, ParkingLot
from service.importer.results import Publisher
from service.importer.settlement import Settler
from service.telemetry.metrics import Metrics
from tests.fakes import QUOTE, FakeDelivery, item_event


class Losing:
    """Inner queues whose connection is lost while a copy is published."""

    def __init__(self, *, confirms: bool) -> None:
        self.confirms = confirms

    async def usable(self, _: str) -> bool:
        return True

    async def park(self, parkings: Sequence[Parking]) -> list[bool]:
        for each in parkings:
            cast("FakeDelivery", each.delivery).live = False
        return [self.confirms] * len(parkings)

    def ack_after(self, _: str) -> float:
        return 0.0


class Taking(Losing):
    """Inner queues that take every copy."""

    def __init__(self) -> None:
        super().__init__(confirms=True)

        self.taken: list[Parking] = []

    async def park(self, parkings: Sequence[Parking]) -> list[bool]:
        self.taken += parkings
        return [True] * len(parkings)


class Refusing(Losing):
    """Inner queues that may not be used."""

    def __init__(self) -> None:
        super().__init__(confirms=False)

    async def usable(self, _: str) -> bool:
        return False


@asynccontextmanager
async def parking(
    queues: object, go_on: GoOn
) -> AsyncIterator[tuple[ParkingLot, Settler, Claims]]:
    """Lend a lot with these queues; at the end everything that it started has ended."""
    metrics, claims = Metrics(), Claims(remember=10)
    settler = Settler(
        publisher=cast("Publisher", None),
        claims=claims,
        metrics=metrics,
        clock=lambda: 0.0,
        remember=10,
    )
    async with asyncio.TaskGroup() as tasks:
        background = BackgroundTasks(on_end=lambda: None, metrics=metrics)
        background.tasks = tasks
        lot = ParkingLot(
            claims=claims,
            settler=settler,
            background=background,
            metrics=metrics,
            clock=lambda: 0.0,
            go_on=go_on,
        )
        lot.queues = cast("InnerQueues", queues)
        yield lot, settler, claims


@pytest.mark.parametrize("confirms", [False, True])
async def test_what_is_known_of_an_event_outlives_a_parking_that_was_cut(
    *, confirms: bool
) -> None:
    """An estimate that was never sent is no doubtful one because its message comes again."""
    event = item_event("a", QUOTE)
    async with parking(Losing(confirms=confirms), lambda _: None) as (lot, settler, claims):
        first = FakeDelivery(event)
        settler.held[first] = None
        claim = claim_of(first, event, ask="doubtful", settle=1.0)
        assert claims.admit(claim, copy=False) is claim
        lot.park([claim], str(QUOTE), "plan")
    assert (0, {}) == (len(claims), settler.held)
    again = FakeDelivery(event, copy=True, times=1)
    copy = claim_of(again, event, ask="doubtful", settle=1.0)
    doubts = [copy.known.doubt]
    assert claims.admit(copy, copy=True) is copy
    assert [Doubt.STRONG, Doubt.NONE] == [*doubts, copy.known.doubt]


async def test_others_are_told_by_the_systems_clock_from_when_a_look_up_proves_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody has set it since this process started."""
    told = time.time() + 3600.0
    monkeypatch.setattr(time, "time", lambda: told)
    event, queues = item_event("a", 2), Taking()
    async with parking(queues, lambda _: None) as (lot, settler, claims):
        delivery = FakeDelivery(event, copy=True)
        settler.held[delivery] = None
        claim = claim_of(delivery, event, ask="doubtful", settle=65.0)
        claims.admit(claim, copy=True)
        lot.park([claim], "doubtful", "doubt")
    (parked,) = queues.taken
    assert parked.perhaps_sent == pytest.approx(told + 65.0)


@pytest.mark.error_logs
async def test_a_bug_when_an_event_is_parked_leaves_nobody_waiting_for_it() -> None:
    """Its original is let go, and who waited for it goes on."""
    first, second = item_event("a", 2), item_event("a", 2, body="other")
    going: list[Claim] = []
    async with parking(Taking(), going.extend) as (lot, settler, claims):
        deliveries = [FakeDelivery(first), FakeDelivery(second)]
        settler.held.update(dict.fromkeys(deliveries))
        claim = claim_of(deliveries[0], first, ask="doubtful", settle=1.0)
        waiter = claim_of(deliveries[1], second, ask="doubtful", settle=1.0)
        claims.admit(claim, copy=False)
        assert claims.admit(waiter, copy=False) is None
        lot.on_parked = boom
        lot.park([claim], "2", "plan")
    assert ([waiter], 1, 0) == (going, deliveries[0].acked, deliveries[1].acked)


@pytest.mark.error_logs
async def test_a_bug_when_an_event_cannot_wait_elsewhere_leaves_none_in_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is kept here in the end, once, and until then it counts as one that is being parked."""
    monkeypatch.setattr(parking_lot, "AGAIN", RetryPolicy(base=0.0, cap=0.0, max_attempts=1))
    kept: list[Claim] = []
    bugs = [0]

    def keep(claim: Claim) -> None:
        bugs[0] += 1
        if bugs[0] == 2:
            boom()
        kept.append(claim)

    async with parking(Refusing(), lambda _: None) as (lot, settler, claims):
        here = [item_event("a", 2), item_event("b", 2), item_event("c", 2)]
        deliveries = [FakeDelivery(event) for event in here]
        settler.held.update(dict.fromkeys(deliveries))
        ours = [
            claim_of(each, event, ask="doubtful", settle=1.0)
            for each, event in zip(deliveries, here, strict=True)
        ]
        for claim in ours:
            claims.admit(claim, copy=False)
        lot.keep = keep
        lot.park(ours, "2", "plan")
    assert (ours, [False] * 3) == (kept, [claim in lot for claim in ours])


def boom(*_: object) -> None:
    """Be a bug."""
    raise RuntimeError("a bug")
