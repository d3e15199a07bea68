"""Proves that the broker of the tests can be hurt and comes back, so that other tests may rely."""

import asyncio
import subprocess
import sys
from pathlib import Path

import aio_pika
from pamqp.common import FieldTable

from tests.support.amqp import Upstream, next_of, wait_until
from tests.support.broker import Broker, Depth
from tests.support.node import RabbitNode

QUORUM: FieldTable = {"x-queue-type": "quorum"}
QUEUE = "held"
ROOT = Path(__file__).parents[3]


async def _declare(upstream: Upstream) -> None:
    await upstream.channel.declare_queue(QUEUE, durable=True, arguments=QUORUM)


async def _fill(upstream: Upstream, count: int) -> None:
    for number in range(count):
        message = aio_pika.Message(b"%d" % number, delivery_mode=2)
        await upstream.channel.default_exchange.publish(message, QUEUE)


async def test_depths_are_exact(broker: Broker, vhost: str, amqp_url: str) -> None:
    """What is ready and what is held is counted at once, without old statistics."""
    async with Upstream(amqp_url) as upstream:
        await _declare(upstream)
        await _fill(upstream, 5)
        queue = await upstream.queue(QUEUE)
        assert await next_of(queue)
        assert await next_of(queue)
        held = await asyncio.to_thread(broker.queues, vhost)
        assert {QUEUE: Depth(ready=3, unacked=2)} == held
        assert 3 == await upstream.ready(QUEUE)


async def test_a_kill_keeps_quorum_queues(node: RabbitNode, vhost: str, amqp_url: str) -> None:
    """A node that was killed and restarted has its queues, on the same ports."""
    async with Upstream(amqp_url) as upstream:
        await _declare(upstream)
        await _fill(upstream, 5)
    node.kill()
    assert not node.running
    node.restart()
    assert {QUEUE: Depth(ready=5, unacked=0)} == node.queues(vhost)
    async with Upstream(amqp_url) as upstream:
        assert 5 == len(await upstream.drain(QUEUE, 5))


async def test_a_frozen_node_says_nothing_until_thawed(node: RabbitNode, amqp_url: str) -> None:
    """A frozen node takes no confirm back and refuses nothing; thawed, it goes on."""
    async with Upstream(amqp_url) as upstream:
        await _declare(upstream)
        node.freeze()
        publishing = asyncio.create_task(_fill(upstream, 1))
        done, _ = await asyncio.wait({publishing}, timeout=0.3)
        assert set() == done
        node.thaw()
        await publishing
        await wait_until(lambda: _holds(upstream, 1), what="the publish")


async def test_a_memory_alarm_blocks_publishers(node: RabbitNode, amqp_url: str) -> None:
    """Under the alarm a publish waits; cleared, it passes."""
    async with Upstream(amqp_url) as upstream:
        await _declare(upstream)
        await asyncio.to_thread(node.memory_alarm, on=True)
        publishing = asyncio.create_task(_fill(upstream, 1))
        done, _ = await asyncio.wait({publishing}, timeout=0.5)
        assert set() == done
        await asyncio.to_thread(node.memory_alarm, on=False)
        await publishing
        assert 1 == await upstream.ready(QUEUE)


def test_nothing_outlives_a_killed_owner() -> None:
    """A test run that is killed takes its node, port mapper and folder along."""
    script = (
        "import os\n"
        "from tests.support.node import RabbitNode\n"
        "node = RabbitNode().start()\n"
        "print(node.folder, *node.pids, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    owner = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=ROOT
    )
    folder, *pids = owner.stdout.split()
    assert 2 == len(pids)
    asyncio.run(wait_until(lambda: not any(map(_lives, pids)), what="the end", timeout=10))
    asyncio.run(wait_until(lambda: not Path(folder).exists(), what="the removal", timeout=10))


def test_virtual_hosts_are_strangers(broker: Broker, vhost: str) -> None:
    """A new virtual host is empty, whatever other tests have left."""
    assert {} == broker.queues(vhost)


async def _holds(upstream: Upstream, count: int) -> bool:
    return count == await upstream.ready(QUEUE)


def _lives(pid: str) -> bool:
    """Tell whether a process still runs; one that waits for its parent's notice does not."""
    try:
        return Path("/proc", pid, "cmdline").read_bytes() != b""
    except OSError:
        return False
