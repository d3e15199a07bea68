"""Proves which entity types get a queue of their own, and when a closed lane is tried."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.domain.circuit_breaker import CircuitBreaker, Mode
from service.domain.claim import Claim
from service.domain.claims import Claims
from service.domain.decisions import Decision
from service.domain.inner_queue import MAX_STRANGERS
from service.domain.lanes import Lanes, LaneState
from service.domain.outcomes import Imported, PauseReason
from service.domain.parking import LINK
from service.importer.evidence import Evidence
from service.importer.holdings import Holdings
from service.importer.lane_control import LaneControl
from service.importer.listed_types import ListedTypes
from service.telemetry.metrics import Metrics
from tests.fakes import FakeDelivery, item_event
from tests.unit.importer.test_pipeline import LIMITS
from tests.virtual_time import START, now, run


class Queues:
    """Makes every queue that it is asked for."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def usable(self, queue: str) -> bool:
        self.made.append(queue)
        return True

    def known(self) -> Sequence[str]:
        return ["5000"]

    def ask(self, _: object) -> None:
        """Do nothing."""


async def no_list(_: int) -> bool | None:
    """Tell that the portal gives no list."""
    return None


def listed_types(has: Callable[[int], Coroutine[Any, Any, bool | None]]) -> ListedTypes:
    """Return what knows the portal's list, which says this."""
    listed = ListedTypes(cast("Any", None), cast("Any", None), LIMITS.pause)
    listed.has = cast("Any", has)  # type: ignore[method-assign]
    return listed


def a_lot(queues: Queues) -> SimpleNamespace:
    """Return what a lane control needs of the parking lot."""
    return SimpleNamespace(clock=lambda: 1.0, exists=True, connected=lambda: True, queues=queues)


async def test_made_up_types_get_fifty_queues_and_types_that_are_known_get_theirs() -> None:
    """The next made-up one pauses the intake instead, as where no queue may be made."""
    queues = Queues()
    lot = a_lot(queues)
    breaker = CircuitBreaker(LIMITS.pause)
    control = LaneControl(
        lanes=Lanes(LIMITS.pause),
        breaker=breaker,
        lot=cast("Any", lot),
        limits=LIMITS,
        room=cast("Any", SimpleNamespace(set_aside=lambda *_: None)),
        metrics=Metrics(),
    )
    control.listed = listed_types(no_list)
    made_up = range(1000, 1000 + MAX_STRANGERS)
    for each in made_up:
        await control.close(each, PauseReason.SCOPE, None)
    control.imported([1044], referred=False)
    for each in (2, 1044, 5000, made_up[0]):
        await control.close(each, PauseReason.SCOPE, None)
    assert Mode.FLOWING is breaker.mode
    before = len(queues.made)
    await control.close(7777, PauseReason.SCOPE, None)
    assert (before, PauseReason.SCOPE) == (len(queues.made), breaker.reason)


@pytest.mark.parametrize(("listed", "made"), [(True, True), (False, False), (None, True)])
async def test_where_nothing_else_speaks_for_a_type_the_portals_list_decides(
    *, listed: bool | None, made: bool
) -> None:
    """What it does not list gets no queue; where it gives no list, some get one."""

    async def has(_: int) -> bool | None:
        return listed

    queues = Queues()
    breaker = CircuitBreaker(LIMITS.pause)
    control = LaneControl(
        lanes=Lanes(LIMITS.pause),
        breaker=breaker,
        lot=cast("Any", a_lot(queues)),
        limits=LIMITS,
        room=cast("Any", SimpleNamespace(set_aside=lambda *_: None)),
        metrics=Metrics(),
    )
    control.listed = listed_types(has)
    await control.close(1044, PauseReason.SCOPE, None)
    assert made is ("1044" in queues.made)
    assert made is (breaker.mode is Mode.FLOWING)
    await control.close(2, PauseReason.SCOPE, None)
    assert "2" in queues.made


def test_what_was_just_parked_is_counted() -> None:
    """Also what was taken out and waits again: no page says that nothing does."""
    lot = SimpleNamespace(clock=lambda: 1.0, exists=True, queues=Queues())
    control = LaneControl(
        lanes=Lanes(LIMITS.pause),
        breaker=CircuitBreaker(LIMITS.pause),
        lot=cast("Any", lot),
        limits=LIMITS,
        room=cast("Any", None),
        metrics=Metrics(),
    )
    delivery = FakeDelivery(item_event("a", 2))
    deal = Claim(item_event("a", 2), [cast("Any", delivery)], 0.0, 1)
    for reason in (LINK, LINK, "scope"):
        control.parked(deal, reason)
    assert {"links": 2, "2": 1} == control.depths


