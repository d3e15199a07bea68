"""The whole core over thousands of made-up histories: nothing lost, nothing doubled.

A failing history names its seed; `pytest -k simulation` with `SEEDS = [seed]` repeats it exactly.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import cast

import prometheus_client as metric
import pytest

from service.domain.batching import BatchPolicy
from service.domain.circuit_breaker import PausePolicy
from service.domain.decisions import Rules
from service.domain.events import NOTHING_ASKED, Identity, ItemEvent, Malformed, Profile
from service.domain.fields import Policy
from service.domain.limits import Limits
from service.domain.outcomes import Failed, FailureKind, Imported
from service.domain.retry import RetryPolicy
from service.importer.inner_queues import InnerQueues
from service.importer.pipeline import Pipeline
from service.telemetry.metrics import Metrics
from tests.fake_inner import FakeInnerQueues
from tests.fakes import (
    CLOSED,
    DEAL,
    FATAL,
    GIVEN,
    HIDDEN,
    QUOTE,
    VERSIONS,
    Bounds,
    BrokerFaults,
    FakeBroker,
    FakeConnection,
    FakePortal,
    Item,
    Message,
    Nature,
    PortalView,
    Result,
    Weather,
    failed_results,
    identity_of,
    item_event,
    malformed,
    nature_of,
)
from tests.support.awaits import strike
from tests.support.histories import histories
from tests.virtual_time import START, Standstill, now, run

pytestmark = pytest.mark.simulation
HISTORIES = histories(40)
OTHER_BODIES = True
"""Whether upstream publishes one id with several bodies."""
STAND_BY = True
"""Whether a second process takes over while the first one pauses."""
BREAKERS = True
"""Whether items break their calls, or have them refused, also while the gate is half-open."""
UNSENT_IS_KNOWN = True
"""Whether an event that cannot be looked up must survive being returned unsent."""
CHUNK = 20
"""So few in one test that it ends in its time on a busy machine, too."""
PROOF_SECONDS = 900.0
"""How long what was perhaps sent waits for a witness; some pass before."""
OTHERS = Profile(responsible="8")
"""What an event asks for whose item another person is responsible for."""
PATIENCE = 6_000.0
"""Seconds after the last fault in which everything must have ended."""
STEPS_A_SECOND = 5_000
"""Ten times as many steps of the loop as the busiest second of a thousand histories has: who
looks again and again at what cannot have changed makes more."""
PASSERS, PASSER_EVERY = 8, 400.0
BREAKING = {Nature.BINDER, Nature.DENIED, Nature.POISON, Nature.SAVED_POISON}
STEADY = (
    Weather.THROTTLED,
    Weather.OVER_BUDGET,
    Weather.UNAVAILABLE,
    Weather.BARRED,
    Weather.NO_AUTH,
)
PASSING = (
    Weather.PATCHY,
    Weather.THROTTLED,
    Weather.UNAVAILABLE,
    Weather.BROKEN,
    Weather.LOST,
    Weather.HANG,
    Weather.SLOW,
)


class Rights(StrEnum):
    """What the portal lets us read."""

    ALL = "all"
    OWN = "own"
    """Nothing that another person is responsible for."""
    REVOKED = "revoked"
    """Everything, and for some time nothing."""


@dataclass
class Process:
    """One life of the importer."""

    pipeline: Pipeline
    connection: FakeConnection
    metrics: Metrics
    task: "asyncio.Task[None]"


@dataclass
class History:
    """One made-up history: what is published, what goes wrong, and when."""

    seed: int
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = rng = random.Random(self.seed)
        self.length = rng.choice([20.0, 60.0, 120.0])
        self.ask = rng.choice(["doubtful", "doubtful", "always"])
        self.validation: Policy = "warn" if self.seed % 2 else "off"
        self.kills = rng.random() < 0.4
        self.forgetful = not self.kills and rng.random() < 0.3
        self.stand_by = STAND_BY and not self.forgetful and rng.random() < 0.2
        self.waits_elsewhere = random.Random(-1 - self.seed).random() < 0.6
        alone = not self.kills and not self.stand_by
        known = alone or (self.ask == "always" and not self.stand_by)
        self.repeats = rng.random() < 0.6 and known
        self.lag = rng.choice([0.0, 0.3]) if alone and not self.forgetful else 0.0
        self.breakers = 0
        self.troubles = rng.choice([0, 1, 4])
        self.sick = rng.choice([0.0, 0.0, 0.1, 0.3, 0.6])
        self.natures = rng.choice([0.0, 0.1, 0.4])
        self.outages = self._outages()
        self.rights = rng.choice([*Rights, Rights.ALL, Rights.ALL])
        self.admin = rng.random() < 0.5
        self.revoked_at = rng.uniform(0.0, self.length)
        self.upload = rng.choice([0.0, 0.0, 3.0])
        self.set_back_at = rng.uniform(0.0, self.length) if rng.random() < 0.15 else None
        dice = random.Random(f"queues {self.seed}")
        self.young = dice.choice([0.0, 0.0, 10.0])
        self.returns = dice.random() < 0.3
        self.start = 0.0

    def _outages(self) -> list[tuple[float, float, Weather]]:
        rng = self.rng
        found = []
        for _ in range(rng.choice([0, 0, 1, 2])):
            begin = rng.uniform(0.0, self.length)
            found.append((begin, begin + rng.uniform(1.0, 40.0), rng.choice(STEADY)))
        return found

    def hides(self, item: Item) -> bool:
        """Tell whether an item may not be read now; what is revoked comes back at the end."""
        return self._revoked() or self.blind(item.entity_type_id, item.has.responsible)

    def _revoked(self) -> bool:
        at = now() - self.start
        return self.rights is Rights.REVOKED and self.revoked_at <= at < self.length

    def blind(self, entity_type_id: int, responsible: str | None) -> bool:
        """Tell whether such items may never be read, or not be looked for."""
        others = self.rights is Rights.OWN and responsible not in {None, GIVEN.responsible}
        hidden = entity_type_id == HIDDEN or others
        return entity_type_id == QUOTE or (hidden and not self.admin)

    def calls_us_admin(self) -> bool:
        """Tell what the portal says of us now."""
        return self.admin and not self._revoked()

    def weather(self) -> Weather:
        """Return what the portal does to the next call."""
        at = now() - self.start
        if at > self.length:
            return Weather.FINE
        for begin, end, weather in self.outages:
            if begin <= at < end:
                return weather
        return self.rng.choice(PASSING) if self.rng.random() < self.sick else Weather.FINE

    def limits(self) -> Limits:
        """Return small bounds, so that all of them are met."""
        rng = self.rng
        items, slots = rng.choice([1, 3, 5, 20]), rng.choice([1, 2, 3])
        return Limits(
            batch=BatchPolicy(items, rng.choice([0.05, 0.5, 2.0]), rng.choice([250, 100_000])),
            pause=PausePolicy(
                after=rng.choice([1.0, 6.0, 20.0]),
                probe=1.5,
                probe_cap=20.0,
                brake_items=rng.choice([0, 10]) if BREAKERS or self.sick else 0,
            ),
            rules=Rules(
                retry=RetryPolicy(0.2, 6.0, 5),
                settle=6.5,
                recheck=0.4,
                validation=self.validation,
                unproved_after=PROOF_SECONDS,
                ask_again=(1.5, 20.0),
            ),
            slots=slots,
            # As many denied messages as the prefetch holds do stop the intake: that is a pause.
            # So do as many that wait for a proof.
            prefetch=items * (slots + rng.choice([1, 8]))
            + (60 if self.natures or self.blind(HIDDEN, None) else 0),
            hold=40.0,
            remember=10_000,
            deadline=rng.choice([7.0, 20.0]),
            call=5.0,
            ask=self.ask,
        )

    def messages(self) -> list[tuple[float, ItemEvent | Malformed]]:
        """Return what upstream publishes, and when."""
        rng = self.rng
        found: list[tuple[float, ItemEvent | Malformed]] = []
        for number in range(rng.choice([5, 20, 50])):
            at = rng.choice([0.0, rng.uniform(0.0, self.length)])
            if rng.random() < 0.03:
                found.append((at, malformed(f"broken-{number}")))
                continue
            event = self._event(f"event-{number}", "first")
            found.append((at, event))
            while self.repeats and rng.random() < 0.3:
                found.append((at + rng.choice([0.0, 0.5, 5.0, 30.0]), self._repeat(event)))
        return sorted(found, key=lambda each: each[0])

    def _event(self, event_id: str, body: str, entity_type_id: int | None = None) -> ItemEvent:
        rng = self.rng
        types = [DEAL] * 8 + [1, 31, QUOTE, HIDDEN, CLOSED]
        nature = rng.choice(list(Nature)) if rng.random() < self.natures else Nature.GOOD
        if nature in BREAKING:
            nature = nature if self._may_break() else Nature.BAD
        kind = entity_type_id or rng.choice(types)
        asks = OTHERS if rng.random() < 0.3 else NOTHING_ASKED
        return item_event(event_id, kind, nature=nature, body=body, asks=asks)

    def _may_break(self) -> bool:
        """Tell whether one more item may break its calls, or have them refused."""
        self.breakers += 1
        return BREAKERS or (self.breakers == 1 and not self.sick and not self.outages)

    def _repeat(self, event: ItemEvent) -> ItemEvent:
        if not OTHER_BODIES or self.rng.random() < 0.5:
            return event
        return self._event(event.event_id, f"{self.rng.random()}", event.entity_type_id)


class World:
    """The broker and the portal of one history, and the processes that come and go."""

    def __init__(self, history: History) -> None:
        """Prepare everything; nothing moves before `live`."""
        self.history = history
        self.limits = history.limits()
        rng = history.rng
        history.start = now()
        faults = BrokerFaults(
            unconfirmed=rng.choice([0.0, 0.0, 0.1, 0.5]),
            stored_unconfirmed=0.5,
            slow=rng.choice([0.0, 0.1]),
            until=now() + history.length,
            full=self._full(),
        )
        version = VERSIONS[history.seed % len(VERSIONS)]
        self.broker = FakeBroker(rng, faults, version=version)
        self.broker.hold, self.broker.young = self.limits.hold, history.young
        batch = self.limits.batch
        bounds = Bounds(
            batch.max_items,
            batch.max_bytes,
            self.limits.slots,
            lag=history.lag,
            upload=history.upload,
            paced=rng.choice([0.0, 0.3]),
        )
        self.portal = FakePortal(rng, weather=history.weather, bounds=bounds)
        self.portal.hides, self.portal.admin = history.hides, history.calls_us_admin
        self.violations: list[str] = []
        self.processes: list[Process] = []

    def _full(self) -> tuple[float, float]:
        """Return when the queue of failed results refuses everything."""
        rng, history = self.history.rng, self.history
        begin = now() + rng.uniform(0.0, history.length)
        return (begin, begin + rng.choice([0.0, 0.0, 10.0, 60.0]))

    async def live(self) -> None:
        """Live through the history, wait until all is done, and stop."""
        work = (self._upstream(), self._trouble(), self._set_back(), self._return())
        jobs = [asyncio.create_task(each) for each in work]
        self._begin()
        await asyncio.gather(*jobs)
        self._begin()
        limit = now() + PATIENCE
        for number in range(PASSERS):
            if self._idle():
                break
            # An item refused alone ends only while others of its type pass: let some pass.
            for kind, asks in product((DEAL, 1, 31, QUOTE, HIDDEN), (NOTHING_ASKED, OTHERS)):
                blind = self.history.blind(kind, asks.responsible)
                if blind and self.history.ask == "always" and number > 1:
                    continue
                name = f"passer-{number}-{kind}-{asks.responsible}"
                self.broker.publish(item_event(name, kind, asks=asks))
            await asyncio.sleep(PASSER_EVERY)
        while now() < limit and not self._idle():  # noqa: ASYNC110 - polls made-up time
            await asyncio.sleep(1.0)
        left = [m.event.event_id for m in self.broker.messages if self._must_end(m)]
        if left:
            self.violations.append(f"never ended: {left}")
        while self.processes:
            await self._stop(self.processes[0])
        self._judge()

    def _must_end(self, message: Message) -> bool:
        """Tell whether a message should have ended: one waits for its proof after each trial.

        That is with `LOOKUP=always`, where its item could not be read.
        """
        event = message.event
        asks = event.asks.responsible if isinstance(event, ItemEvent) else None
        unread = event.entity_type_id == HIDDEN or (
            event.entity_type_id is not None and self.history.blind(event.entity_type_id, asks)
        )
        return not message.acked and not (self.history.ask == "always" and unread)

    def _idle(self) -> bool:
        held = any(process.pipeline.settler.held for process in self.processes)
        return self.broker.empty and not held

    def _begin(self) -> None:
        """Start what should run and does not."""
        while len(self.processes) < 1 + self.history.stand_by:
            self._start()

    def _start(self) -> None:
        connection = FakeConnection(self.broker, early=self.limits.prefetch)
        metrics = Metrics()
        pipeline = Pipeline(
            portal=PortalView(self.portal, connection.fit),
            intake=connection,
            publisher=connection,
            limits=self.limits,
            metrics=metrics,
            clock=asyncio.get_running_loop().time,
        )
        if self.history.waits_elsewhere:
            pipeline.use(cast("InnerQueues", FakeInnerQueues(connection)))
        self._equip(pipeline, connection)
        connection.accept = pipeline.accept
        connection.on_change = pipeline.wake
        task = asyncio.create_task(pipeline.run())
        self.processes.append(Process(pipeline, connection, metrics, task))

    def _equip(self, pipeline: Pipeline, connection: FakeConnection) -> None:
        """Give a process what not every history has."""

    async def _upstream(self) -> None:
        for at, message in self.history.messages():
            await asyncio.sleep(max(0.0, self.history.start + at - now()))
            self.broker.publish(message)

    async def _trouble(self) -> None:
        history, rng = self.history, self.history.rng
        moments = sorted(rng.uniform(0.0, history.length) for _ in range(history.troubles))
        for moment in [*moments, history.length]:
            await asyncio.sleep(max(0.0, history.start + moment - now()))
            if moment == history.length:
                break
            self._begin()
            kind, process = rng.random(), rng.choice(self.processes)
            if history.kills and kind < 0.4:
                await self._kill(process)
                await asyncio.sleep(rng.choice([0.0, 1.0, 10.0]))
            elif history.kills and kind < 0.6:
                await self._stop(process)
                await asyncio.sleep(rng.choice([0.0, 1.0, 10.0]))
            else:
                await self._cut(process)

    async def _cut(self, process: Process) -> None:
        """Cut a connection for a while."""
        strike("cut")
        process.connection.cut(flag=not self.history.forgetful)
        await asyncio.sleep(self.history.rng.choice([0.0, 0.3, 5.0]))
        process.connection.mend()

    async def _return(self) -> None:
        """Return what waits to the intake now and then, as `lanes return` does."""
        dice, end = random.Random(self.history.seed), self.history.start + self.history.length
        while self.history.returns and now() < end:
            await asyncio.sleep(dice.uniform(1.0, 6.0))
            for queue in list(self.broker.inner):
                self.broker.return_one(queue)

    async def _set_back(self) -> None:
        """Bring a backup of the portal back, or empty it."""
        if self.history.set_back_at is not None:
            await asyncio.sleep(self.history.set_back_at)
            items = len(self.portal.ledger)
            self.portal.set_back(self.history.rng.choice([0, items // 2, max(0, items - 3)]))

    def _leave(self, process: Process) -> None:
        """Let a process go; it must not have met a bug."""
        self.processes.remove(process)
        if total(process.metrics.unexpected):
            self.violations.append("an unexpected error")
        if self.history.set_back_at is None and total(process.metrics.portal_set_back):
            self.violations.append("the portal was never set back")

    async def _kill(self, process: Process) -> None:
        strike("kill")
        self._leave(process)
        process.connection.kill()
        process.task.cancel()
        await asyncio.wait([process.task])

    async def _stop(self, process: Process) -> None:
        """Stop as SIGTERM does; what was received must be accounted for."""
        strike("stop")
        began = now()
        process.pipeline.stop()
        await process.task
        self._leave(process)
        if now() - began > self.limits.deadline + 3.0:
            self.violations.append(f"the drain took {now() - began:.1f} s")
        held = len(process.pipeline.settler.held)
        metrics = process.metrics
        settled, returned, lost = map(total, (metrics.items, metrics.returned, metrics.lost))
        parked, unparked = total(metrics.parked_total), process.connection.unparked
        received = process.connection.received
        if received + unparked != settled + held + returned + parked + lost:
            self.violations.append(
                f"received {received} + {unparked} unparked != {settled} settled + {held} held "
                f"+ {returned} returned + {parked} parked + {lost} lost"
            )
        process.connection.kill()

    def _judge(self) -> None:
        self.violations += self.broker.violations + self.portal.violations
        self.violations += letters_too_many(self)
        good = self._wanted()
        items = [*self.portal.ledger, *self.portal.lost]
        owners = {(item.item_id, item.identity) for item in items}
        imported = set()
        for result in self.broker.results:
            if isinstance(result.outcome, Imported):
                imported.add(result.identity)
                if (result.outcome.item_id, result.identity) not in owners:
                    self.violations.append(f"{result.identity} was told another's item")
        counts = Counter(item.identity for item in self.portal.ledger)
        for identity in {*counts, *good}:
            self._judge_event(identity, counts[identity], identity in imported)
        self._judge_failures()

    def _judge_event(self, identity: Identity, items: int, imported: bool) -> None:  # noqa: FBT001
        """Judge one event: in the CRM once, or failed and not in it."""
        if items > 1 and self._can_tell(identity):
            self.violations.append(f"{identity} is in the CRM {items} times")
        elif items and not imported and identity not in self._blind():
            self.violations.append(f"{identity} is in the CRM, but its result is failed")
        elif not imported and identity in self._wanted():
            self.violations.append(f"{identity} is good, but not imported")

    def _can_tell(self, identity: Identity) -> bool:
        """Tell whether somebody could know that an event was imported before.

        Not a process that does not know the earlier publish, and may not read its item.
        """
        published = [m for m in self.broker.messages if not m.queue]
        repeated = sum(identity_of(each.event) == identity for each in published) > 1
        forgotten = self.history.kills and repeated and identity in self.portal.unread
        return identity.entity_type_id != QUOTE and not forgotten

    def _events(self) -> list[ItemEvent]:
        return [m.event for m in self.broker.messages if isinstance(m.event, ItemEvent)]

    def _blind(self) -> set[Identity]:
        """Return the events of which a person may have to look up the item."""
        blind = self.history.blind
        return {e.identity for e in self._events() if blind(e.entity_type_id, e.asks.responsible)}

    def _wanted(self) -> set[Identity]:
        """Return the events that must be imported: the portal would take them."""
        return (
            {
                event.identity
                for event in self._events()
                if nature_of(event) not in FATAL and event.entity_type_id != CLOSED
            }
            - self._blind()
            - self._lost()
            - {result.identity for result, _ in self._unproved()}
        )

    def _lost(self) -> set[Identity]:
        """Return the events whose items were gone when the portal was set back."""
        return {item.identity for item in self.portal.lost}

    def _unproved(self) -> list[tuple[Result, Failed]]:
        """Return the failures of what may have been sent when no witness was left.

        Such events wait for an item of ours that the portal shows. After the portal was set back
        none is, until another item of their type is made; and where everything is asked for,
        nothing new is sent that could become one before it has waited as long itself.
        """
        if not self.portal.lost:
            return []
        return [
            (result, failed)
            for result, failed in failed_results(self.broker.results)
            if failed.kind is FailureKind.AMBIGUOUS
            and self._excused(result)
            and (self.history.ask == "always" or not self._had_witness(result))
        ]

    def _had_witness(self, result: Result) -> bool:
        """Tell whether items were made meanwhile like each that an event may have become."""
        since = result.said_at - self.limits.rules.unproved_after
        made = {
            has.responsible
            for kind, has, at in self.portal.made
            if kind == result.identity[0] and since <= at <= result.said_at
        }
        messages = (each.event for each in self.broker.messages)
        asked = {
            each.asks.responsible or GIVEN.responsible
            for each in messages
            if isinstance(each, ItemEvent) and each.identity == result.identity
        }
        return asked <= made

    def _judge_failures(self) -> None:
        """Only an item's own fault fails it."""
        events = {m.event.digest: m.event for m in self.broker.messages}
        unproved = self._unproved()
        for result, failed in failed_results(self.broker.results):
            event = events[result.digest]
            if isinstance(event, Malformed) or (result, failed) in unproved:
                continue
            blind = event.identity in self._blind()
            own = nature_of(event) in FATAL or event.entity_type_id == CLOSED
            if own:
                continue
            if blind and nature_of(event) is Nature.GOOD:
                own = failed.kind is FailureKind.AMBIGUOUS and self._excused(result)
            elif blind or (nature_of(event) is Nature.SAVED and event.identity in self._lost()):
                own = True
            if not own:
                self.violations.append(f"{result.identity} is good and failed: {failed}")

    def _excused(self, result: Result) -> bool:
        """Tell whether nobody could know that an event was not sent."""
        history = self.history
        quiet = history.troubles == 0 and not history.stand_by
        sent = any(result.identity[1] in call for call in self.portal.calls)
        return sent or not quiet or not UNSENT_IS_KNOWN


