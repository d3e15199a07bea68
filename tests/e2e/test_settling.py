"""Proves how messages end: each by its own outcome, its result before its dead letter."""

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.environment import DEAD_LETTERS, FAILED, Environment, deals
from tests.support.patience import patient
from tests.support.proxy import Proxy

REFUSED = {"required": {"2": ["comments"]}}
"""Every deal is refused for want of a comment."""


async def test_a_failed_event_published_again_is_tried_again_when_its_delivery_comes_back(
    broker: Broker, vhost: str
) -> None:
    """The cause is gone; a cut connection must not make the new message pass for the old one."""
    ids = [f"deal-{number}" for number in range(5)]
    async with (
        Proxy(broker.url(vhost)) as proxy,
        Environment(broker, vhost, portal=REFUSED, amqp_url=proxy.url) as environment,
    ):
        window = f"{patient(8):g}"
        await environment.start_service(BATCH__WINDOW_SECONDS=window, RABBIT__HOLD_SECONDS="60")
        await environment.publish(deals(*ids))
        await environment.settle(ids)
        environment.portal.settings({"required": {}})
        await environment.publish(deals(*ids))
        await wait_until(lambda: _held(environment) == len(ids), what="the messages held")
        proxy.cut()
        await wait_until(lambda: _both_out(environment, ids), what="both outcomes of each")


async def test_a_failed_event_published_again_is_tried_again_after_a_pause(
    broker: Broker, vhost: str
) -> None:
    """A pause returns what was held; what comes back is a new message, not the old one."""
    ids = [f"deal-{number}" for number in range(5)]
    async with Environment(broker, vhost, portal=REFUSED) as environment:
        await environment.start_service()
        await environment.publish(deals(*ids))
        await environment.settle(ids)
        environment.portal.settings({"required": {}, "state": "credentials"})
        await environment.publish(deals(*ids))
        await wait_until(lambda: _returned(environment) == len(ids), what="the messages returned")
        environment.portal.settings({"state": "ok"})
        await wait_until(lambda: _both_out(environment, ids), what="both outcomes of each")


async def test_a_full_failed_queue_multiplies_nothing(broker: Broker, vhost: str) -> None:
    """The result goes first, its dead letter after; neither a retry nor a restart repeats one."""
    async with Environment(broker, vhost) as environment:
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
        service = await environment.start_service()
        bodies = [b'{"n":%d}' % number for number in range(60)]
        await environment.publish(bodies[:20])
        # The broker refuses only what comes after it has counted: all of a burst may get in.
        await wait_until(lambda: _depths(environment)[FAILED] >= 5, what="the first results")
        await environment.publish(bodies[20:])
        await asyncio.sleep(6)
        before = _depths(environment)
        service.terminate()
        service.wait()
        await environment.start_service()
        await asyncio.sleep(4)
        after = _depths(environment)
        assert 0 < before[FAILED] <= after[FAILED] < len(bodies)
        assert before[DEAD_LETTERS] <= before[FAILED]
        assert after[DEAD_LETTERS] <= after[FAILED]
        await wait_until(lambda: _all_out(environment, len(bodies)), 60, what="all results")
        await environment.wait_idle()
        await environment.read()
    assert sorted(bodies) == sorted(dead.body for dead in environment.books.dead)
    assert len(bodies) == len({event["id"] for event in environment.books.failed})


async def test_a_confirmed_result_is_not_repeated_while_its_dead_letter_is_refused(
    broker: Broker, vhost: str
) -> None:
    """Only what the broker has not confirmed is published again."""
    async with Environment(broker, vhost) as environment:
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
        await environment.start_service()
        bodies = [b'{"n":%d}' % number for number in range(30)]
        await environment.publish(bodies)
        await wait_until(lambda: _depths(environment)[FAILED] >= len(bodies), what="the results")
        await asyncio.sleep(4)
        assert len(bodies) == _depths(environment)[FAILED]
        await wait_until(lambda: _all_out(environment, len(bodies)), 60, what="all dead letters")
        await environment.wait_idle()
        await environment.read()
    assert len(bodies) == len(environment.books.failed)
    assert sorted(bodies) == sorted(dead.body for dead in environment.books.dead)


async def _both_out(environment: Environment, ids: Sequence[str]) -> bool:
    """Tell whether each event was refused first and imported later."""
    await environment.read()
    return {each: {"rejected", "succeeded"} for each in ids} == environment.books.outcomes()


async def _all_out(environment: Environment, count: int) -> bool:
    await environment.read()
    return len(environment.books.failed) >= count and len(environment.books.dead) >= count


def _held(environment: Environment) -> float:
    return environment.flow().held


def _returned(environment: Environment) -> float:
    return environment.flow().returned


def _depths(environment: Environment) -> dict[str, Any]:
    return {
        name: depth.ready for name, depth in environment.broker.queues(environment.vhost).items()
    }
