"""Opens one connection for a command, or says in a sentence why it cannot."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aiormq import Channel
from aiormq.exceptions import AMQPError, ChannelNotFoundEntity
from yarl import URL

from service.rabbit.closing import close_quietly
from service.rabbit.connection import (
    CONNECT_SECONDS,
    Address,
    ConnectionLost,
    broker_errors,
    dial,
    is_blocked,
    open_channel,
)
from service.rabbit.reasons import node, why


class CannotConnect(Exception):  # noqa: N818 - reads as what it says
    """No node of the broker lets us in; the text says why and what to look at."""


class NotLetIn(Exception):  # noqa: N818 - reads as what it says
    """A node could not be asked; `remedy` is what to look at."""

    def __init__(self, reason: str, remedy: str) -> None:
        """Take the reason apart from the remedy."""
        super().__init__(reason)
        self.remedy = remedy


class Missing(Exception):  # noqa: N818 - reads as what it says
    """Something that the importer declares at its start is not there; the text names it."""


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One connection of a command: when it ends, so does the command's work."""

    connection: aio_pika.abc.AbstractConnection

    async def channel(self, *, confirms: bool = False) -> Channel:
        """Open a channel; with `confirms`, publishes are confirmed and unroutable ones raise.

        Raises ConnectionLost.
        """
        with broker_errors():
            return await open_channel(self.connection, confirms=confirms)

    async def blocked(self) -> bool:
        """Tell whether the broker has stopped reading from us (memory or disk alarm)."""
        try:
            return await is_blocked(self.connection)
        except ConnectionLost:
            return False

    async def needs_exchange(self, name: str) -> None:
        """Raise Missing unless an exchange is there, ConnectionLost when we may not ask for it."""
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
    async with _entered(await _first(address, name)) as session:
        yield session


@asynccontextmanager
async def enter(address: Address, name: str) -> AsyncIterator[Session]:
    """Connect to the one node of an address; raises NotLetIn."""
    (url,) = address.with_heartbeat()
    async with _entered(await _open(url, address, name)) as session:
        yield session


@asynccontextmanager
async def _entered(connection: aio_pika.abc.AbstractConnection) -> AsyncIterator[Session]:
    try:
        yield Session(connection)
    finally:
        await close_quietly(connection.close())


async def _first(address: Address, name: str) -> aio_pika.abc.AbstractConnection:
    reasons: list[str] = []
    for url in address.with_heartbeat():
        try:
            return await _open(url, address, name)
        except NotLetIn as reason:
            reasons.append(f"{node(url)}: {reason}: {reason.remedy}")
    raise CannotConnect("the broker cannot be used: " + "; ".join(reasons))


async def _open(url: URL, address: Address, name: str) -> aio_pika.abc.AbstractConnection:
    try:
        return await dial(url, address.tls, name)
    except (AMQPError, OSError, TimeoutError, UnicodeError) as error:
        raise NotLetIn(*why(error, tls=url.scheme == "amqps")) from None
