"""Opens channels; lends a second one of a connection, for questions that may end it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import aio_pika
from aiormq import Channel

from service.rabbit.broken import ConnectionLost, broker_errors

FRAMES = 1_000
"""Read before the channel's own task takes them. The library's ten have two tasks wake each other
three times for each ten messages; what may come is bounded by the prefetch."""
MAX_UNANSWERED = 8
"""So many channels may wait for answers that do not come; two questions leave a queue alone."""


class Side:
    """The channel of a connection for questions that may end it.

    It stays open for the next question. Closing it after each would double the waiting, and would
    end the connection of a slow broker: the client library sends a close again when its answer is
    late, and the second one names a channel that is closed already.
    A question that the broker does not answer, such as about a queue without a leader, must not
    hold up the others: they get another channel.
    """

    def __init__(self, connection: aio_pika.abc.AbstractConnection) -> None:
        """Open nothing yet."""
        self._connection = connection
        self._channel: Channel | None = None
        self._unanswered: list[Channel] = []
        self._asking = asyncio.Lock()

    @asynccontextmanager
    async def lent(self, seconds: float) -> AsyncIterator[Channel]:
        """Lend it for one question; its opening and the answer may take so long each."""
        async with self._asking:
            with broker_errors():
                if self._channel is None or self._channel.is_closed:
                    async with asyncio.timeout(seconds):
                        self._channel = await open_channel(self._connection, confirms=False)
                try:
                    async with asyncio.timeout(seconds):
                        yield self._channel
                except TimeoutError:
                    self._unanswered = [each for each in self._unanswered if not each.is_closed]
                    if len(self._unanswered) < MAX_UNANSWERED:
                        self._unanswered.append(self._channel)
                        self._channel = None
                    raise


async def open_channel(connection: aio_pika.abc.AbstractConnection, *, confirms: bool) -> Channel:
    """Open a channel of the protocol library; unroutable publishes raise."""
    transport = connection.transport
    if transport is None:
        raise ConnectionLost("no connection")
    opened = await transport.connection.channel(
        publisher_confirms=confirms, on_return_raises=True, frame_buffer_size=FRAMES
    )
    return cast("Channel", opened)
