"""Proves stops and starts: signals, an absent broker, a restarted one."""

import asyncio

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import INTAKE_QUEUE, Environment, deals
from tests.support.node import RabbitNode

SLOW_ITEMS = {"default_item_seconds": 0.01}


async def test_sigterm_under_load_loses_and_doubles_nothing(broker: Broker, vhost: str) -> None:
    """A service stopped in the middle exits 0; its successor finishes the rest, once."""
    ids = [f"e{n}" for n in range(600)]
    async with Environment(broker, vhost, portal=SLOW_ITEMS) as environment:
        environment.measured = True
        first = await environment.start_service()
        publishing = asyncio.create_task(environment.publish(deals(*ids)))
        await wait_until(lambda: environment.portal.summary()["items"] >= 60, what="the load")
        first.terminate()
        assert 0 == await asyncio.to_thread(first.wait)
        await publishing
        depth = broker.queues(vhost)[INTAKE_QUEUE]
        assert 0 == depth.unacked
        assert 0 < depth.ready
        await environment.start_service()
        await environment.settle(ids)
        environment.assert_effectively_once(ids)


async def test_a_stop_finishes_what_was_delivered(broker: Broker, vhost: str) -> None:
    """On SIGTERM an open batch leaves at once, whatever its window."""
    async with Environment(broker, vhost) as environment:
        environment.measured = True
        service = await environment.start_service(
            BATCH__WINDOW_SECONDS="30", RABBIT__HOLD_SECONDS="60"
        )
        await environment.publish(deals("open-1", "open-2"))
        await wait_until(lambda: service.metrics()["importer_held_messages"] == 2, what="two held")
        service.terminate()
        assert 0 == await asyncio.to_thread(service.wait)
        await environment.settle(["open-1", "open-2"])
        environment.assert_effectively_once(["open-1", "open-2"])


async def test_a_drain_ends_at_its_deadline(broker: Broker, vhost: str) -> None:
    """A call that hangs does not hold the stop longer than the deadline; the rest goes back."""
    async with Environment(broker, vhost) as environment:
        service = await environment.start_service(
            BITRIX__TIMEOUT_SECONDS="3", SHUTDOWN__DEADLINE_SECONDS="3"
        )
        environment.portal.faults([{"kind": "hang_after_commit", "seconds": 8, "times": 1}])
        await environment.publish(deals("hangs"))
        await wait_until(lambda: environment.portal.summary()["items"] == 1, what="the commit")
        service.terminate()
        assert 0 == await asyncio.to_thread(service.wait, 8)
        await environment.start_service()
        await environment.settle(["hangs"])
        environment.assert_effectively_once(["hangs"])
        assert 0 == len(environment.books.failed)


async def test_an_absent_broker_is_waited_for(node: RabbitNode, vhost: str) -> None:
    """Started before the broker: alive, not ready; at work as soon as the broker is there."""
    async with Environment(node, vhost) as environment:
        node.kill()
        service = environment.prepare_service()
        await wait_until(lambda: service.probe("livez")[0] == 200, what="being alive")
        status, body = service.probe("readyz")
        assert 503 == status
        assert body["broker"] != "connected"
        node.restart()
        await asyncio.to_thread(service.wait_ready)
        await environment.publish(deals("late"))
        await environment.settle(["late"])
        environment.assert_effectively_once(["late"])


async def test_a_killed_broker_under_load_loses_nothing(node: RabbitNode, vhost: str) -> None:
    """The broker is killed and comes back while batches are in flight."""
    ids = [f"e{n}" for n in range(400)]
    async with Environment(node, vhost, portal=SLOW_ITEMS) as environment:
        service = await environment.start_service()
        # A quorum queue declared just before a kill may come back without a leader, for ever.
        await asyncio.sleep(2)
        await environment.publish(deals(*ids))
        await wait_until(lambda: environment.portal.summary()["items"] >= 60, what="the load")
        node.kill()
        await wait_until(lambda: service.probe("readyz")[0] == 503, what="noticing")
        assert 200 == service.probe("livez")[0]
        node.restart()
        await environment.settle(ids, timeout=90)
        environment.assert_effectively_once(ids)


async def test_a_stop_while_it_starts_ends_with_0(broker: Broker, vhost: str) -> None:
    """It holds nothing yet. The first process of a container gets no signal without a handler."""
    async with Environment(broker, vhost) as environment:
        environment.fresh = True
        for seconds in (0.3, 0.6, 1.0):
            service = environment.prepare_service()
            await asyncio.sleep(seconds)
            service.terminate()
            assert 0 == await asyncio.to_thread(service.wait)


async def test_bad_settings_stop_the_start(broker: Broker, vhost: str) -> None:
    """Every mistake has its line, the exit code is 2, and no secret is shown."""
    async with Environment(broker, vhost) as environment:
        service = environment.prepare_service(
            BITRIX__WEBHOOK_URL="https://portal.example/rest/1/", TYPO="1", BATCH__MAX_ITEMS="99"
        )
        assert 2 == await asyncio.to_thread(service.wait)
        lines = service.stderr().splitlines()
        assert 3 == len(lines)
        assert ["IMPORTER_BATCH__MAX_ITEMS", "IMPORTER_BITRIX__WEBHOOK_URL", "IMPORTER_TYPO"] == (
            sorted(line.split()[1] for line in lines)
        )
