"""Proves how messages end: each by its own outcome, its result before its dead letter."""

import asyncio
from typing import Any

from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.proxy import Proxy
from tests.support.world import DEAD_LETTERS, FAILED, World, deals

REFUSED = {"required": {"2": ["comments"]}}
"""Every deal is refused for want of a comment."""


async def test_a_failed_event_published_again_is_tried_again_when_its_delivery_comes_back(
    broker: Broker, vhost: str
) -> None:
    """The cause is gone; a cut connection must not make the new message pass for the old one."""
    ids = [f"deal-{number}" for number in range(5)]
    async with (
        Proxy(broker.url(vhost)) as proxy,
        World(broker, vhost, portal=REFUSED, amqp_url=proxy.url) as world,
    ):
        await world.start_service(BATCH__WINDOW_SECONDS="3", RABBIT__HOLD_SECONDS="60")
        await world.publish(deals(*ids))
        await world.settle(ids)
        world.portal.settings({"required": {}})
        await world.publish(deals(*ids))
        await wait_until(lambda: _held(world) == len(ids), what="the messages held")
        proxy.cut()
        await world.wait_idle()
        await world.read()
    assert {each: {"rejected", "succeeded"} for each in ids} == world.books.outcomes()


async def test_a_failed_event_published_again_is_tried_again_after_a_pause(
    broker: Broker, vhost: str
) -> None:
    """A pause returns what was held; what comes back is a new message, not the old one."""
    ids = [f"deal-{number}" for number in range(5)]
    async with World(broker, vhost, portal=REFUSED) as world:
        await world.start_service()
        await world.publish(deals(*ids))
        await world.settle(ids)
        world.portal.settings({"required": {}, "state": "credentials"})
        await world.publish(deals(*ids))
        await wait_until(lambda: _returned(world) == len(ids), what="the messages returned")
        world.portal.settings({"state": "ok"})
        await world.wait_idle()
        await world.read()
    assert {each: {"rejected", "succeeded"} for each in ids} == world.books.outcomes()


async def test_a_full_failed_queue_multiplies_nothing(broker: Broker, vhost: str) -> None:
    """The result goes first, its dead letter after; neither a retry nor a restart repeats one."""
    async with World(broker, vhost) as world:
        async with Upstream(broker.url(vhost)) as upstream:
            await upstream.channel.declare_queue(
                FAILED,
                durable=True,
                arguments={
                    "x-queue-type": "quorum",
                    "x-max-length": 5,
                    "x-overflow": "reject-publish",
                },
            )
        service = await world.start_service()
        bodies = [b'{"n":%d}' % number for number in range(60)]
        await world.publish(bodies)
        await asyncio.sleep(6)
        before = _depths(world)
        service.terminate()
        service.wait()
        await world.start_service()
        await asyncio.sleep(4)
        after = _depths(world)
        assert 0 < before[FAILED] <= after[FAILED] < len(bodies)
        assert before[DEAD_LETTERS] <= before[FAILED]
        assert after[DEAD_LETTERS] <= after[FAILED]
        await wait_until(lambda: _all_out(world, len(bodies)), 60, what="all results")
        await world.wait_idle()
        await world.read()
    assert sorted(bodies) == sorted(dead.body for dead in world.books.dead)
    assert len(bodies) == len({event["id"] for event in world.books.failed})


async def test_a_confirmed_result_is_not_repeated_while_its_dead_letter_is_refused(
    broker: Broker, vhost: str
) -> None:
    """Only what the broker has not confirmed is published again."""
    async with World(broker, vhost) as world:
        async with Upstream(broker.url(vhost)) as upstream:
            await upstream.channel.declare_queue(
                DEAD_LETTERS,
                durable=True,
                arguments={
                    "x-queue-type": "quorum",
                    "x-max-length": 3,
                    "x-overflow": "reject-publish",
                },
            )
        await world.start_service()
        bodies = [b'{"n":%d}' % number for number in range(30)]
        await world.publish(bodies)
        await wait_until(lambda: _depths(world)[FAILED] >= len(bodies), what="the results")
        await asyncio.sleep(4)
        assert len(bodies) == _depths(world)[FAILED]
        await wait_until(lambda: _all_out(world, len(bodies)), 60, what="all dead letters")
        await world.wait_idle()
        await world.read()
    assert len(bodies) == len(world.books.failed)
    assert sorted(bodies) == sorted(dead.body for dead in world.books.dead)


async def _all_out(world: World, count: int) -> bool:
    await world.read()
    return len(world.books.failed) >= count and len(world.books.dead) >= count


def _held(world: World) -> float:
    return world.flow().held


def _returned(world: World) -> float:
    return world.flow().returned


def _depths(world: World) -> dict[str, Any]:
    return {name: depth.ready for name, depth in world.broker.queues(world.vhost).items()}
