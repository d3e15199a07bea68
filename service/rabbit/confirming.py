"""Publishes prepared messages and says, for each, what the broker made of it."""

import asyncio
import struct
from enum import StrEnum

from aiormq import Channel

from service.rabbit.link import LinkLost, Nacked, Returned, broker_errors, unless_lost
from service.rabbit.results import Outgoing


class Word(StrEnum):
    """What the broker, or the client library, said of a publish.

    Label of `importer_published_total`.
    """

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


async def published(channel: Channel, message: Outgoing) -> Word:
    """Publish a message as it is written, mandatory; return what became of it.

    Two of one id in flight would take each other's answers (P10): the caller sees to that.
    """
    try:
        with broker_errors():
            await channel.basic_publish(
                message.body,
                exchange=message.exchange,
                routing_key=message.routing_key,
                properties=message.properties,
                mandatory=True,
                wait=False,
            )
    except Returned:
        return Word.RETURNED
    except Nacked:
        return Word.NACKED
    except LinkLost:
        return Word.LOST
    except (TypeError, ValueError, OverflowError, AttributeError, struct.error):
        return Word.UNWRITABLE
    return Word.CONFIRMED


class Confirmer:
    """Publishes over one channel, for a command: what its end cuts off is lost."""

    def __init__(self, channel: Channel) -> None:
        """Take a channel with confirms."""
        self._channel = channel
        self._in_flight: dict[str, asyncio.Event] = {}

    async def send(self, message: Outgoing) -> Word:
        """Publish one message; returns when its fate is known. May be called concurrently."""
        unique = message.properties.message_id or ""
        while unique and (twin := self._in_flight.get(unique)):
            await twin.wait()
        gone = self._in_flight[unique] = asyncio.Event()
        try:
            return await self._send(message)
        finally:
            self._in_flight.pop(unique, None)
            gone.set()

    async def _send(self, message: Outgoing) -> Word:
        if self._channel.is_closed:
            return Word.LOST
        try:
            return await unless_lost(self._channel, published(self._channel, message))
        except LinkLost:
            return Word.LOST
