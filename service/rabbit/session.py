"""Opens one connection for a command, or says in a sentence why it cannot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aiormq import Channel
from aiormq.exceptions import AMQPError, ChannelNotFoundEntity

from service.rabbit.link import (
    CONNECT_SECONDS,
    Address,
    LinkLost,
    broker_errors,
    close_quietly,
    open_channel,
)
from service.rabbit.reasons import node, why

BLOCKED_SECONDS = 0.1


class CannotConnect(Exception):  # noqa: N818 - reads as what it says
    """No node of the broker lets us in; the text says why and what to look at."""


class Missing(Exception):  # noqa: N818 - reads as what it says
    """Something that the importer declares at its start is not there; the text names it."""


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One connection of a command: when it ends, so does the command's work."""

    connection: aio_pika.abc.AbstractConnection

    async def channel(self, *, confirms: bool = False) -> Channel:
        """Open a channel; with `confirms`, publishes are confirmed and unroutable ones raise.

        Raises LinkLost.
        """
        with broker_errors():
            return await open_channel(self.connection, confirms=confirms)

    async def blocked(self) -> bool:
        """Tell whether the broker has stopped reading from us (memory or disk alarm)."""
        transport = self.connection.transport
        if transport is None:
            return False
        try:
            with broker_errors():
                async with asyncio.timeout(BLOCKED_SECONDS):
                    await transport.connection.ready()
        except LinkLost:
            return not transport.connection.is_closed
        return False

    async def needs_exchange(self, name: str) -> None:
        """Raise Missing unless an exchange is there, LinkLost when it may not be asked for."""
        channel = await self.channel()
        with broker_errors():
            try:
                await channel.exchange_declare(name, passive=True, timeout=CONNECT_SECONDS)
            except ChannelNotFoundEntity:
                raise Missing(f"exchange {name}") from None
            await channel.close()


@asynccontextmanager
async def connect(address: Address, name: str) -> AsyncIterator[Session]:
    """Connect to the first node that lets us in; raises CannotConnect."""
    connection = await _first(address, name)
    try:
        yield Session(connection)
    finally:
        await close_quietly(connection.close())


async def _first(address: Address, name: str) -> aio_pika.abc.AbstractConnection:
    reasons: list[str] = []
    for url in address.with_heartbeat():
        try:
            return await aio_pika.connect(
                url,
                timeout=CONNECT_SECONDS,
                ssl_context=address.tls,
                client_properties={"connection_name": f"crm-importer {name}"},
            )
        except (AMQPError, OSError, TimeoutError, UnicodeError) as error:
            reason, remedy = why(error, tls=address.tls is not None)
            reasons.append(f"{node(url)}: {reason}: {remedy}")
    raise CannotConnect("the broker cannot be used: " + "; ".join(reasons))