@pytest.mark.parametrize(
    ("kind", "leaves", "young", "waiter", "held"),
    [
        (2, False, False, False, True),
        (2, True, False, False, False),
        (2, True, True, False, True),
        (2, True, False, True, True),
        (3, True, True, False, False),
        (31, False, False, False, False),
    ],
)
def test_a_lane_is_tried_though_new_events_of_it_come_without_end(
    kind: int, *, leaves: bool, young: bool, waiter: bool, held: bool
) -> None:
    """What is on its way into the lane's queue is not at work; of a young queue it is.

    So it is when its copy was read already and waits for it. Nor is a message that needs no
    call: type 31 is held, and nobody works on it.
    """
    claims, event = Claims(remember=10), item_event("a", 2)
    delivery = FakeDelivery(event)
    claim = Claim(event, [delivery], 0.0, 1, leaving=leaves)
    claim.waiters += [Claim(event, [], 0.0, 1)] * waiter
    claims.admit(claim, copy=False)
    lot = SimpleNamespace(
        queues=SimpleNamespace(ack_after=lambda _: 9.0 if young else 0.0), clock=lambda: 5.0
    )
    held_here = [delivery, FakeDelivery(item_event("repeat", 31))]
    desk = SimpleNamespace(settler=SimpleNamespace(held=held_here), claims=claims, lot=lot)
    holdings = Holdings(cast("Any", desk), cast("Any", None), LIMITS, cast("Any", None))
    assert held is holdings.holds_type(kind)


@pytest.mark.parametrize("on_trial", [True, False])
async def test_an_item_that_was_only_found_says_nothing_of_a_lane_on_trial(
    *, on_trial: bool
) -> None:
    """An earlier call made it: others that are refused now would end for it."""
    lanes = Lanes(LIMITS.pause)
    keeper = SimpleNamespace(lanes=lanes)
    evidence = Evidence(CircuitBreaker(LIMITS.pause), cast("Any", keeper), lambda: 100.0)
    if on_trial:
        lanes.close(2, PauseReason.SCOPE, 0.0)
        assert [2] == lanes.due(50.0)
    event = item_event("a", 2)
    claim = Claim(event, [FakeDelivery(event)], 0.0, 1)
    await evidence.ended(2, Decision(ended=[(claim, Imported(1, reconciled=True))]))
    expected = (LaneState.TRIAL, None) if on_trial else (LaneState.OPEN, 100.0)
    assert expected == (lanes.state(2), lanes.passed_at(2))


async def nothing() -> dict[str, int]:
    """Tell of no queue that something lies in."""
    return {}


def control_of(lot: SimpleNamespace, *, active: bool | None) -> LaneControl:
    """Return the control of lanes whose events wait in a lot; whether messages come here."""
    room = SimpleNamespace(
        active=active, stopping=False, holds_type=lambda _: False, room=lambda: 100
    )
    return LaneControl(
        lanes=Lanes(LIMITS.pause),
        breaker=CircuitBreaker(LIMITS.pause),
        lot=cast("Any", lot),
        limits=LIMITS,
        room=cast("Any", room),
        metrics=Metrics(),
    )


def test_a_closed_lane_is_tried_as_soon_as_its_interval_is_over() -> None:
    """Whatever moment that is, and at the next one again."""
    tried: list[float] = []

    async def take(_: str, most: int) -> tuple[int, int]:
        tried.append(now() - START)
        return most, 1000

    async def story() -> None:
        queues = SimpleNamespace(take=take, depths=nothing, known=list)
        lot = SimpleNamespace(clock=now, exists=True, queues=queues, reasons={})
        control = control_of(lot, active=True)
        running = asyncio.create_task(control.run())
        for closed_at in (0.37, 20.71):
            await asyncio.sleep(START + closed_at - now())
            control.lanes.close(128, PauseReason.SCOPE, now())
        await asyncio.sleep(60)
        running.cancel()

    run(story())
    again = next(at for at in tried if at > 20.71)
    assert [15.37, 50.71] == pytest.approx([tried[0], again], abs=0.11)


def test_where_no_messages_come_here_others_may_be_at_work() -> None:
    """From when on this process is alone, the next message from the intake tells."""
    queues = SimpleNamespace(depths=nothing, known=list)
    lot = SimpleNamespace(clock=now, exists=True, queues=queues, reasons={}, alone_since=5.0)

    async def story() -> None:
        running = asyncio.create_task(control_of(lot, active=None).run())
        await asyncio.sleep(2)
        running.cancel()

    run(story())
    assert math.inf == lot.alone_since


@pytest.mark.parametrize(
    ("now_is", "active", "reads"),
    [
        ("open", True, True),
        ("open", False, False),
        ("open", None, False),
        ("its lane closed", True, False),
        ("a pause", True, False),
    ],
)
def test_what_waits_is_read_by_the_active_process_while_it_may_leave(
    now_is: str, *, active: bool | None, reads: bool
) -> None:
    """Two processes would have it in calls; or it would go round for nothing."""
    taken: list[str] = []

    async def take(queue: str, _: int) -> tuple[int, int]:
        taken.append(queue)
        return 0, 0

    async def story() -> None:
        queues = SimpleNamespace(take=take, depths=nothing, known=lambda: ["128"])
        lot = SimpleNamespace(clock=now, exists=True, queues=queues, reasons={}, alone_since=0.0)
        control = control_of(lot, active=active)
        if now_is == "its lane closed":
            control.lanes.close(128, PauseReason.SCOPE, now())
        elif now_is == "a pause":
            control._breaker.trip(PauseReason.CREDENTIALS, now())  # noqa: SLF001 - its own
        running = asyncio.create_task(control.run())
        await asyncio.sleep(10)
        running.cancel()

    run(story())
    assert reads is ("128" in taken)
