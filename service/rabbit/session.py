"""Opens one connection for a command, or says in a sentence why it cannot."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.exceptions import AuthenticationError, ProbableAuthenticationError
from aiormq import Channel
from aiormq.exceptions import (
    AMQPError,
    ChannelNotFoundEntity,
    ConnectionClosed,
    InvalidFrameError,
)
from yarl import URL

from service.rabbit.link import (
    CONNECT_SECONDS,
    Address,
    LinkLost,
    broker_errors,
    close_quietly,
    open_channel,
)

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
        except (AMQPError, OSError, TimeoutError) as error:
            reasons.append(f"{_node(url)}: {_why(error)}")
    raise CannotConnect("the broker cannot be used: " + "; ".join(reasons))


def _node(url: URL) -> str:
    """Return what of an address may be shown."""
    return f"{url.scheme}://{url.host}:{url.port or (5671 if url.scheme == 'amqps' else 5672)}"


def _why(error: Exception) -> str:
    """Return the reason and the remedy; never an address with its password."""
    # The library wraps what the network said; of what the broker said it leaves the cause empty.
    cause = error.__cause__ if isinstance(error.__cause__, OSError | TimeoutError) else error
    match cause:
        case AuthenticationError() | ProbableAuthenticationError():
            return "user or password refused: look at IMPORTER_RABBIT__URL"
        case ConnectionClosed() | InvalidFrameError():
            return "refused the virtual host: does it exist, and may the user enter it?"
        case ssl.SSLError():
            return f"TLS failed ({cause.reason or 'no reason given'}): look at RABBIT__CA_FILE"
        case TimeoutError():
            return f"no answer within {CONNECT_SECONDS:g} s: is the port right, is it blocked?"
        case OSError():
            return f"cannot be reached ({_network(cause)}): is it running?"
        case _:
            return type(cause).__name__


def _network(error: OSError) -> str:
    """Return what the system says of an error, without the address that asyncio adds."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__
