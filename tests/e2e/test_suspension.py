"""Proves that nothing is sent by an old check: the process may be stopped where it stands."""

import asyncio

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import Environment, deals

FROZEN_SECONDS = 16.0
"""Longer than the broker bears silence (heartbeat 3 s), so that it gives the messages away."""


async def test_a_process_that_was_suspended_sends_nothing_that_is_another_one_s(
    broker: Broker, vhost: str
) -> None:
    """A stand-by takes over what was held, and imports it; who wakes up lets go of it."""
    waiting = [f"deal-{number}" for number in range(20)]
    async with Environment(broker, vhost, portal={"default_item_seconds": 0.05}) as environment:
        frozen = await environment.start_service(
            BATCH__WINDOW_SECONDS="1", RABBIT__HOLD_SECONDS="60", BATCH__MAX_ITEMS="5"
        )
        standby = await environment.start_service()
        await environment.publish(deals(*waiting))
        await wait_until(lambda: environment.flow(frozen).held > 0, what="messages held")
        frozen.freeze()
        await asyncio.sleep(FROZEN_SECONDS)
        frozen.thaw()
        await environment.settle(waiting, timeout=90)
        environment.assert_effectively_once(waiting)
        assert standby.alive
        assert frozen.alive
        await environment.wait_balanced(30)
