"""Closes channels and connections that may be dead already: it waits for a short time only."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from aiormq import Channel

from service.rabbit.broken import ConnectionLost, broker_errors

CLOSE_SECONDS = 3.0


async def leave(channel: Channel) -> None:
    """Close a channel, and wait for it a short time only.

    The close is never broken off: the client library would send it a second time, and the broker
    ends a connection for a close of a channel that is closed already.
    """
    closing = asyncio.ensure_future(channel.close())
    closing.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({closing}, timeout=CLOSE_SECONDS)


async def close_quietly(closing: Awaitable[Any]) -> None:
    """Await the closing of something that may be dead already, for a short time."""
    try:
        with broker_errors():
            async with asyncio.timeout(CLOSE_SECONDS):
                await closing
    except ConnectionLost:
        pass
