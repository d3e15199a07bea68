"""A broker in memory for the commands: queues, exchanges, channels, and one session."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity
from pamqp.commands import Basic, Queue
from pamqp.header import ContentHeader

from service.rabbit.session import Missing

Receive = Callable[[DeliveredMessage], Awaitable[None]]


@dataclass(eq=False)
class Stored:
    """A message in a queue."""

    body: bytes
    properties: Basic.Properties
    exchange: str
    routing_key: str


def _event_id(message: Stored) -> str:
    named = (message.properties.headers or {}).get("import_event_id")
    if named:
        return str(named)
    document = json.loads(message.body)
    return str(document["id"] if "fields" in document else document["data"]["eventId"])


@dataclass
class FakeNode:
    """Queues by their names; `bound`: the queue behind each exchange."""

    queues: dict[str, deque[Stored]] = field(default_factory=dict)
    bound: dict[str, str] = field(default_factory=dict)
    channels: "list[FakeChannel]" = field(default_factory=list)

    def put(self, queue: str, *messages: Stored) -> None:
        """Put messages into a queue, which is made if it is not there."""
        self.queues.setdefault(queue, deque()).extend(messages)

    def held(self) -> int:
        """Return how many messages open channels hold."""
        return sum(len(channel.unacked) for channel in self.channels)

    def ids(self, queue: str) -> list[str]:
        """Return the event ids in a queue, in its order."""
        return [_event_id(each) for each in self.queues[queue]]

    @asynccontextmanager
    async def connect(self, *_: object) -> "AsyncIterator[FakeSession]":
        """Stand where a command connects; with the connection, its channels end."""
        session = FakeSession(self)
        try:
            yield session
        finally:
            for channel in session.opened:
                channel.end()


@dataclass(eq=False)
class FakeSession:
    """One connection of a command."""

    node: FakeNode
    opened: "list[FakeChannel]" = field(default_factory=list)

    async def channel(self, *, confirms: bool = False) -> "FakeChannel":  # noqa: ARG002 - the session's
        await asyncio.sleep(0)
        channel = FakeChannel(self.node)
        self.node.channels.append(channel)
        self.opened.append(channel)
        return channel

    async def blocked(self) -> bool:
        await asyncio.sleep(0)
        return False

    async def needs_exchange(self, name: str) -> None:
        await asyncio.sleep(0)
        if name not in self.node.bound:
            raise Missing(name)


@dataclass(eq=False)
class FakeChannel:
    """A channel: what it holds goes back, in order, when it ends."""

    node: FakeNode
    unacked: dict[int, tuple[str, Stored]] = field(default_factory=dict)
    is_closed: bool = False
    _tags: int = 0
    _prefetch: int = 0
    _cancelled: set[str] = field(default_factory=set)
    _consuming: "set[asyncio.Task[None]]" = field(default_factory=set)

    @property
    def closing(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    def end(self) -> None:
        self.is_closed = True
        self._return(list(self.unacked))

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.end()

    async def queue_declare(self, queue: str, **_: object) -> Queue.DeclareOk:
        await asyncio.sleep(0)
        if queue not in self.node.queues:
            raise ChannelNotFoundEntity(f"NOT_FOUND - no queue '{queue}' in vhost")
        return Queue.DeclareOk(queue, len(self.node.queues[queue]), 0)

    async def basic_qos(self, *, prefetch_count: int, **_: object) -> None:
        await asyncio.sleep(0)
        self._prefetch = prefetch_count

    async def basic_consume(self, queue: str, receive: Receive, **_: object) -> Basic.ConsumeOk:
        await asyncio.sleep(0)
        tag = f"c{len(self._consuming)}"
        messages = [self._next(queue) for _ in range(self._prefetch)]

        async def deliver() -> None:
            for message in messages:
                if message is not None:
                    await receive(message)

        self._consuming.add(asyncio.create_task(deliver()))
        return Basic.ConsumeOk(tag)

    async def basic_cancel(self, *_: object, **__: object) -> None:
        await asyncio.sleep(0)

    async def basic_get(self, queue: str, **_: object) -> DeliveredMessage:
        await asyncio.sleep(0)
        empty = DeliveredMessage(
            delivery=Basic.GetEmpty(), header=ContentHeader(), body=b"", channel=cast("Any", self)
        )
        return self._next(queue) or empty

    async def basic_ack(self, tag: int, **_: object) -> None:
        await asyncio.sleep(0)
        self.unacked.pop(tag)

    async def basic_nack(self, tag: int, *, multiple: bool = False, **_: object) -> None:
        await asyncio.sleep(0)
        self._return(list(self.unacked) if multiple else [tag])

    async def basic_publish(
        self,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        properties: Basic.Properties,
        **_: object,
    ) -> None:
        await asyncio.sleep(0)
        queue = self.node.bound[exchange] if exchange else routing_key
        self.node.put(queue, Stored(body, properties, exchange, routing_key))
        await asyncio.sleep(0)

    def _next(self, queue: str) -> DeliveredMessage | None:
        if not self.node.queues[queue]:
            return None
        self._tags += 1
        stored = self.node.queues[queue].popleft()
        self.unacked[self._tags] = (queue, stored)
        return DeliveredMessage(
            delivery=Basic.Deliver(
                "c", self._tags, exchange=stored.exchange, routing_key=stored.routing_key
            ),
            header=ContentHeader(properties=stored.properties),
            body=stored.body,
            channel=cast("Any", self),
        )

    def _return(self, tags: Iterable[int]) -> None:
        for tag in sorted(tags, reverse=True):
            queue, stored = self.unacked.pop(tag)
            self.node.queues[queue].appendleft(stored)
