"""Bugs after the portal's answer: an item that is in the CRM is never sent again for them."""

import asyncio
import inspect
import logging
from collections.abc import Generator
from typing import Any

import pytest

from service.domain.batching import Batcher
from service.domain.circuit_breaker import CircuitBreaker
from service.domain.claims import Claims
from service.domain.outcomes import Imported
from service.importer import batch_import
from service.importer.fault_attribution import FaultAttribution
from service.importer.holdings import Holdings
from service.importer.intake_control import IntakeControl
from service.importer.lookup import Recovery
from service.importer.outcome_metrics import Reckoner
from service.importer.results import Outlet
from service.importer.settlement import Settler
from service.telemetry.metrics import Metrics
from tests.fakes import DEAL, QUOTE, FakeDelivery, Weather, item_event
from tests.unit.importer.test_pipeline import LIMITS, Room, play
from tests.unit.test_bugs import referring

pytestmark = pytest.mark.simulation
ANSWER: list[tuple[Any, str]] = [
    (batch_import, "after_report"),
    (FaultAttribution, "denied"),
    (Recovery, "answered"),
]
"""Reads the answer: what it said is lost with the bug, so that the portal is asked."""
AFTER: list[tuple[Any, str]] = [
    (CircuitBreaker, "ended"),
    (IntakeControl, "look"),
    (Batcher, "hasten"),
    (Batcher, "add"),
    (Metrics, "batch_left"),
    (Settler, "settle"),
    (Outlet, "ready"),
    (Outlet, "publish"),
    (Outlet, "of_claim"),
    (Claims, "resolve"),
    (Reckoner, "ended"),
]
"""What else is called once for a batch: the outcome is known, or nothing was sent yet."""
PLACES: list[tuple[Any, str]] = [
    (IntakeControl, "look"),
    (Batcher, "defer"),
    (Batcher, "put"),
    (Holdings, "again"),
]
"""Each stands between a batch that has ended and the place where its events wait."""
SPOTS = [
    *((spot, entity_type_id) for spot in AFTER for entity_type_id in (DEAL, QUOTE)),
    *((spot, DEAL) for spot in ANSWER),
]


@pytest.fixture(autouse=True)
def quiet() -> Generator[None]:
    """Keep the log of the bugs out of the way."""
    log = logging.getLogger("service")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)


def strike_once(patch: pytest.MonkeyPatch, spot: tuple[Any, str], *, late: bool) -> list[int]:
    """Have the first call of a function raise, before its work or after; return the calls."""
    owner, name = spot
    work, calls = getattr(owner, name), [0]

    def bug(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - any function's
        calls[0] += 1
        if calls[0] > 1:
            return work(*given, **named)
        done = work(*given, **named) if late else None
        if inspect.isawaitable(done):
            return after(done)
        raise KeyError(name)

    async def after(done: Any) -> None:  # noqa: ANN401 - any function's
        await done
        raise KeyError(name)

    patch.setattr(owner, name, bug)
    return calls


@pytest.mark.error_logs
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("spot", "entity_type_id"),
    SPOTS,
    ids=[f"{spot[0].__name__}.{spot[1]} {entity_type_id}" for spot, entity_type_id in SPOTS],
)
def test_a_bug_beside_an_answer_sends_no_item_twice_and_leaves_none_waiting(
    monkeypatch: pytest.MonkeyPatch,
    spot: tuple[Any, str],
    entity_type_id: int,
    *,
    late: bool,
) -> None:
    """Each event ends as imported, once in the CRM, and no slot or message stays taken."""
    calls = strike_once(monkeypatch, spot, late=late)
    deliveries: list[FakeDelivery] = []

    async def story(room: Room) -> None:
        deliveries.extend(room.bring(*(item_event(f"e{n}", entity_type_id) for n in range(3))))
        await asyncio.sleep(500)

    room = play(story, LIMITS)
    assert calls[0]
    assert 3 == len(room.portal.ledger)
    assert [True] * 3 == [each.acked for each in deliveries]
    ended = {each.event.event_id: type(each.outcome) for each in room.publisher.kept}
    assert {f"e{n}": Imported for n in range(3)} == ended


@pytest.mark.error_logs
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("spot", ANSWER, ids=[name for _, name in ANSWER])
def test_a_bug_in_reading_an_answer_sends_no_estimate_twice(
    monkeypatch: pytest.MonkeyPatch, spot: tuple[Any, str], *, late: bool
) -> None:
    """Nobody can be asked about it: it ends in the way that is set for such doubt."""
    strike_once(monkeypatch, spot, late=late)
    deliveries: list[FakeDelivery] = []

    async def story(room: Room) -> None:
        deliveries.extend(room.bring(item_event("e", QUOTE)))
        await asyncio.sleep(500)

    room = play(story, LIMITS)
    assert 1 == len(room.portal.ledger)
    assert [True] == [each.acked for each in deliveries]


@pytest.mark.error_logs
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("spot", PLACES, ids=[f"{each[0].__name__}.{each[1]}" for each in PLACES])
def test_a_bug_between_two_places_leaves_no_event_in_none(
    monkeypatch: pytest.MonkeyPatch, spot: tuple[Any, str], *, late: bool
) -> None:
    """What waits for an item, or goes again alone, still goes on."""
    calls = strike_once(monkeypatch, spot, late=late)
    second = referring("second", "first", DEAL)
    deliveries: list[FakeDelivery] = []

    async def story(room: Room) -> None:
        deliveries.extend(room.bring(second))
        await asyncio.sleep(100)
        room.portal.weather = lambda: Weather.THROTTLED
        deliveries.extend(room.bring(item_event("first")))
        await asyncio.sleep(40)
        room.portal.weather = lambda: Weather.FINE
        await asyncio.sleep(360)

    room = play(story, LIMITS)
    assert calls[0]
    found = [each.external_id.value for each in room.portal.ledger if each.external_id]
    assert ["first", "second"] == found
    assert [1, 1] == [each.acked for each in deliveries]
