"""Declares exchanges, queues and bindings, or checks that they are there."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from aiormq import Channel
from aiormq.abc import FieldValue
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from service.domain.parking import DOUBTFUL, LINKS
from service.rabbit.broken import ConnectionLost, broker_errors

RPC_SECONDS = 10.0

log = logging.getLogger(__name__)

SideChannel = Callable[[], AbstractAsyncContextManager[Channel]]
"""Lends a channel for one question, and limits how long the answer may take."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange: durable, of a kind."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue: durable, with its arguments, bound by keys to an exchange."""

    name: str
    exchange: str
    keys: tuple[str, ...]
    arguments: Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True)
class Topology:
    """Every exchange and queue the importer needs; `declare`: create what is missing.

    `memory`: the stream of notes; `parked`: what names of inner queues begin with. Both are empty
    where there is none, and neither is required.
    """

    intake_exchange: str
    intake_queue: str
    results_exchange: str
    succeeded_queue: str
    failed_queue: str
    dead_letter_exchange: str
    dead_letter_queue: str
    delivery_limit: int
    declare: bool = True
    parked: str = ""
    memory: str = ""

    def inner_queues(self, types: Iterable[int]) -> tuple[str, ...]:
        """Return the names that inner queues have, with those of the lanes of some types."""
        parts = (DOUBTFUL, LINKS, *sorted(types))
        return tuple(f"{self.parked}.{part}" for part in parts) if self.parked else ()

    @property
    def results(self) -> dict[str, str]:
        """The queues of results and dead letters, by what is published to them."""
        return {
            "succeeded": self.succeeded_queue,
            "failed": self.failed_queue,
            "dead_letter": self.dead_letter_queue,
        }

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges, before the queues that name them."""
        return (
            Exchange(self.intake_exchange, "topic"),
            Exchange(self.results_exchange, "topic"),
            Exchange(self.dead_letter_exchange, "fanout"),
        )

    @property
    def queues(self) -> tuple[Queue, ...]:
        """The queues, the net for dead letters before the intake that needs it."""
        quorum: dict[str, FieldValue] = {"x-queue-type": "quorum"}
        intake: dict[str, FieldValue] = {
            **quorum,
            "x-single-active-consumer": True,
            "x-dead-letter-exchange": self.dead_letter_exchange,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": self.delivery_limit,
        }
        return (
            Queue(self.dead_letter_queue, self.dead_letter_exchange, ("",), quorum),
            Queue(self.succeeded_queue, self.results_exchange, ("succeeded.#",), quorum),
            Queue(self.failed_queue, self.results_exchange, ("failed.#",), quorum),
            Queue(self.intake_queue, self.intake_exchange, ("#",), intake),
        )


async def ensure(topology: Topology, side_channel: SideChannel) -> None:
    """See that everything is there, or create what is missing, as the topology says.

    Existing queues keep their arguments, whatever they are: `check` judges them. What we may not
    see or bind belongs to somebody else, who sees to it. Raises ConnectionLost, naming
    what is missing, when it may not or cannot be created.
    """
    declare = topology.declare
    for exchange in topology.exchanges:
        await _ensure(
            f"exchange {exchange.name}", _exchange(exchange), side_channel, declare=declare
        )
    for queue in topology.queues:
        await _ensure(f"queue {queue.name}", _queue(queue), side_channel, declare=declare)
        if declare:
            await _bind(queue, side_channel)


class Declaration(Protocol):
    """Declares one thing on a channel; passively, it only asks."""

    async def __call__(self, channel: Channel, *, passive: bool) -> object:
        """Declare; the library raises when the thing is missing or differs."""


async def _ensure(
    name: str, declaration: Declaration, side_channel: SideChannel, *, declare: bool
) -> None:
    async with side_channel() as channel:
        with broker_errors():
            try:
                await declaration(channel, passive=True)
            except ChannelNotFoundEntity:
                missing = True
            except ChannelAccessRefused:
                # From RabbitMQ 4.3 on, a user without a right on a thing cannot see it.
                log.warning("permission denied: assuming that it exists", extra={"what": name})
                missing = False
            else:
                missing = False
    if not missing:
        return
    if not declare:
        raise ConnectionLost(f"{name} is missing, and RABBIT__TOPOLOGY=check must not create it")
    async with side_channel() as channel:
        with broker_errors():
            await declaration(channel, passive=False)


def _exchange(exchange: Exchange) -> Declaration:
    async def declaration(channel: Channel, *, passive: bool) -> object:
        return await channel.exchange_declare(
            exchange.name,
            exchange_type=exchange.kind,
            durable=True,
            passive=passive,
        )

    return declaration


def _queue(queue: Queue) -> Declaration:
    async def declaration(channel: Channel, *, passive: bool) -> object:
        return await channel.queue_declare(
            queue.name,
            durable=True,
            passive=passive,
            arguments=None if passive else dict(queue.arguments),
        )

    return declaration


async def _bind(queue: Queue, side_channel: SideChannel) -> None:
    async with side_channel() as channel:
        with broker_errors():
            try:
                for key in queue.keys:
                    await channel.queue_bind(queue.name, queue.exchange, routing_key=key)
            except ChannelAccessRefused:
                names = {"queue": queue.name, "exchange": queue.exchange}
                log.warning("permission denied: assuming that the binding exists", extra=names)
