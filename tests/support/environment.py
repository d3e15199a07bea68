"""Builds the importer's whole environment for one test: broker, portal, service, and the books."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aio_pika.abc import AbstractIncomingMessage

from tests.support.amqp import CUT_OFF, INTAKE, POLL_SECONDS, Upstream, next_of, wait_until
from tests.support.broker import Broker
from tests.support.patience import Deadline
from tests.support.processes import PortalProcess, ServiceProcess

SUCCEEDED, FAILED = "crm.items.succeeded", "crm.items.failed"
DEAD_LETTERS, INTAKE_QUEUE = "crm.items.dlq", "crm.items.import"

QUICK: Mapping[str, str] = {
    "IMPORTER_BATCH__WINDOW_SECONDS": "0.2",
    "IMPORTER_BITRIX__TIMEOUT_SECONDS": "3",
    "IMPORTER_BITRIX__SETTLE_SECONDS": "2",
    "IMPORTER_BITRIX__RECHECK_SECONDS": "0.2",
    "IMPORTER_BITRIX__REQUESTS_PER_SECOND": "200",
    "IMPORTER_BITRIX__BURST": "500",
    "IMPORTER_AMBIGUOUS_AFTER_SECONDS": "3",
    "IMPORTER_RETRY__BASE_SECONDS": "0.1",
    "IMPORTER_RETRY__CAP_SECONDS": "1",
    "IMPORTER_RETRY__MAX_ATTEMPTS": "3",
    "IMPORTER_PAUSE__AFTER_SECONDS": "3",
    "IMPORTER_PAUSE__PROBE_SECONDS": "0.5",
    "IMPORTER_PAUSE__PROBE_CAP_SECONDS": "1",
    "IMPORTER_RABBIT__HEARTBEAT_SECONDS": "3",
    "IMPORTER_SHUTDOWN__DEADLINE_SECONDS": "10",
}
"""The contract's settings, scaled down so that every wait fits into a test."""


def one_batch(count: int) -> dict[str, str]:
    """Return settings with which so many events make one batch, however late the last one comes.

    A batch of fewer waits for a minute: a busy machine must not end its window early.
    """
    return {
        "IMPORTER_BATCH__MAX_ITEMS": str(count),
        "IMPORTER_BATCH__WINDOW_SECONDS": "60",
    }


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead letter: the original's body, and the headers it lies there with."""

    body: bytes
    headers: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Flow:
    """What became of the deliveries of one process, by its own metrics."""

    received: float
    settled: float
    held: float
    returned: float
    lost: float
    parked: float = 0.0
    unparked: float = 0.0

    @property
    def balanced(self) -> bool:
        """Tell whether every delivery is accounted for."""
        gone = self.settled + self.held + self.returned + self.parked + self.lost
        return self.received + self.unparked == gone


@dataclass(slots=True)
class Books:
    """What came out: every result event and every dead letter read so far."""

    succeeded: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)

    def outcomes(self) -> dict[str, set[str]]:
        """Return the distinct outcomes of each event id: `succeeded`, or the failure's kind."""
        found: dict[str, set[str]] = {}
        for event in self.succeeded:
            found.setdefault(event["data"]["eventId"], set()).add("succeeded")
        for event in self.failed:
            kind = event["data"]["error"]["kind"]
            found.setdefault(event["data"]["eventId"], set()).add(kind)
        return found

    def item_ids(self) -> dict[str, set[int]]:
        """Return the CRM ids that were reported for each succeeded event."""
        found: dict[str, set[int]] = {}
        for event in self.succeeded:
            found.setdefault(event["data"]["eventId"], set()).add(event["data"]["itemId"])
        return found

    def behind(self, event_id: str) -> set[str]:
        """Return the events whose success was told after that of this one.

        The order of a queue says what was first; on a busy machine the clock says little.
        """
        told = [event["data"]["eventId"] for event in self.succeeded]
        return set(told[told.index(event_id) + 1 :])

    def codes(self) -> Counter[str]:
        """Count the error codes of the failed events."""
        return Counter(event["data"]["error"]["code"] for event in self.failed)


