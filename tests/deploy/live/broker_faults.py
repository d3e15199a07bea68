"""Faults of the broker and of the importer's own process, each held until it is told."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from tests.deploy.live.hurt import LIMIT, WORD
from tests.deploy.live.watched import Fault, Faults, Watched, any_of
from tests.support.amqp import wait_until
from tests.support.certificates import Files
from tests.support.environment import FAILED, INTAKE_QUEUE, deals
from tests.support.letters import Letters
from tests.support.parked import MEMORY
from tests.support.processes import ServiceProcess
from tests.support.proxy import Proxy

STARTS, CUTS = 5, 60
SOON, VERY_SOON = timedelta(days=5), timedelta(hours=12)
LITTLE_MEMORY = 40_000_000


async def memory(at: Watched) -> None:
    """Delete the memory, and take the right to make it anew."""
    environment, node = at.environment, at.environment.broker
    user = {"password": "memory-memory", "tags": ""}
    node.api("PUT", f"users/{at.job}", user)
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    node.api("PUT", f"permissions/{at.job}/{at.job}", rights)
    url = node.url(at.job).replace("guest:guest@", f"{at.job}:memory-memory@")
    await environment.start_service(RABBIT__URL=url)
    await at.seen()
    await environment.publish(deals("first"))
    await environment.settle(["first"])
    rights["configure"] = r"^crm\.items\.parked\..*$"
    node.api("PUT", f"permissions/{at.job}/{at.job}", rights)
    node.api("DELETE", f"queues/{at.job}/{MEMORY}")
    async with at.traffic(lambda n: deals(f"d{n}")):
        await at.told("ImporterMemoryUnwritten")
    await at.ask("check", RABBIT__URL=url)


async def twins(at: Watched) -> None:
    """Let two importers with two portals' addresses read one intake queue, and lose one."""
    environment = at.environment
    await Letters(environment.broker, at.job).declare()
    await environment.start_service(HTTP__PORT=str(at.ports[0]))
    other = environment.portal.webhook_url.replace("127.0.0.1", "localhost")
    second = await environment.start_service(
        HTTP__PORT=str(at.ports[1]), BITRIX__WEBHOOK_URL=other
    )
    async with at.traffic(lambda n: deals(*(f"d{n}-{each}" for each in range(4)))):
        await at.told("ImporterDuplicateActive")
        await at.told("ImporterQueueShared", job="", vhost=at.job)
        second.kill()
        await at.told("ImporterReplicaMissing")


async def line(at: Watched) -> None:
    """Cut the line to the broker again and again, then for good."""
    environment = at.environment
    async with Proxy(environment.broker.url(at.job)) as proxy:
        proxy_url = proxy.url
        service = await environment.start_service(RABBIT__URL=proxy_url)
        await at.seen()
        for _ in range(CUTS):
            if any_of(at.watch.fired(), "ImporterLinkFlapping", {"job": at.job}):
                break
            proxy.cut()
            await asyncio.sleep(0.5)
            await asyncio.to_thread(service.wait_ready)
        await at.told("ImporterLinkFlapping")
    await at.told("ImporterNotReady")
    await at.ask("check", RABBIT__URL=proxy_url)


async def starts(at: Watched) -> None:
    """Kill the process, again and again."""
    environment = at.environment
    for _ in range(STARTS):
        service = await environment.start_service()
        await wait_until(partial(_is_seen, at, service), what="a scrape")
        service.kill()
    await at.told("ImporterRestarting")


def _is_seen(at: Watched, service: ServiceProcess) -> bool:
    began = service.metrics()["process_start_time_seconds"]
    asked = f'max(process_start_time_seconds{{job="{at.job}"}}) >= {began}'
    return bool(at.watch.prometheus.query(asked))


