"""Publishes prepared messages and says, for each, what the broker made of it."""

import asyncio
import re
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from time import monotonic
from typing import Final

from aiormq import Channel
from aiormq.exceptions import AMQPError

from service.rabbit.connection import ConnectionLost, Nacked, Returned, broker_errors, unless_lost
from service.rabbit.encoding import Outgoing, bare, bodyless, plain
from service.rabbit.writing import frames, written

BELIEVED_SECONDS: Final = 600.0
_TOO_LARGE = re.compile(r"message size \d+ is larger than (?:configured )?max size (?P<most>\d+)")


class PublishResult(StrEnum):
    """What the broker, or the client library, said of a publish.

    Label of `importer_published_total`.
    """

    CONFIRMED = "confirmed"
    """The broker confirmed it."""
    RETURNED = "returned"
    """No queue is bound for it."""
    NACKED = "nacked"
    """A queue refused it: it is full."""
    UNWRITABLE = "unwritable"
    """It cannot be written as an AMQP message."""
    LOST = "lost"
    """The connection ended first. It may be in a queue."""


class BodyLimit:
    """The largest body that the broker takes, as it told when it refused one.

    It is believed for a while only: somebody may raise it. `is_new`: it was told since somebody
    set this to False.
    """

    def __init__(self) -> None:
        """Know no limit."""
        self.is_new = False
        self._most: int | None = None
        self._until = 0.0

    def admits(self, body: bytes) -> bool:
        """Tell whether the broker would take a body, as far as is known."""
        return self._most is None or len(body) <= self._most or monotonic() > self._until

    def learn(self, refusal: str) -> None:
        """Note what the broker said when it ended a channel."""
        found = _TOO_LARGE.search(refusal)
        if found is not None:
            self._most, self._until = int(found["most"]), monotonic() + BELIEVED_SECONDS
            self.is_new = True


async def published(
    channel: Channel, message: Outgoing, limit: BodyLimit | None = None
) -> PublishResult:
    """Publish a message as it is written, mandatory; return what became of it.

    What the broker says of a body that is too large is noted in the limit.

    Two publishes of one id in flight would take each other's answers (`rabbit/README.md` §1):
    the caller prevents that.
    """
    limit = limit or BodyLimit()
    if not limit.admits(message.body):
        return PublishResult.UNWRITABLE
    unique, payload = message.properties.message_id or "", frames(channel, message)
    if payload is not None:
        try:
            async with written(channel, {unique: payload}) as [answer]:
                return await result_of(answer, message.body, limit)
        except ConnectionLost:
            return PublishResult.LOST
    publishing = channel.basic_publish(
        message.body,
        exchange=message.exchange,
        routing_key=message.routing_key,
        properties=message.properties,
        mandatory=True,
        wait=False,
    )
    return await result_of(publishing, message.body, limit)


async def result_of(answer: Awaitable[object], body: bytes, limit: BodyLimit) -> PublishResult:
    """Wait for the broker's answer to the publish of a body; return what became of it."""
    try:
        with broker_errors():
            await answer
    except Returned:
        return PublishResult.RETURNED
    except Nacked:
        return PublishResult.NACKED
    except ConnectionLost as ended:
        limit.learn(str(ended))
        return PublishResult.LOST if limit.admits(body) else PublishResult.UNWRITABLE
    except (TypeError, ValueError, OverflowError, AttributeError, struct.error):
        return PublishResult.UNWRITABLE
    return PublishResult.CONFIRMED


def spared(message: Outgoing, limit: BodyLimit) -> Outgoing:
    """Return what is published in the place of a message that can never be accepted."""
    match message.target:
        case "dead_letter":
            return (bare if limit.admits(message.body) else bodyless)(message)
        case "succeeded" | "failed":
            return plain(message)
        case _:
            return message


class Confirmer:
    """Publishes for a command; what the end of a channel cuts off is lost.

    A channel that the broker ended because of one large body is opened again for the others.
    """

    def __init__(
        self, channel: Channel, reopen: Callable[[], Awaitable[Channel]] | None = None
    ) -> None:
        """Take a channel with confirms, and how to get another one."""
        self._channel = channel
        self._reopen = reopen
        self._limit = BodyLimit()
        self._opening = asyncio.Lock()
        self._in_flight: dict[str, asyncio.Event] = {}

    def lost(self) -> ConnectionLost:
        """Return the end of the channel, with what the broker said where it said something."""
        closing = self._channel.closing
        told = closing.exception() if closing.done() and not closing.cancelled() else None
        words = str(told) if isinstance(told, AMQPError) else ""
        return ConnectionLost(words or "the connection was closed")

    async def send(self, message: Outgoing) -> PublishResult:
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

    async def _send(self, message: Outgoing) -> PublishResult:
        while True:
            channel = self._channel
            if channel.is_closed:
                return PublishResult.LOST
            try:
                result = await unless_lost(channel, published(channel, message, self._limit))
            except ConnectionLost:
                result = PublishResult.LOST
            if result is not PublishResult.LOST or not await self._goes_on_after(channel):
                return result

    async def _goes_on_after(self, channel: Channel) -> bool:
        """Tell whether another channel takes over from one that a large body has ended."""
        async with self._opening:
            if self._channel is channel and self._reopen is not None and self._limit.is_new:
                self._limit.is_new = False
                with suppress(ConnectionLost):
                    self._channel = await self._reopen()
        return self._channel is not channel
