"""Proves that a broker that blocks and a queue that refuses are seen, and cost nothing."""

import asyncio
import json
from urllib.parse import quote

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import Environment, deals
from tests.support.node import RabbitNode
from tests.support.patience import patient
from tests.support.processes import ServiceProcess

BLOCKED = "importer_broker_blocked"


def readiness(service: ServiceProcess) -> tuple[int, dict[str, object]]:
    """Return the status and the body of the readiness probe."""
    answer = service.get("readyz")
    return answer.status_code, answer.json()


async def test_a_broker_that_blocks_publishers_is_told_and_shown_until_it_is_over(
    node: RabbitNode, vhost: str
) -> None:
    """One line when it begins and one when it ends; the process stays ready; nothing is lost."""
    ids = ["a", "b", "c"]
    # The call outlasts the time that the alarm takes to reach everybody on a busy machine.
    long = {"BITRIX__TIMEOUT_SECONDS": "300", "SHUTDOWN__DEADLINE_SECONDS": "300"}
    async with Environment(node, vhost) as there:
        service = await there.start_service(**long)
        assert 0 == service.metrics()[BLOCKED]
        await asyncio.to_thread(there.portal.freeze)
        await there.publish(deals(*ids))
        await wait_until(
            lambda: bool(service.probe("status")[1]["slots"]["in_use"]), what="a call"
        )
        await asyncio.to_thread(node.memory_alarm, on=True)
        await asyncio.sleep(patient(2))
        there.portal.thaw()
        await wait_until(lambda: service.metrics()[BLOCKED] == 1, what="being blocked")
        await wait_until(lambda: readiness(service)[1]["broker_blocked"] is True, what="its word")
        assert 200 == readiness(service)[0]
        node.memory_alarm(on=False)
        await wait_until(lambda: service.metrics()[BLOCKED] == 0, what="being let go")
        await there.settle(ids)
        there.assert_effectively_once(ids)
        (began,) = service.logs(event="the broker blocks publishers")
        assert "error" == began["level"]
        assert {"why", "until", "who_acts"} <= set(began)
        assert 1 == len(service.logs(event="the broker takes messages again"))


async def test_a_full_result_queue_is_named_until_it_takes_messages_again(
    broker: Broker, vhost: str
) -> None:
    """In the log once, in the readiness probe all the time; then every result is there."""
    place = f"policies/{quote(vhost, safe='')}/full"
    limit = {"max-length": 1, "overflow": "reject-publish"}
    policy = {"pattern": "failed", "definition": limit, "apply-to": "queues"}
    first, more = [f"e{number}" for number in range(4)], [f"m{number}" for number in range(4)]
    async with Environment(broker, vhost) as there:
        service = await there.start_service()
        broker.api("PUT", place, policy)
        # The limit is soft: publishers are refused once the queue has told that it is full.
        await there.publish([json.dumps({"id": each}).encode() for each in first])
        await wait_until(
            lambda: broker.queues(vhost)["crm.items.dlq"].ready > 1, what="a full queue"
        )
        await there.publish([json.dumps({"id": each}).encode() for each in more])
        await wait_until(
            lambda: list(readiness(service)[1]["refusing"]) == ["crm.items.failed"],  # type: ignore[call-overload]
            what="the queue's name",
        )
        assert 200 == readiness(service)[0]
        broker.api("DELETE", place)
        await wait_until(lambda: not readiness(service)[1]["refusing"], what="the end")
        await there.settle(first + more)
        (told,) = service.logs(event="a queue refuses what is published")
        assert ("error", "crm.items.failed") == (told["level"], told["queue"])
        assert 1 == len(service.logs(event="a queue takes messages again"))