def letters_too_many(world: World) -> list[str]:
    """Tell of dead letters that no lost confirm and no lost acknowledgement explains."""
    if world.history.kills:
        return []
    most = world.broker.unsure + len(world.broker.messages)
    failed = {each.digest for each, _ in failed_results(world.broker.results)}
    most -= sum(message.event.digest not in failed for message in world.broker.messages)
    letters = len(world.broker.letters)
    return [f"{letters} dead letters, and {most} at most are explained"] * (letters > most)


def total(counter: metric.Counter) -> int:
    """Return the sum of a counter over its labels."""
    samples = next(iter(counter.collect())).samples
    return int(sum(sample.value for sample in samples if sample.name.endswith("_total")))


def violations_of(
    seed: int, made: Callable[[int], World] = lambda seed: World(History(seed))
) -> list[str]:
    """Live through one history and return what went wrong; some have their wall clock set."""
    random.seed(seed)
    clock = random.Random(f"clock {seed}")
    step, step_at = clock.choice([0.0, 0.0, 3600.0, -3600.0]), START + clock.uniform(0.0, 200.0)

    async def live() -> list[str]:
        world = made(seed)
        await world.live()
        return world.violations

    try:
        return run(live(), step=step, step_at=step_at, most_a_second=STEPS_A_SECOND)
    except Standstill as standstill:
        return [f"standstill: {standstill}"]


@pytest.fixture(autouse=True)
def errors_only() -> Iterator[None]:
    """Keep the log of a thousand outages out of the way; errors still count."""
    log = logging.getLogger("service")
    before = log.level
    log.setLevel(logging.ERROR)
    yield
    log.setLevel(before)


@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_no_history_loses_doubles_or_blames_anything(first: int) -> None:
    """Keep every promise of the contract through a chunk of seeded histories."""
    broken = {
        seed: found for seed in range(first, first + CHUNK) if (found := violations_of(seed))
    }
    assert {} == broken


def test_history_repeats_itself_exactly() -> None:
    """Get the same calls from the same seed."""

    def calls(seed: int) -> list[list[str]]:
        random.seed(seed)

        async def live() -> list[list[str]]:
            world = World(History(seed))
            await world.live()
            return world.portal.calls

        return run(live())

    assert calls(7) == calls(7)
