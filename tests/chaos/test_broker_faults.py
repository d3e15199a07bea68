"""Proves "effectively once" under everything the broker and the network can do."""

import asyncio

import pytest

from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.node import RabbitNode
from tests.support.proxy import Moment, Proxy
from tests.support.world import INTAKE_QUEUE, SUCCEEDED, World, deals

EVENTS = 120
SLOW_ITEMS = {"default_item_seconds": 0.01, "admin": True}


@pytest.mark.parametrize("moment", list(Moment))
async def test_a_connection_cut_at_any_step_loses_and_doubles_nothing(
    broker: Broker, vhost: str, moment: Moment
) -> None:
    """The way to the broker is cut when a message, confirm, publish or ack passes."""
    ids = [f"e{n}" for n in range(EVENTS)]
    async with (
        Proxy(broker.url(vhost)) as proxy,
        World(broker, vhost, portal=SLOW_ITEMS, amqp_url=proxy.url) as world,
    ):
        await world.start_service()
        for after in (3, 25):
            proxy.set_trap(moment, after=after)
            start = 0 if after == 3 else EVENTS // 2
            await world.publish(deals(*ids[start : start + EVENTS // 2]))
            await wait_until(lambda: proxy.sprung, what="the cut")
        await world.settle(ids)
        world.assert_effectively_once(ids)
        assert [] == world.books.dead


async def test_a_killed_service_is_followed_by_one_that_looks_first(
    broker: Broker, vhost: str
) -> None:
    """SIGKILL in the middle of calls: the successor asks the portal before it sends."""
    ids = [f"e{n}" for n in range(200)]
    async with World(broker, vhost, portal=SLOW_ITEMS) as world:
        for count in (30, 90):
            service = await world.start_service()
            if count == 30:
                await world.publish(deals(*ids))
            await _imported(world, count)
            service.kill()
        await world.start_service()
        await world.settle(ids)
        world.assert_effectively_once(ids)


async def test_a_stand_by_takes_over(broker: Broker, vhost: str) -> None:
    """Of two replicas one works; when it is killed the other goes on, at once for new events."""
    ids = [f"e{n}" for n in range(60)]
    async with World(broker, vhost, portal=SLOW_ITEMS) as world:
        active = await world.start_service()
        stand_by = await world.start_service()
        await world.publish(deals(*ids))
        await _imported(world, 20)
        assert 0.0 == stand_by.metrics()["importer_consumer_active"]
        active.kill()
        await world.publish(deals("new-1"))
        await world.settle([*ids, "new-1"])
        world.assert_effectively_once([*ids, "new-1"])


async def test_a_memory_alarm_is_waited_out(node: RabbitNode, vhost: str) -> None:
    """While the broker takes no publishes nothing is lost, and work resumes by itself."""
    ids = [f"e{n}" for n in range(EVENTS)]
    async with World(node, vhost, portal=SLOW_ITEMS) as world:
        await world.start_service()
        await world.publish(deals(*ids))
        await _imported(world, 20)
        node.memory_alarm(on=True)
        await asyncio.sleep(4)
        node.memory_alarm(on=False)
        await world.settle(ids)
        world.assert_effectively_once(ids)


async def test_a_frozen_broker_is_noticed_and_survived(node: RabbitNode, vhost: str) -> None:
    """A broker that answers nothing starts no new calls, and all goes on when it is back."""
    ids = [f"e{n}" for n in range(EVENTS)]
    async with World(node, vhost, portal=SLOW_ITEMS) as world:
        await world.start_service()
        await world.publish(deals(*ids))
        await _imported(world, 20)
        node.freeze()
        await asyncio.sleep(8)
        before = len(world.import_calls())
        await asyncio.sleep(2)
        assert before == len(world.import_calls())
        node.thaw()
        await world.settle(ids, timeout=90)
        world.assert_effectively_once(ids)


async def test_a_deleted_result_queue_is_made_again(broker: Broker, vhost: str) -> None:
    """Results that nobody would get are not confirmed: they wait for the queue."""
    ids = [f"e{n}" for n in range(40)]
    async with World(broker, vhost) as world:
        service = await world.start_service()
        async with Upstream(broker.url(vhost)) as upstream:
            await (await upstream.queue(SUCCEEDED)).delete(if_unused=False, if_empty=False)
        await world.publish(deals(*ids))
        await wait_until(
            lambda: (
                service.metrics()['importer_published_total{result="returned",target="succeeded"}']
                > 0
            ),
            what="a returned publish",
        )
        await world.settle(ids)
        world.assert_effectively_once(ids)


async def test_a_deleted_intake_queue_is_made_again(broker: Broker, vhost: str) -> None:
    """A consumer whose queue is gone notices, and consumes from the new one."""
    async with World(broker, vhost) as world:
        service = await world.start_service()
        async with Upstream(broker.url(vhost)) as upstream:
            await (await upstream.queue(INTAKE_QUEUE)).delete(if_unused=False, if_empty=False)
            await wait_until(lambda: upstream.exists(INTAKE_QUEUE), what="a new queue")
        await asyncio.to_thread(service.wait_ready)
        await world.publish(deals("after"))
        await world.settle(["after"])
        world.assert_effectively_once(["after"])
        restarts = service.metrics()['importer_consumer_restarts_total{reason="cancelled"}']
        assert restarts >= 1


async def _imported(world: World, count: int) -> None:
    """Wait until the CRM has so many items: then calls are in full swing."""
    await wait_until(lambda: world.portal.summary()["items"] >= count, what=f"{count} items")
