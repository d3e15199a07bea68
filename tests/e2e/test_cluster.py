"""Cluster: a node of three dies under load; the service goes on with another."""

import asyncio
import os

import pytest
from aio_pika.exceptions import AMQPError

from tests.support.amqp import POLL_SECONDS
from tests.support.cluster import running_cluster
from tests.support.environment import Environment, deals
from tests.support.ports import free_port
from tests.support.processes import ServiceProcess

EVENTS = 200


async def publish(environment: Environment, ids: list[str]) -> None:
    """Publish as upstream should: again, with the same ids, until all of it is confirmed."""
    while True:
        try:
            await environment.publish(deals(*ids))
        except AMQPError:
            await asyncio.sleep(POLL_SECONDS)
        else:
            return


async def test_a_node_of_a_cluster_dies_and_nothing_is_lost() -> None:
    """Quorum queues go on without the node; the service finds another by its addresses."""
    if os.environ.get("TEST_RABBIT_URL"):
        pytest.skip("needs a cluster that may be hurt, and TEST_RABBIT_URL names a foreign broker")
    with running_cluster() as (first, second, third):
        first.create_vhost("cluster")
        nobody = f"amqp://guest:guest@127.0.0.1:{free_port()}/cluster"
        urls = ",".join([nobody, *(each.url("cluster") for each in (third, second, first))])
        ids = [f"deal-{number}" for number in range(EVENTS)]
        async with Environment(first, "cluster", amqp_url=urls) as environment:
            await environment.start_service()
            for start in range(0, EVENTS, 20):
                await publish(environment, ids[start : start + 20])
                if start == EVENTS // 2:
                    await asyncio.to_thread(third.kill)
            await environment.settle(ids, timeout=90)
            environment.assert_effectively_once(ids)
            settings = {
                "IMPORTER_RABBIT__URL": urls,
                "IMPORTER_RABBIT__MANAGEMENT_URL": first.management_url,
                "IMPORTER_BITRIX__WEBHOOK_URL": environment.portal.webhook_url,
            }
            with ServiceProcess(settings, ["check"]) as check:
                assert 0 == await asyncio.to_thread(check.wait, 60)
                assert 2 == check.stdout().count("nothing listens there")
