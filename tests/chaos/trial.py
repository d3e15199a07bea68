"""Runs one fault in a whole environment, keeps its log, and has the log judged."""

import asyncio
import json
import math
import random
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.chaos.cells import Cell
from tests.chaos.listener import Listener
from tests.chaos.oplog import OperationLog, PortalWatch
from tests.checker.judge import Verdict, judge
from tests.checker.log import parse
from tests.support.amqp import CUT_OFF, PATIENCE_SECONDS, Upstream, wait_until
from tests.support.broker import Broker, Depth, OwnBroker
from tests.support.cluster import Cluster
from tests.support.environment import INTAKE_QUEUE, QUICK, Environment
from tests.support.patience import Deadline
from tests.support.processes import ServiceProcess
from tests.support.proxy import Proxy
from tests.support.wiretap import Wiretap, digest, event_of

Outcomes = Sequence[frozenset[str]]
Result = TypeVar("Result")
SUCCEEDED: Outcomes = (frozenset({"succeeded"}),)
REJECTED: Outcomes = (frozenset({"rejected"}),)
UNSUPPORTED: Outcomes = (frozenset({"unsupported"}),)
MALFORMED: Outcomes = (frozenset({"malformed"}),)
NOT_TWICE: Outcomes = (frozenset({"succeeded"}), frozenset({"ambiguous"}))
SOME = 5
LOG_BYTES = 8000
AT_ONCE = 200
PUBLISH_SECONDS = 60.0
AT_A_GLANCE = 1.0
SETTLE = "IMPORTER_BITRIX__SETTLE_SECONDS"
PARKED = "crm.items.parked."

BRIEF: Mapping[str, str] = {
    "IMPORTER_BITRIX__TIMEOUT_SECONDS": "2",
    "IMPORTER_BITRIX__SETTLE_SECONDS": "1",
}
"""No call takes longer than that here, unless a scenario says so."""
ADMIN: Mapping[str, Any] = {"admin": True}
SLOW: Mapping[str, Any] = {"admin": True, "default_item_seconds": 0.01}

# A broker's node ends with the thread that started it: these live as long as the program.
_HANDS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="hand")


async def by_hand(work: Callable[..., Result], *args: Any, **named: Any) -> Result:
    """Do what blocks in a thread of its own: the proxies of this process go on."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_HANDS, lambda: work(*args, **named))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One fault: what the environment is like, and what is done to it.

    `act` starts services, publishes and does the harm; what it published is then settled and
    audited. `own_node`: the broker is killed, frozen or starved, so it must be ours; `nodes`: how
    many it needs at least; `patience`: seconds for everything to settle; `alone`: nothing may wait
    in inner queues beside it.
    """

    name: str
    act: "Act"
    portal: Mapping[str, Any] = field(default_factory=lambda: SLOW)
    settings: Mapping[str, str] = field(default_factory=dict)
    own_node: bool = False
    nodes: int = 1
    patience: float = 60.0
    alone: bool = False


@dataclass(slots=True)
class Audit:
    """What came of a run: the verdict on its log, and what the processes say of themselves."""

    verdict: Verdict
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)
    log: str = ""

    @property
    def clean(self) -> bool:
        """Tell whether every promise was kept."""
        return self.verdict.clean and not self.complaints

    def complaint(self) -> str:
        """Return what is wrong, in a few lines."""
        found = [*self.complaints, *map(str, self.verdict.findings)]
        more = [f"and {len(found) - SOME} more"] if len(found) > SOME else []
        return "\n".join([*found[:SOME], *more])


class Amid(Protocol):
    """Goes on beside the fault, from the first start of a service on."""

    async def begin(self, trial: "Trial") -> None:
        """Begin when a service has started."""

    async def end(self, trial: "Trial") -> None:
        """End, so that everything can settle."""


