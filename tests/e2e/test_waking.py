"""Proves that what waits goes on although nothing new comes: somebody wakes the intake."""

import asyncio

from tests.e2e.test_lanes import DENIED, PARKED, closed, items
from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import Environment

WAITING = [f"s{n}" for n in range(12)]
QUICK = {"PAUSE__PROBE_SECONDS": "2", "PAUSE__PROBE_CAP_SECONDS": "4"}
CALM = {"PAUSE__PROBE_SECONDS": "8", "PAUSE__PROBE_CAP_SECONDS": "16"}
"""An active process says so every 4 s: one note may be late on a busy machine."""


async def _wait_for_all(broker: Broker, vhost: str) -> None:
    await wait_until(
        lambda: broker.queues(vhost)[PARKED].ready == len(WAITING), what="all being parked"
    )


async def test_what_waits_is_imported_after_a_restart_with_an_empty_intake(
    broker: Broker, vhost: str
) -> None:
    """Nobody tells a process that it is active; it sends itself one event."""
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([DENIED])
        service = await environment.start_service(**QUICK)
        await environment.publish(items(*WAITING))
        await closed(service, "scope")
        await _wait_for_all(broker, vhost)
        await asyncio.to_thread(service.kill)
        environment.portal.faults([])
        await environment.start_service(**QUICK)
        await environment.settle(WAITING)
        environment.assert_effectively_once(WAITING)
        assert [] == environment.books.dead


async def test_a_stand_by_goes_on_with_what_waits(broker: Broker, vhost: str) -> None:
    """It hears that nobody is active any more; while somebody was, it sent nothing back."""
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([DENIED])
        first = await environment.start_service(**CALM)
        await environment.publish(items(*WAITING))
        await closed(first, "scope")
        await _wait_for_all(broker, vhost)
        second = await environment.start_service(**CALM)
        await asyncio.sleep(12)
        woken = "one waiting event sent to the intake: the process that gets it is active"
        assert [] == second.logs(event=woken)
        await asyncio.to_thread(first.kill)
        environment.portal.faults([])
        await environment.settle(WAITING)
        assert [] != second.logs(event=woken)
        environment.assert_effectively_once(WAITING)
        assert [] == environment.books.dead