async def foreign(at: Watched) -> None:
    """Let another program be the single active consumer of the intake."""
    environment = at.environment
    await Letters(environment.broker, at.job).declare(x_single_active_consumer=True)

    async def keep(_: AbstractIncomingMessage) -> None:
        """Take a message and say nothing."""

    async with await aio_pika.connect(environment.broker.url(at.job)) as theirs:
        channel = await theirs.channel()
        await channel.set_qos(prefetch_count=1)
        await (await channel.get_queue(INTAKE_QUEUE, ensure=False)).consume(keep)
        await environment.start_service()
        await environment.publish(deals(*(f"d{n}" for n in range(5))))
        await at.told("ImporterNoActiveConsumer", "ImporterStalled")


async def full(at: Watched) -> None:
    """Let the queue of failed results refuse."""
    environment = at.environment
    await environment.start_service(RABBIT__HOLD_SECONDS="20")
    await at.seen()
    definition = {"max-length": 1, "overflow": "reject-publish"}
    policy = {"pattern": FAILED, "definition": definition, "apply-to": "queues"}
    environment.broker.api("PUT", f"policies/{at.job}/full", policy)
    path = f"queues/{at.job}/{FAILED}"
    await wait_until(
        lambda: bool(environment.broker.api("GET", path).get("policy")), what="the policy"
    )
    async with at.traffic(lambda n: [{"entityTypeId": 2, "id": f"b{n}", "fields": "x"}]):
        await at.told("ImporterPublishFailing", "ImporterOldestHeldTooOld", severity="page")
    await at.ask("check", RABBIT__MANAGEMENT_URL=environment.broker.management_url)


async def hurt(at: Watched) -> None:
    """Meet a bug, and have little memory."""
    environment = at.environment
    settings = {**environment.settings(), LIMIT: str(LITTLE_MEMORY)}
    service = environment.take(ServiceProcess(settings, module="tests.deploy.live.hurt"))
    await asyncio.to_thread(service.wait_ready)
    await at.seen()
    await environment.publish([WORD])
    await at.told("ImporterUnexpectedErrors", "ImporterMemoryNearLimit")


async def certificate(at: Watched) -> None:
    """Show the broker a certificate that ends in days, then one that ends in hours."""
    environment, authority = at.environment, at.watch.authority

    def issue(left: timedelta) -> Files:
        ends = datetime.now(UTC) + left
        return Files.write(
            at.watch.prometheus.folder / "tls", authority, authority.issue("client", ends=ends)
        )

    settings = {"RABBIT__URL": at.watch.node.tls_url(at.job), **issue(SOON).settings}
    await environment.start_service(**settings)
    await at.told("ImporterCertificateExpires", severity="ticket", which="client")
    await at.ask("check", **settings)
    issue(VERY_SOON)
    await asyncio.to_thread(at.watch.node.close_connections, at.job)
    await at.told("ImporterCertificateExpires", severity="page", which="client")


async def node(at: Watched) -> None:
    """Let the whole broker block publishers, then hide its figures. Others must be through."""
    environment = at.environment
    await environment.start_service()
    await at.seen()
    # The broker blocks a connection when it publishes: so there are results all the time.
    await environment.publish(deals(*(f"d{n}" for n in range(500))))
    await asyncio.to_thread(at.watch.node.memory_alarm, on=True)
    try:
        await at.told("ImporterBrokerBlocked")
    finally:
        await asyncio.to_thread(at.watch.node.memory_alarm, on=False)
    off = ("rabbitmq-plugins", "disable", "rabbitmq_prometheus")
    await asyncio.to_thread(at.watch.node.run, *off)
    await at.told("ImporterBrokerMetricsMissing")


FAULTS: Faults = {
    "memory": Fault(memory),
    "twins": Fault(twins, processes=2),
    "line": Fault(line),
    "starts": Fault(starts),
    "foreign": Fault(foreign),
    "full": Fault(full),
    "hurt": Fault(hurt),
    "certificate": Fault(certificate),
}
LAST: Faults = {
    "node": Fault(
        node,
        {
            "IMPORTER_BATCH__MAX_ITEMS": "1",
            "IMPORTER_BITRIX__REQUESTS_PER_SECOND": "1",
            "IMPORTER_BITRIX__BURST": "1",
        },
    )
}
"""What strikes every importer of the broker comes when the others are through."""
