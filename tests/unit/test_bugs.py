"""Bugs: an exception at any await of any task costs what it strikes, and nothing beside it."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiormq.exceptions import AMQPError

from service.domain.batching import BatchPolicy
from service.domain.decisions import Rules
from service.domain.events import BatchKey, ItemEvent, Malformed, Reference
from service.domain.lanes import Lanes
from service.domain.outcomes import Imported, PauseReason, Report
from service.domain.retry import RetryPolicy
from service.importer.holdings import Holdings
from service.importer.inner_queues import InnerQueues
from service.importer.intake import Desk
from service.importer.intake_control import Intake
from service.importer.pipeline import Pipeline
from service.importer.slots import Slots
from service.rabbit.address import Address
from service.rabbit.connection import Connection
from service.rabbit.memory import Memory
from service.rabbit.memory_state import MemoryState
from service.rabbit.notes import Owner
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import catch_strays, endless, no_stray
from tests.fake_inner import FakeInnerQueues
from tests.fake_memory import FakeMemory, Stream
from tests.fakes import (
    FakeBroker,
    FakeConnection,
    FakePortal,
    Nature,
    Weather,
    item_event,
    malformed,
    value,
)
from tests.strikes import Aim
from tests.unit.importer.test_pipeline import LIMITS
from tests.virtual_time import run

pytestmark = pytest.mark.simulation
MAX_AWAITS = 1_000
ALL_SECONDS = 200.0
BRISK = replace(
    LIMITS,
    batch=BatchPolicy(20, 2.0, 1_000_000),
    rules=Rules(RetryPolicy(0.2, 6.0, 5), settle=6.5, recheck=0.4),
    hold=100.0,
    deadline=20.0,
    call=5.0,
)


Equip = Callable[[Pipeline, FakeConnection], None]


class CarefulPortal(FakePortal):
    """Counts the calls that were cancelled."""

    cancelled = 0

    async def import_items(self, key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        try:
            return await super().import_items(key, events)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def referring(event_id: str, to: str, entity_type_id: int) -> ItemEvent:
    """Return an event that waits for the item of another one."""
    reference = Reference(entity_type_id, to, None, item_event(to, entity_type_id).external_id)
    return replace(item_event(event_id), links={"parentId": reference})


def remember(pipeline: Pipeline, connection: FakeConnection) -> None:
    """Give a process a memory of what others noted."""
    stream = Stream(random.Random(1))
    pipeline.notes.memory = FakeMemory(stream, connection, hold=BRISK.hold)


def wait_elsewhere(pipeline: Pipeline, connection: FakeConnection) -> None:
    """Give a process queues for what waits, and close a lane, so that something does."""
    remember(pipeline, connection)
    pipeline.use(cast("InnerQueues", FakeInnerQueues(connection)))
    pipeline.lane_control.lanes.close(31, PauseReason.SCOPE, asyncio.get_running_loop().time())


async def live(aim: Aim, seed: int, equip: Equip) -> tuple[FakeBroker, CarefulPortal, Metrics]:
    """Live through two batches, refusals, look-ups, links, a cut connection and a stop."""
    rng = random.Random(seed)
    weather = iter([Weather.FINE, Weather.BROKEN])
    broker = FakeBroker(rng)
    portal = CarefulPortal(rng, weather=lambda: next(weather, Weather.FINE))
    connection, metrics = FakeConnection(broker), Metrics()
    loop = asyncio.get_running_loop()

    aim.at_tasks_of(loop)
    pipeline = Pipeline(
        portal=portal,
        intake=connection,
        publisher=connection,
        limits=BRISK,
        metrics=metrics,
        clock=loop.time,
    )
    connection.accept, connection.on_change = pipeline.accept, pipeline.wake
    equip(pipeline, connection)
    task = asyncio.create_task(pipeline.run())
    events: list[ItemEvent | Malformed] = [
        item_event("deal-0"),
        referring("deal-1", "deal-3", 2),
        referring("deal-2", "other-0", 31),
        item_event("deal-3"),
        malformed(),
        item_event("bad", nature=Nature.BAD),
        *(item_event(f"other-{number}", 31) for number in range(3)),
    ]
    for event in events:
        broker.publish(event)
    await asyncio.sleep(10.0)
    broker.publish(item_event("late"))
    await asyncio.sleep(1.0)
    connection.cut()
    await asyncio.sleep(1.0)
    connection.mend()
    await asyncio.sleep(20.0)
    aim.armed = False
    await asyncio.sleep(ALL_SECONDS)
    aim.armed = True
    assert not task.done(), "the pipeline has ended"
    assert 0 == portal.cancelled
    pipeline.stop()
    await task
    return broker, portal, metrics


@pytest.mark.parametrize(
    ("seed", "equip"), [(7, lambda *_: None), (8, remember), (7, wait_elsewhere)]
)
def test_a_bug_at_any_await_loses_doubles_and_cancels_nothing(seed: int, equip: Equip) -> None:
    """Raise at each await of each task of the service in turn; what waits elsewhere ends, too."""
    logging.getLogger("service").setLevel(logging.CRITICAL)
    wrong: dict[str, object] = {}
    aim = Aim(0)
    for target in range(1, MAX_AWAITS):
        aim = Aim(target)
        broker, portal, metrics = run(live(aim, seed, equip))
        if not aim.struck:
            break
        imported = {r.identity[1] for r in broker.results if isinstance(r.outcome, Imported)}
        found = {
            "unsettled": [m.event.event_id for m in broker.messages if not m.acked],
            "in the CRM": len(portal.ledger) != 8 or len({i.identity for i in portal.ledger}) != 8,
            "imported": len(imported) != 8,
            "left elsewhere": [queue for queue, left in broker.inner.items() if left],
            "letters": not 2 <= len(broker.letters) <= 3,
            "told": value(metrics.unexpected) != 1,
            "broken": [*broker.violations, *portal.violations],
        }
        if any(found.values()):
            wrong[f"{target} {aim.struck}"] = {name: each for name, each in found.items() if each}
    assert 50 < aim.seen < MAX_AWAITS
    assert {} == wrong


@pytest.fixture(autouse=True)
def quiet() -> Generator[None]:
    """Keep the log of so many bugs out of the way."""
    log = logging.getLogger("service")
    before = log.level
    yield
    log.setLevel(before)


@pytest.mark.error_logs
def test_endless_work_begins_anew_after_a_bug_and_is_told_of_each() -> None:
    """One that ends by itself, or is cancelled, does not."""
    metrics, runs = Metrics(), 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise KeyError(runs)

    async def story() -> None:
        await endless(work, "work", metrics)

    run(story())
    assert (3, 2.0) == (runs, value(metrics.unexpected))


@pytest.mark.error_logs
@pytest.mark.parametrize("stray", [False, True])
def test_endless_work_begins_anew_after_a_bug_in_a_group_of_its_tasks(*, stray: bool) -> None:
    """Python 3.11 leaves the task of such a group marked as cancelled; a stray ends none."""
    runs = 0

    async def bug() -> None:
        await asyncio.sleep(1)
        raise asyncio.CancelledError if stray else StopAsyncIteration

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(no_stray(bug()))
                tasks.create_task(no_stray(asyncio.sleep(100)))

    async def story() -> None:
        await endless(work, "work", Metrics())

    run(story())
    assert 3 == runs


@pytest.mark.error_logs
def test_endless_work_that_nobody_cancelled_begins_anew() -> None:
    """The client library ends waits with a cancellation."""
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise asyncio.CancelledError

    async def story() -> None:
        await endless(work, "work", Metrics())

    run(story())
    assert 3 == runs


async def test_what_is_late_goes_back_though_a_bug_keeps_the_consumer() -> None:
    """Nobody holds it any more."""
    returned: list[str] = []
    work: list[Coroutine[Any, Any, None]] = []

    async def give_back(late: list[str]) -> None:
        returned.extend(late)

    def cancelled() -> object:
        raise KeyError("a bug")

    settler = SimpleNamespace(oldest_held=lambda **_: 0.0, give_back=give_back)
    desk = SimpleNamespace(
        settler=settler,
        overdue=lambda _: ["late"],
        background=SimpleNamespace(start=work.append),
    )
    intake = SimpleNamespace(cancelled=cancelled)
    Holdings(cast("Desk", desk), Slots(Lanes(BRISK.pause)), BRISK, cast("Intake", intake)).sweep(
        0.0
    )
    with pytest.raises(KeyError):
        await work[0]
    assert ["late"] == returned


@pytest.mark.parametrize("state", [MemoryState.FOLLOWING, MemoryState.SILENT])
async def test_a_memory_that_a_bug_ended_is_not_relied_on(
    monkeypatch: pytest.MonkeyPatch, state: MemoryState
) -> None:
    """It hears nothing more until it begins anew, and must not say that nothing was noted."""
    memory = Memory(
        address=Address(["amqp://127.0.0.1:1/"], heartbeat=15),
        queue="memory",
        owner=Owner("portal.example", "crm-importer"),
        remember=10,
    )

    async def follow() -> None:
        memory.state = state
        await asyncio.sleep(0)
        raise KeyError("a bug")

    async def dial(_: Connection) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(memory, "_follow", follow)
    monkeypatch.setattr(Connection, "run", dial)
    with pytest.raises(ExceptionGroup):
        await memory.run()
    assert (MemoryState.UNAVAILABLE, False) == (memory.state, memory.reliable)


@pytest.mark.error_logs
async def test_stray_exceptions_are_told_but_for_those_of_a_broken_line() -> None:
    """A callback's, or a task's that nobody awaits."""
    metrics, loop = Metrics(), asyncio.get_running_loop()
    catch_strays(loop, metrics)
    for error in (KeyError("bug"), ConnectionResetError(), AMQPError()):
        loop.call_exception_handler({"message": "stray", "exception": error})
    loop.set_exception_handler(None)
    assert 1.0 == value(metrics.unexpected)


@pytest.mark.error_logs
def test_endless_work_that_a_bug_ends_while_it_is_cancelled_stays_ended() -> None:
    """A group of tasks raises the bug then, and no cancellation."""

    async def slow_to_end() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(slow_to_end())
            await asyncio.sleep(1)
            raise KeyError

    async def story() -> bool:
        task = asyncio.create_task(endless(work, "work", Metrics()))
        await asyncio.sleep(1.5)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=1_000)
        return task in done

    assert run(story())
