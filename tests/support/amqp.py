"""Speaks AMQP as the systems around the importer do: upstream, and readers of its results."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import aio_pika
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractExchange,
    AbstractIncomingMessage,
    AbstractQueue,
)
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError

from tests.support.patience import Deadline, patient

INTAKE = "crm.items"
STRUCTURED = "application/cloudevents+json"
POLL_SECONDS = 0.05
ANSWER_SECONDS = 20.0
PATIENCE_SECONDS = 60.0
"""Longest wait for what comes in a moment, on an idle machine."""
CUT_OFF = (AMQPError, ChannelInvalidStateError, OSError)
"""What the client library raises when its line breaks."""


class Upstream:
    """Publishes item events, confirmed, and reads any queue of one virtual host."""

    def __init__(self, url: str, exchange: str = INTAKE) -> None:
        self._url = url
        self._exchange_name = exchange
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None

    async def __aenter__(self) -> Self:
        """Connect; nothing is declared."""
        self._connection = await aio_pika.connect(self._url)
        self._channel = await self._connection.channel(on_return_raises=True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect; a broker that went away meanwhile is no failure."""
        if self._connection is not None:
            with suppress(Exception):
                await self._connection.close()

    @property
    def channel(self) -> AbstractChannel:
        """Return the channel all of this runs on."""
        if self._channel is None:
            raise RuntimeError("use `async with Upstream(...)`")
        return self._channel

    async def publish(
        self, body: bytes, *, routing_key: str = "item.test", **properties: Any
    ) -> None:
        """Publish a message as it is; returns when the broker has routed it to a queue."""
        if self._exchange is None:
            self._exchange = await self.channel.get_exchange(self._exchange_name, ensure=False)
        properties.setdefault("delivery_mode", aio_pika.DeliveryMode.PERSISTENT)
        properties.setdefault("content_type", "application/json")
        message = aio_pika.Message(body, **properties)
        await self._exchange.publish(message, routing_key, mandatory=True)

    async def item(self, entity_type: int, fields: Mapping[str, Any], **more: Any) -> None:
        """Publish a plain item event; `id`, `useOriginalUfNames` and the like come as `more`."""
        body = {"entityTypeId": entity_type, "fields": dict(fields), **more}
        await self.publish(_json(body), routing_key=f"item.{entity_type}")

    async def cloud_event(
        self, event_id: str, data: Mapping[str, Any], *, source: str = "/tests", **more: Any
    ) -> None:
        """Publish a CloudEvents 1.0 event in structured mode."""
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "type": "crm.item",
            "data": dict(data),
            **more,
        }
        await self.publish(_json(event), content_type=STRUCTURED)

    async def binary_cloud_event(
        self, event_id: str, data: Mapping[str, Any], *, source: str = "/tests", **more: str
    ) -> None:
        """Publish a CloudEvents 1.0 event in binary mode: attributes in headers."""
        attributes = {"specversion": "1.0", "id": event_id, "source": source, "type": "crm.item"}
        headers = {f"cloudEvents_{name}": value for name, value in {**attributes, **more}.items()}
        await self.publish(_json(dict(data)), headers=headers)

    async def many(self, bodies: list[bytes], **properties: Any) -> None:
        """Publish messages at once, each confirmed."""
        await asyncio.gather(*(self.publish(body, **properties) for body in bodies))

    async def queue(self, name: str) -> AbstractQueue:
        """Return a queue that exists; without it the channel would be gone."""
        return await self.channel.get_queue(name, ensure=False)

    async def ready(self, name: str) -> int:
        """Return how many messages a queue holds ready, exactly, on a channel of its own."""
        if self._connection is None:
            raise RuntimeError("use `async with Upstream(...)`")
        async with self._connection.channel() as channel:
            queue = await channel.declare_queue(name, passive=True)
            return queue.declaration_result.message_count or 0

    async def consumers(self, name: str) -> int:
        """Return how many consume a queue; 0 if there is none of this name."""
        if self._connection is None:
            raise RuntimeError("use `async with Upstream(...)`")
        with suppress(aio_pika.exceptions.ChannelNotFoundEntity):
            async with self._connection.channel() as channel:
                queue = await channel.declare_queue(name, passive=True)
                return queue.declaration_result.consumer_count or 0
        return 0

    async def exists(self, name: str) -> bool:
        """Tell whether a queue is there."""
        try:
            await self.ready(name)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return False
        return True

    async def drain(
        self, name: str, count: int, timeout: float = PATIENCE_SECONDS
    ) -> list[AbstractIncomingMessage]:
        """Take and acknowledge `count` messages; an assertion error if the next comes too late.

        It stops there: more messages stay in the queue, to be counted with `ready`. The time out
        is for each message: how long they take together depends on how many they are.
        """
        got: list[AbstractIncomingMessage] = []
        queue = await self.queue(name)
        deadline = Deadline(timeout)
        while len(got) < count:
            message = await next_of(queue)
            if message is not None:
                await message.ack()
                got.append(message)
                deadline = Deadline(timeout)
                continue
            told = f"{name}: {len(got)} of {count} messages, and no more after {deadline}"
            assert not deadline.passed, told
            await asyncio.sleep(POLL_SECONDS)
        return got

    async def results(
        self, name: str, count: int, timeout: float = PATIENCE_SECONDS
    ) -> list[dict[str, Any]]:
        """Take result events and return them decoded."""
        return [json.loads(message.body) for message in await self.drain(name, count, timeout)]


async def next_of(queue: AbstractQueue) -> AbstractIncomingMessage | None:
    """Take a queue's next message; None if it is empty. By itself the library waits for 5 s."""
    return await queue.get(fail=False, timeout=patient(ANSWER_SECONDS))


async def wait_until(
    predicate: Callable[[], bool | Awaitable[bool]],
    timeout: float = PATIENCE_SECONDS,
    *,
    what: str = "it",
) -> None:
    """Wait until a predicate holds, without sleeping longer than a moment at a time."""
    deadline = Deadline(timeout)
    while True:
        answer = predicate()
        if answer if isinstance(answer, bool) else await answer:
            return
        if deadline.passed:
            raise AssertionError(f"{what} did not happen within {deadline}")
        await asyncio.sleep(POLL_SECONDS)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