class Environment:
    """One broker's virtual host, one portal, one service (or several), and their books."""

    fresh = False
    """Start Python from nothing for each service."""
    measured = False
    """Count the coverage of each service that ends by itself; it is slower then."""

    def __init__(
        self,
        broker: Broker,
        vhost: str,
        *,
        settings: Mapping[str, str] | None = None,
        portal: Mapping[str, Any] | None = None,
        amqp_url: str | None = None,
        watch: Callable[[str, AbstractIncomingMessage], None] | None = None,
    ) -> None:
        """Prepare; `watch` is told of every message that is read, and of its queue."""
        self.broker = broker
        self.vhost = vhost
        self.portal = PortalProcess(portal)
        self.books = Books()
        self._settings = {**QUICK, **(settings or {})}
        self._service_url = amqp_url or broker.url(vhost)
        self._stack = AsyncExitStack()
        self._services: list[ServiceProcess] = []
        self._watch = watch or (lambda _, __: None)

    async def __aenter__(self) -> Self:
        """Start the portal; the service is started by `start_service`."""
        self._stack.enter_context(self.portal)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill what still runs; the service's last words go with a failure."""
        if error is not None:
            for service in self._services:
                error.add_note(f"service log:\n{service.stderr()[-6000:]}")
        await self._stack.aclose()

    @property
    def service(self) -> ServiceProcess:
        """Return the service started last."""
        return self._services[-1]

    def settings(self, **settings: str) -> dict[str, str]:
        """Return what a service is set with: broker, portal, quick times, and what is given."""
        env = {
            "IMPORTER_RABBIT__URL": self._service_url,
            "IMPORTER_BITRIX__WEBHOOK_URL": self.portal.webhook_url,
            **self._settings,
            **{f"IMPORTER_{name}": value for name, value in settings.items()},
        }
        as_files = [name.removesuffix("_FILE") for name in env if name.endswith("URL_FILE")]
        return {name: env[name] for name in env if name not in as_files}

    def prepare_service(self, **settings: str) -> ServiceProcess:
        """Start a service without waiting for it."""
        given = self.settings(**settings)
        return self.take(ServiceProcess(given, fresh=self.fresh, measured=self.measured))

    def take(self, service: ServiceProcess) -> ServiceProcess:
        """Start a service made elsewhere, and end it with the rest."""
        self._stack.enter_context(service)
        self._services.append(service)
        return service

    async def start_service(self, **settings: str) -> ServiceProcess:
        """Start a service and wait until it is ready."""
        service = self.prepare_service(**settings)
        await asyncio.to_thread(service.wait_ready)
        return service

    async def wait_intake(self) -> None:
        """Wait until a deleted intake queue is there again, and bound: else a publish returns.

        A consumer is the sign, because the importer binds first. The broker may show the binding
        of the deleted queue for a moment more.
        """

        async def consumed() -> bool:
            if not self.broker.is_bound(self.vhost, INTAKE):
                return False
            async with Upstream(self.broker.url(self.vhost)) as upstream:
                return await upstream.consumers(INTAKE_QUEUE) > 0

        await wait_until(consumed, what="a new intake queue, bound and consumed")

    async def publish(self, bodies: Iterable[Mapping[str, Any] | bytes], **more: Any) -> None:
        """Publish item events, plain JSON unless bytes are given."""
        async with Upstream(self.broker.url(self.vhost)) as upstream:
            encoded = [
                each if isinstance(each, bytes) else json.dumps(dict(each)).encode()
                for each in bodies
            ]
            for start in range(0, len(encoded), 200):
                await upstream.many(encoded[start : start + 200], **more)

    async def read(self) -> int:
        """Read what lies in the result and dead-letter queues; return how much that was."""
        count = 0
        async with Upstream(self.broker.url(self.vhost)) as upstream:
            async for message in _taken(upstream, SUCCEEDED):
                self._watch(SUCCEEDED, message)
                self.books.succeeded.append(json.loads(message.body))
                count += 1
            async for message in _taken(upstream, FAILED):
                self._watch(FAILED, message)
                self.books.failed.append(json.loads(message.body))
                count += 1
            async for message in _taken(upstream, DEAD_LETTERS):
                self._watch(DEAD_LETTERS, message)
                self.books.dead.append(Dead(message.body, message.headers))
                count += 1
        return count

    async def settle(self, event_ids: Iterable[str], timeout: float = 60.0) -> Books:
        """Wait until every event has an outcome, then until the intake is empty; read all."""
        deadline = Deadline(timeout)
        await self.wait_outcomes(event_ids, deadline)
        await self.wait_idle(max(5.0, deadline.left))
        await self.read()
        return self.books

    async def wait_outcomes(self, event_ids: Iterable[str], deadline: Deadline) -> None:
        """Read results until every event has an outcome."""
        wanted = set(event_ids)
        while missing := wanted - set(self.books.outcomes()):
            some = sorted(missing)[:5]
            assert not deadline.passed, f"{len(missing)} without outcome, such as {some}"
            try:
                if not await self.read():
                    await asyncio.sleep(POLL_SECONDS)
            except CUT_OFF:
                await asyncio.sleep(0.5)

    async def wait_idle(self, timeout: float = 30.0) -> None:
        """Wait until nothing is in the intake queue, ready or unacknowledged."""

        async def idle() -> bool:
            depths = await asyncio.to_thread(self.broker.queues, self.vhost)
            depth = depths.get(INTAKE_QUEUE)
            return depth is not None and depth.ready == 0 and depth.unacked == 0

        await wait_until(idle, timeout, what="an empty intake queue")

    def flow(self, service: ServiceProcess | None = None) -> Flow:
        """Read what became of the deliveries of a living service, by default the last one."""
        sums: defaultdict[str, float] = defaultdict(float)
        for sample, value in (service or self.service).metrics().items():
            sums[sample.partition("{")[0].removeprefix("importer_")] += value
        return Flow(
            received=sums["messages_received_total"],
            settled=sums["items_total"],
            held=sums["held_messages"],
            returned=sums["messages_returned_total"],
            lost=sums["messages_lost_with_session_total"],
            parked=sums["messages_parked_total"],
            unparked=sums["messages_unparked_total"],
        )

    def logs(self) -> str:
        """Return what every service wrote, one after the other."""
        return "".join(
            f"---- service {number} ----\n{service.stderr()}"
            for number, service in enumerate(self._services, start=1)
        )

    def survivors(self) -> list[ServiceProcess]:
        """Return the services that still run."""
        return [service for service in self._services if service.alive]

    async def wait_balanced(self, timeout: float = 10.0) -> None:
        """Wait until every living service accounts for each of its deliveries and holds none."""
        deadline = Deadline(timeout)
        for service in self.survivors():
            while not ((flow := self.flow(service)).balanced and flow.held == 0):
                assert not deadline.passed, f"the books do not balance: {flow}"
                await asyncio.sleep(POLL_SECONDS)

    def external_ids(self) -> Counter[str]:
        """Count the portal's items by the external id they carry."""
        return Counter(str(item["externalId"]) for item in self.portal.ledger()["items"])

    def crm_ids(self) -> dict[str, int]:
        """Return the portal's item id by external id."""
        items = self.portal.ledger()["items"]
        return {str(item["externalId"]): item["id"] for item in items}

    def import_calls(self) -> list[dict[str, Any]]:
        """Return the import calls that the portal has seen."""
        calls = self.portal.ledger()["calls"]
        return [call for call in calls if call["method"] == "crm.item.batchimport"]

    def assert_effectively_once(
        self, event_ids: Sequence[str], *, failed: Mapping[str, str] | None = None
    ) -> None:
        """Check the promise: one outcome each, in the CRM exactly once, or refused and not."""
        wrong = dict(failed or {})
        outcomes, items = self.books.outcomes(), self.external_ids()
        reported, stored = self.books.item_ids(), self.crm_ids()
        for event_id in event_ids:
            expected = {wrong.get(event_id, "succeeded")}
            assert expected == outcomes.get(event_id), f"outcome of {event_id}"
            if event_id not in wrong:
                assert 1 == items[event_id], f"{event_id} is {items[event_id]} times in the CRM"
                assert {stored[event_id]} == reported[event_id], f"item id of {event_id}"
            elif wrong[event_id] != "ambiguous":
                assert 0 == items[event_id], f"{event_id} was refused and is in the CRM"


def deals(*event_ids: str, entity_type: int = 2) -> list[dict[str, Any]]:
    """Return plain item events that the portal accepts."""
    return [
        {"entityTypeId": entity_type, "id": each, "fields": {"title": f"Deal {each}"}}
        for each in event_ids
    ]


async def _taken(upstream: Upstream, name: str) -> AsyncIterator[AbstractIncomingMessage]:
    """Yield what a queue holds; each is acknowledged after it was looked at."""
    if not await upstream.exists(name):
        return
    queue = await upstream.queue(name)
    while (message := await next_of(queue)) is not None:
        yield message
        await message.ack()
