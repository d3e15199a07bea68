"""A queue's leader dies while we connect: what is published gets through all the same."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiormq import Channel

from service.domain import refusals as refusing
from service.domain import retry
from service.domain.delivery import Settlement
from service.domain.outcomes import Imported
from service.domain.retry import RetryPolicy
from service.factories import address, topology
from service.rabbit.connection import Connection, ConnectionLost
from service.rabbit.encoding import Encoder
from service.rabbit.publishing import Publisher
from service.rabbit.session import connect
from service.rabbit.topology import Topology, ensure
from service.settings.tree import Rabbit
from service.telemetry.labels import TARGETS
from service.telemetry.metrics import Metrics
from tests.fakes import FakeDelivery, item_event
from tests.support.cluster import running_cluster
from tests.support.patience import Deadline

AT_ONCE = RetryPolicy(base=0.01, cap=0.01, max_attempts=1)
MOMENT_SECONDS = 0.01
PATIENCE_SECONDS = 2.0
GLANCE_SECONDS = 0.1
DEATH_SECONDS = 6.0
"""How long connections are made around a node's death, to hit the moment."""
ENOUGH_SECONDS = 20.0


async def nothing(*_: object) -> None:
    """Set nothing up and mend nothing: every queue is there."""


async def settle(publisher: Publisher) -> bool:
    """Publish a result; tell whether the broker confirmed it."""
    event = item_event("deal-1")
    settled = Settlement(event, FakeDelivery(event), Imported(1), 1, "b")
    [confirmed] = await publisher.results([settled])
    return confirmed is True


async def declare_led_by(url: str, names: Topology) -> None:
    """Declare the queues through the node that shall lead them."""
    async with connect(address(Rabbit.model_validate({"url": url})), "test") as session:

        @asynccontextmanager
        async def side_channel() -> AsyncIterator[Channel]:
            yield await session.channel()

        await ensure(names, side_channel)


async def within(seconds: float, attempt: Callable[[], Awaitable[bool]]) -> bool:
    """Try, over and over, until it worked or the time is over."""
    deadline = Deadline(seconds)
    while not deadline.passed:
        if await attempt():
            return True
        await asyncio.sleep(MOMENT_SECONDS)
    return False


async def test_a_channel_that_asks_a_dead_leader_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RabbitMQ 3.10 refuses on it for ever; 4.x does not, and passes without the remedy."""
    if os.environ.get("TEST_RABBIT_URL"):
        pytest.skip("needs a cluster that may be hurt, and TEST_RABBIT_URL names a foreign broker")
    monkeypatch.setattr(retry, "BROKER", AT_ONCE)
    monkeypatch.setattr(refusing, "FIRST_SECONDS", PATIENCE_SECONDS)
    with running_cluster() as (first, _, third):
        first.create_vhost("led")
        rabbit = Rabbit.model_validate({"url": first.url("led")})
        names = topology(rabbit)
        await declare_led_by(third.url("led"), names)
        connection = Connection(
            "publish", address(rabbit), confirms=True, setup=nothing, on_change=lambda _: None
        )
        publisher = Publisher(
            connection=connection,
            encoder=Encoder(names, portal_host="portal.example"),
            metrics=Metrics(),
            repair=nothing,
            queues=dict.fromkeys(TARGETS, "a queue"),
        )
        refusals = publisher._refusals["succeeded"]  # noqa: SLF001 - to see it refused
        running = asyncio.ensure_future(connection.run())
        try:
            assert await settle(publisher)
            killing = asyncio.ensure_future(asyncio.to_thread(third.kill))

            async def refused_over_a_new_connection() -> bool:
                connection.fail(ConnectionLost("again"))
                with suppress(TimeoutError):
                    async with asyncio.timeout(GLANCE_SECONDS):
                        await settle(publisher)
                return refusals.since is not None

            await within(DEATH_SECONDS, refused_over_a_new_connection)
            await killing
            assert await within(ENOUGH_SECONDS, lambda: settle(publisher))
        finally:
            running.cancel()
            await asyncio.wait({running})
