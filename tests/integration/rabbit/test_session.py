"""Proves that a command gets its connection, or one sentence that says why not."""

import asyncio
import socket

import pytest

from service.rabbit.connection import Address
from service.rabbit.session import CannotConnect, Missing, connect
from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.node import RabbitNode
from tests.support.ports import free_port


async def refusal(*urls: str) -> str:
    """Return why nobody lets us in."""
    with pytest.raises(CannotConnect) as caught:
        async with connect(Address(urls, heartbeat=15), "test"):
            pass
    return str(caught.value)


async def test_the_next_node_is_tried(broker: Broker, vhost: str) -> None:
    """One that is away does not matter."""
    away = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    async with connect(Address([away, broker.url(vhost)], heartbeat=15), "test") as session:
        assert not await session.blocked()


async def test_every_node_says_why_not(broker: Broker, vhost: str) -> None:
    """Each with its address, without user and password."""
    port = free_port()
    at = f"{broker.address.host}:{broker.address.amqp_port}"
    said = await refusal(f"amqp://u:geheim@127.0.0.1:{port}/", f"amqp://u:geheim@{at}/{vhost}")
    assert f"amqp://127.0.0.1:{port}: nothing listens there" in said
    assert f"amqp://{at}: user or password refused" in said
    assert "geheim" not in said


async def test_a_name_that_no_host_can_have_is_no_traceback() -> None:
    """The settings refuse it; should one pass, it is a reason like others."""
    assert "the host name is not known" in await refusal("amqp://u:geheim@.svc/")


async def test_a_missing_virtual_host_is_named_as_such(broker: Broker) -> None:
    """RabbitMQ answers with a close instead of an open."""
    assert "virtual host" in await refusal(broker.url("nowhere"))


async def test_a_port_that_speaks_something_else_is_no_traceback() -> None:
    """It hangs up at once, as a proxy without a target does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(10)

        def hang_up() -> None:
            server.accept()[0].close()

        waiting = asyncio.create_task(asyncio.to_thread(hang_up))
        assert f"amqp://127.0.0.1:{port}:" in await refusal(f"amqp://127.0.0.1:{port}/")
        await waiting


async def test_an_exchange_must_be_there(broker: Broker, vhost: str) -> None:
    """What is missing is named."""
    async with connect(Address([broker.url(vhost)], heartbeat=15), "test") as session:
        await session.needs_exchange("amq.topic")
        with pytest.raises(Missing, match=r"exchange crm\.items"):
            await session.needs_exchange("crm.items")


async def test_an_alarm_is_seen_as_blocked(node: RabbitNode, vhost: str) -> None:
    """Only once something was published does the broker say so."""
    async with connect(Address([node.url(vhost)], heartbeat=15), "test") as session:
        channel = await session.channel(confirms=False)
        node.memory_alarm(on=True)
        await channel.basic_publish(b"x", routing_key="nowhere")
        await wait_until(session.blocked, what="being blocked")
        node.memory_alarm(on=False)

        async def free() -> bool:
            return not await session.blocked()

        await wait_until(free, what="being let go")
