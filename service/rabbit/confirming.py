"""Publishes prepared messages and says, for each, what the broker made of it."""

import asyncio
import struct
from enum import StrEnum

from aiormq import Channel

from service.rabbit.link import LAST_WORDS_SECONDS, LinkLost, Nacked, Returned, broker_errors
from service.rabbit.results import Outgoing


class Word(StrEnum):
    """What the broker, or the client library, said of a publish."""

    CONFIRMED = "confirmed"
    """It lies in a queue."""
    RETURNED = "returned"
    """No queue was bound for it."""
    NACKED = "nacked"
    """A queue refused it: full."""
    UNWRITABLE = "unwritable"
    """It cannot be sent as it stands."""
    LOST = "lost"
    """The connection ended first; it may lie in a queue."""


class Confirmer:
    """Publishes over one channel: persistent as written, mandatory, confirmed."""

    def __init__(self, channel: Channel) -> None:
        """Take a channel with confirms."""
        self._channel = channel
        self._in_flight: dict[str, asyncio.Event] = {}
        self._calls: set[asyncio.Task[object]] = set()
        channel.closing.add_done_callback(self._end_soon)

    async def send(self, message: Outgoing) -> Word:
        """Publish one message; returns when its fate is known. May be called concurrently."""
        unique = message.properties.message_id or ""
        while unique and (twin := self._in_flight.get(unique)):
            # Two publishes of one id in flight would take each other's answers.
            await twin.wait()
        gone = self._in_flight[unique] = asyncio.Event()
        try:
            return await self._send(message)
        finally:
            self._in_flight.pop(unique, None)
            gone.set()

    async def _send(self, message: Outgoing) -> Word:
        if self._channel.closing.done():
            return Word.LOST
        try:
            with broker_errors():
                await self._call(message)
        except Returned:
            return Word.RETURNED
        except Nacked:
            return Word.NACKED
        except LinkLost:
            return Word.LOST
        except (TypeError, ValueError, OverflowError, AttributeError, struct.error):
            return Word.UNWRITABLE
        return Word.CONFIRMED

    async def _call(self, message: Outgoing) -> None:
        """Publish in a task of its own, which ends with the channel at the latest."""
        call: asyncio.Task[object] = asyncio.create_task(
            self._channel.basic_publish(
                message.body,
                exchange=message.exchange,
                routing_key=message.routing_key,
                properties=message.properties,
                mandatory=True,
                wait=False,
            ),
            name="publish",
        )
        self._calls.add(call)
        try:
            await call
        finally:
            self._calls.discard(call)
            call.cancel()

    def _end_soon(self, _: object) -> None:
        """Cancel what still waits on a closed channel: some waits of the library never end."""
        asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self._end)

    def _end(self) -> None:
        for call in self._calls:
            call.cancel()