class Trial:
    """One run of a scenario: the environment, the dice, and what every event may end as."""

    def __init__(
        self,
        environment: Environment,
        dice: random.Random,
        *,
        log: OperationLog,
        proxy: Proxy,
        patience: float,
        amid: Amid | None = None,
    ) -> None:
        """Begin with nothing published; `amid`: what goes on beside the fault."""
        self.environment = environment
        self.dice = dice
        self.proxy = proxy
        self.log = log
        self.portal = PortalWatch(log, environment.portal)
        self.stack = AsyncExitStack()
        self.expected: dict[str, Outcomes] = {}
        self._later: dict[str, Outcomes] = {}
        self._amid = amid
        self._begun = False
        self._patience = patience
        self._messages = 0
        self._depths: Mapping[str, Depth] = {}

    @property
    def node(self) -> OwnBroker:
        """Return the broker as one that may be hurt."""
        if not isinstance(self.environment.broker, OwnBroker):
            raise TypeError("the scenario must say that it needs a node of our own")
        return self.environment.broker

    @property
    def cluster(self) -> Cluster:
        """Return the broker as one of several nodes."""
        if not isinstance(self.environment.broker, Cluster):
            raise TypeError("the scenario must say that it needs several nodes")
        return self.environment.broker

    # ---- what acts are made of ----

    async def start(self, **settings: str) -> ServiceProcess:
        """Start a service and wait until it is ready."""
        service = await self.environment.start_service(**settings)
        if self._amid is not None and not self._begun:
            self._begun = True
            await self._amid.begin(self)
        return service

    async def listen(self, *, rate: float = math.inf) -> Listener:
        """Return another way to the portal, which is there until everything has settled."""
        way = Listener(self.environment.portal.webhook_url, rate=rate)
        return await self.stack.enter_async_context(way)

    async def begin_memory(self, **settings: str) -> None:
        """Have the memory made by a process that is gone: its first one cannot rely on it yet."""
        first = await self.start(**settings)
        await wait_until(lambda: "memory following" in first.stderr(), what="the memory")
        first.terminate()
        await by_hand(first.wait)

    @asynccontextmanager
    async def fault(self, what: str) -> AsyncIterator[None]:
        """Note when a fault begins and ends."""
        self.log.note("fault", what=what, state="begin")
        try:
            yield
        finally:
            self.log.note("fault", what=what, state="end")

    async def publish(
        self,
        count: int,
        *,
        types: Sequence[int] = (2, 128),
        may_end: Outcomes = SUCCEEDED,
        more: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Publish so many new events, their types in turn; return their ids."""
        first = len(self.expected)
        ids = [f"e{first + number}" for number in range(count)]
        bodies = [
            event(each, types[place % len(types)], **(more or {}))
            for place, each in enumerate(ids)
        ]
        await self.send(bodies, may_end=may_end)
        return ids

    async def send(
        self,
        bodies: Sequence[Mapping[str, Any] | bytes],
        *,
        may_end: Outcomes = SUCCEEDED,
        later: bool = False,
        **properties: Any,
    ) -> None:
        """Publish bodies until each is accepted; each event is then expected to end as said.

        `later`: not before everything shall settle.
        """
        waiting = [
            each if isinstance(each, bytes) else json.dumps(dict(each)).encode() for each in bodies
        ]
        deadline = Deadline(PUBLISH_SECONDS)
        while waiting:
            try:
                waiting = await self._publish_once(waiting, may_end, properties, later=later)
            except CUT_OFF:
                if deadline.passed:
                    raise
            if waiting:
                await asyncio.sleep(0.2)

    async def _publish_once(
        self,
        bodies: Sequence[bytes],
        may_end: Outcomes,
        properties: Mapping[str, Any],
        *,
        later: bool,
    ) -> list[bytes]:
        """Publish each body once; return those that the broker did not accept."""
        environment = self.environment
        async with Upstream(environment.broker.url(environment.vhost)) as upstream:

            async def publish(body: bytes) -> bool:
                message = self.published(body, may_end, later=later)
                # What has no id of its own is named by this one: see event_of.
                named = {"message_id": event_of({}, body)} if _type_of(body) is None else {}
                try:
                    await upstream.publish(body, **named, **properties)
                except CUT_OFF:
                    return False
                self.accepted(message, body)
                return True

            accepted: list[bool] = []
            for start in range(0, len(bodies), AT_ONCE):
                part = bodies[start : start + AT_ONCE]
                accepted += await asyncio.gather(*map(publish, part))
            return [body for body, there in zip(bodies, accepted, strict=True) if not there]

    def published(self, body: bytes, may_end: Outcomes, *, later: bool = False) -> int:
        """Note that a body is about to be published; return the number of the message."""
        self._messages += 1
        name = event_of({}, body)
        (self._later if later else self.expected)[name] = may_end
        ends = [sorted(one) for one in may_end]
        self.log.note(
            "publish",
            message=self._messages,
            event=name,
            type=_type_of(body),
            may_end=ends,
            body=digest(body),
        )
        return self._messages

    def accepted(self, message: int, body: bytes) -> None:
        """Note that the broker has confirmed a message: from now on it must not be lost."""
        self.log.note("accept", message=message, event=event_of({}, body))

    def allow(self, what: str, event_ids: Sequence[str]) -> None:
        """Allow some events what is else a fault.

        To `double`, to `repeat` with other ids, to end `aside` of the wire that is watched, or
        to be `purged` from the intake.
        """
        for event_id in event_ids:
            self.log.note("allow", event=event_id, what=what)

    async def imported(self, count: int) -> None:
        """Wait until the CRM has so many items: then calls are in full swing."""
        await wait_until(
            lambda: self.environment.portal.summary()["items"] >= count, what=f"{count} items"
        )

    # ---- what comes of it ----

    async def settle(self) -> list[str]:
        """Wait until everything has settled and note what is left; return what did not.

        Who has waited in vain for one thing does not wait for the next: it only looks.
        """
        complaints: list[str] = []
        if self._amid is not None:
            await self._amid.end(self)
        self.expected |= self._later
        for step in (self._settled, self._empty, self.environment.wait_balanced):
            try:
                await (step(AT_A_GLANCE) if complaints else step())
            except AssertionError as broken:
                complaints.append(str(broken).splitlines()[0])
        self.portal.collect()
        for queue, depth in self._depths.items():
            self.log.note("depth", queue=queue, ready=depth.ready, unacked=depth.unacked)
        return complaints

    async def _settled(self, seconds: float | None = None) -> None:
        patience = Deadline(self._patience if seconds is None else seconds)
        await self.environment.wait_outcomes(self.expected, patience)

    async def _empty(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until nothing is left in the intake and in the queues for what waits."""
        environment = self.environment

        async def empty() -> bool:
            self._depths = await by_hand(environment.broker.queues, environment.vhost)
            return not any(
                depth.ready + depth.unacked
                for name, depth in self._depths.items()
                if name == INTAKE_QUEUE or name.startswith(PARKED)
            )

        await wait_until(empty, seconds, what="empty queues")
        await environment.read()


Act = Callable[[Trial], Awaitable[None]]


def event(event_id: str, entity_type: int = 2, **fields: Any) -> dict[str, Any]:
    """Return a plain item event that the portal accepts; its title tells whose item it is."""
    named = {"title": f"Deal {event_id}", **fields}
    return {"entityTypeId": entity_type, "id": event_id, "fields": named}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Says what to run where: a cell and a seed, what goes on beside, and where the log goes."""

    cell: Cell
    seed: int
    to: Path
    amid: Amid | None = None


async def run_trial(scenario: Scenario, broker: Broker, vhost: str, order: Order) -> Audit:
    """Run a scenario in an empty virtual host, write its log, and return what came of it."""
    settings = {**QUICK, **BRIEF, **scenario.settings}
    log = OperationLog(**order.cell.members(), seed=order.seed, settle=float(settings[SETTLE]))
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        first, *others = broker.urls(vhost)
        proxy = Proxy(first, Wiretap(log.note), others=others)
        await stack.enter_async_context(proxy)
        environment = Environment(
            broker,
            vhost,
            settings=settings,
            portal=scenario.portal,
            amqp_url=proxy.url,
            watch=log.read_message,
        )
        await stack.enter_async_context(environment)
        trial = Trial(
            environment,
            random.Random(f"{scenario.name} {order.seed}"),
            log=log,
            proxy=proxy,
            patience=scenario.patience,
            amid=order.amid,
        )
        await stack.enter_async_context(trial.stack)
        try:
            await scenario.act(trial)
            complaints = await trial.settle()
        except BaseException as error:
            log.note("broken", why=f"{type(error).__name__}: {error} ({_place_of(error)})")
            raise
        finally:
            log.write(order.to)
        audit = Audit(judge(parse(log.text())), time.monotonic() - started, complaints)
        if not audit.clean:
            audit.log = environment.logs()[-LOG_BYTES:]
        return audit


def _place_of(error: BaseException) -> str:
    """Name the line of a scenario that an error passed, the innermost one."""
    frames = traceback.extract_tb(error.__traceback__)
    inner = next(each for each in reversed(frames) if "/tests/" in each.filename)
    return f"{Path(inner.filename).name}:{inner.lineno}"


def _type_of(body: bytes) -> int | None:
    try:
        return int(json.loads(body)["entityTypeId"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
