"""Asks for one inner queue on a channel that may end: whether it is there, whether we may."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aiormq import Channel
from aiormq.abc import FieldValue
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)
from pamqp.commands import Basic

from service.rabbit.closing import leave
from service.rabbit.connection import Address, ConnectionLost, Late, broker_errors
from service.rabbit.session import CannotConnect, connect
from service.rabbit.topology import RPC_SECONDS, SideChannel

T = TypeVar("T")

NO_QUEUE = "no queue '"
"""A queue that is there but has no node to answer is "not found" too, in other words."""


class DeniedError(Exception):
    """The broker does not let us use a queue; the text is its own."""


class MissingError(Exception):
    """There is no queue of that name."""


async def ready(side_channel: SideChannel, name: str) -> int:
    """Return how many messages of a queue are ready; raises DeniedError, MissingError.

    As all of these, it raises ConnectionLost where nothing is known of the queue.
    """

    async def ask(channel: Channel) -> int:
        told = await channel.queue_declare(name, passive=True)
        return told.message_count or 0

    return await _asked(side_channel, ask)


async def make(side_channel: SideChannel, name: str, arguments: dict[str, FieldValue]) -> None:
    """Make a queue; raises DeniedError where we may not."""

    async def ask(channel: Channel) -> None:
        await channel.queue_declare(name, durable=True, arguments=arguments)

    await _asked(side_channel, ask)


async def try_reading(side_channel: SideChannel, name: str) -> None:
    """Take a message of a queue, if there is one, and return it; raises DeniedError, MissingError.

    The intake's channel must never be the first to ask: a refusal would end it.
    """
    await _asked(side_channel, lambda channel: take_and_return(channel, name))


async def try_writing(side_channel: SideChannel) -> None:
    """See that we may publish to queues by their names; raises DeniedError.

    Inside a transaction that is rolled back: the broker checks the right at once, and routes
    nothing. Without the right a publish ends the channel of everybody's results.
    """

    async def ask(channel: Channel) -> None:
        try:
            await channel.tx_select()
            await channel.basic_publish(b"", exchange="", properties=Basic.Properties())
            await channel.tx_rollback()
        finally:
            # A channel with transactions is no use to others.
            await leave(channel)

    await _asked(side_channel, ask)


async def read_apart(address: Address, name: str) -> None:
    """Try to read a queue over a connection of its own.

    Raises ConnectionLost, DeniedError, MissingError.
    """

    @asynccontextmanager
    async def lent() -> AsyncIterator[Channel]:
        try:
            async with connect(address, "inner queue") as session:
                channel = await session.channel()
                async with asyncio.timeout(RPC_SECONDS):
                    yield channel
        except CannotConnect as why:
            raise ConnectionLost(str(why)) from None
        except TimeoutError:
            raise Late("the broker did not answer in time") from None

    await try_reading(lent, name)


async def take_and_return(channel: Channel, name: str) -> None:
    """Take a message of a queue, if there is one, and return it."""
    message = await channel.basic_get(name)
    if isinstance(message.delivery, Basic.GetOk):
        await channel.basic_nack(message.delivery_tag or 0, requeue=True)


async def _asked(side_channel: SideChannel, ask: Callable[[Channel], Awaitable[T]]) -> T:
    """Ask one question; a refusal by the broker differs from a lost connection."""
    refusal: Exception
    async with side_channel() as channel:
        with broker_errors():
            try:
                return await ask(channel)
            except ChannelNotFoundEntity as missing:
                if NO_QUEUE not in str(missing):
                    raise
                refusal = MissingError(str(missing))
            except (
                ChannelAccessRefused,
                ChannelLockedResource,
                ChannelPreconditionFailed,
            ) as refused:
                refusal = DeniedError(str(refused))
    raise refusal
