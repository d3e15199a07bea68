"""Cluster addresses: whichever node lives is used, and one that dies is left for another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiormq import Channel

from service.factories import address
from service.rabbit.connection import Connection
from service.rabbit.session import connect
from service.settings.tree import Rabbit
from tests.support.amqp import wait_until
from tests.support.ports import free_port
from tests.support.proxy import Proxy


def dead(url: str) -> str:
    """Return the address of a node that is not there."""
    return f"amqp://guest:guest@127.0.0.1:{free_port()}/{url.rpartition('/')[2]}"


def settings(*urls: str) -> Rabbit:
    """Return settings with several addresses."""
    return Rabbit.model_validate({"url": ", ".join(urls)})


@asynccontextmanager
async def linked(rabbit: Rabbit) -> AsyncIterator[tuple[Connection, list[str | None]]]:
    """Keep a link up meanwhile; what it told of its changes comes with it."""
    changes: list[str | None] = []

    async def nothing(_: Channel) -> None:
        """Set nothing up."""

    connection = Connection(
        "consume", address(rabbit), confirms=False, setup=nothing, on_change=changes.append
    )
    running = asyncio.ensure_future(connection.run())
    try:
        yield connection, changes
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_a_dead_first_node_is_passed_over(amqp_url: str) -> None:
    """Try the next one at once."""
    rabbit = settings(dead(amqp_url), dead(amqp_url), amqp_url)
    async with connect(address(rabbit), "test") as session:
        await session.channel()
    async with linked(rabbit) as (connection, changes):
        await wait_until(lambda: connection.is_up, 10, what="the living node")
        assert 2 == len([reason for reason in changes if reason])


async def test_a_node_that_dies_is_left_for_another(amqp_url: str) -> None:
    """Fail over, and back again, whichever is there."""
    async with Proxy(amqp_url) as first, Proxy(amqp_url) as second:
        async with linked(settings(first.url, second.url)) as (connection, changes):
            await wait_until(lambda: connection.is_up, 10, what="the first node")
            for proxy in (first, second, first):
                proxy.cut()
                await wait_until(lambda: not connection.is_up, 10, what="the loss to be seen")
                await wait_until(lambda: connection.is_up, 10, what="the other node")
            assert [None] * 4 == [reason for reason in changes if reason is None]
        assert (2, 1) == (first.cuts, second.cuts)
