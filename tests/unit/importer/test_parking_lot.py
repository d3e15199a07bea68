"""Tests what becomes of an event whose message goes back while it is being parked."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from service.domain.claim_making import claim_of
from service.domain.claims import Claims
from service.domain.delivery import Parking
from service.domain.history import Doubt
from service.importer.background import BackgroundTasks
from service.importer.inner_queues import InnerQueues
from service.importer.parking_lot import ParkingLot
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


@pytest.mark.parametrize("confirms", [False, True])
async def test_what_is_known_of_an_event_outlives_a_parking_that_was_cut(
    *, confirms: bool
) -> None:
    """An estimate that was never sent is no doubtful one because its message comes again."""
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
            go_on=lambda _: None,
        )
        lot.queues = cast("InnerQueues", Losing(confirms=confirms))
        event = item_event("a", QUOTE)
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
