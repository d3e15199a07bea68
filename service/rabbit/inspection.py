"""Asks the broker over AMQP what is there and what we may, without changing anything."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from aiormq import Channel
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity
from pamqp.commands import Basic

from service.rabbit.connection import Address, ConnectionLost, broker_errors
from service.rabbit.session import NotLetIn, Session, enter
from service.rabbit.topology import RPC_SECONDS, Exchange, Topology
from service.rabbit.waiting import waiting_of

BLOCKED_SECONDS = 5.0
"""How long a publish may wait before the broker counts as blocked by an alarm."""
PEEKED = 20
"""Messages of each inner queue that are looked at."""


class Presence(StrEnum):
    """Whether a thing is there, as far as we are told."""

    THERE = "there"
    MISSING = "missing"
    HIDDEN = "hidden"
    """Permission denied: RabbitMQ 4.3 answers only to users with some right on the object."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a queue or an exchange told; numbers only of queues."""

    presence: Presence
    ready: int = 0
    consumers: int = 0


@dataclass(slots=True)
class BrokerInspection:
    """What one connection could find out; `writable` names the exchanges that were tried.

    `inner`: the memory and the inner queues, by name; `portals`: hosts that the first messages of
    an inner queue wait for; `unreadable`: inner queues that we may not read; `may_fill`: whether
    we may publish to queues by their names, None where that is not known.
    """

    version: str = ""
    exchanges: dict[str, Seen] = field(default_factory=dict)
    queues: dict[str, Seen] = field(default_factory=dict)
    writable: dict[str, bool] = field(default_factory=dict)
    blocked: bool = False
    inner: dict[str, Seen] = field(default_factory=dict)
    portals: dict[str, set[str]] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    may_fill: bool | None = None


async def visit(
    address: Address, topology: Topology, types: Iterable[int] = ()
) -> BrokerInspection:
    """Connect to the one node of an address and look around; raises NotLetIn.

    `types`: entity types whose lanes may have queues.
    """
    try:
        async with enter(address, "check") as session:
            found = BrokerInspection(version=_version(session))
            await _look(session, topology, found)
            await _look_inside(session, topology, types, found)
            # Last: under an alarm the broker answers nothing that follows a publish.
            await _try_publishing(session, topology, found)
            return found
    except ConnectionLost as lost:
        raise NotLetIn(
            f"the connection was cut during the check ({lost})", "read the broker's log"
        ) from None


async def _look(session: Session, topology: Topology, found: BrokerInspection) -> None:
    for exchange in topology.exchanges:
        found.exchanges[exchange.name] = await _exchange(session, exchange)
    for queue in topology.queues:
        found.queues[queue.name] = await _queue(session, queue.name)


async def _try_publishing(session: Session, topology: Topology, found: BrokerInspection) -> None:
    for name in (topology.results_exchange, topology.dead_letter_exchange):
        if found.exchanges[name].presence is Presence.MISSING or found.blocked:
            continue
        may = await _may_publish(session, name)
        if may is None:
            found.blocked = True
        else:
            found.writable[name] = may
    if (topology.parked or topology.memory) and not found.blocked:
        found.may_fill = await _may_publish(session, "")


async def _look_inside(
    session: Session, topology: Topology, types: Iterable[int], found: BrokerInspection
) -> None:
    """Look at what is not required: the memory, and the queues for what waits."""
    if topology.memory:
        found.inner[topology.memory] = await _queue(session, topology.memory)
    for name in topology.inner_queues(types):
        seen = found.inner[name] = await _queue(session, name)
        if seen.presence is Presence.THERE:
            await _peek(session, name, found)


async def _peek(session: Session, name: str, found: BrokerInspection) -> None:
    """Look at the first messages of an inner queue; the end of the channel returns them."""
    channel = await session.channel()
    with broker_errors():
        try:
            for _ in range(PEEKED):
                message = await channel.basic_get(name, timeout=RPC_SECONDS)
                if isinstance(message.delivery, Basic.GetEmpty):
                    break
                waiting = waiting_of(message.header.properties)
                if waiting is not None:
                    found.portals.setdefault(name, set()).add(waiting.portal)
        except ChannelAccessRefused:
            found.unreadable.add(name)
            return
        await channel.close()


async def _exchange(session: Session, exchange: Exchange) -> Seen:
    channel = await session.channel()
    with broker_errors():
        try:
            await channel.exchange_declare(exchange.name, passive=True, timeout=RPC_SECONDS)
        except ChannelNotFoundEntity:
            return Seen(Presence.MISSING)
        except ChannelAccessRefused:
            return Seen(Presence.HIDDEN)
        await channel.close()
    return Seen(Presence.THERE)


async def _queue(session: Session, name: str) -> Seen:
    channel = await session.channel()
    with broker_errors():
        try:
            told = await channel.queue_declare(name, passive=True, timeout=RPC_SECONDS)
        except ChannelNotFoundEntity:
            return Seen(Presence.MISSING)
        except ChannelAccessRefused:
            return Seen(Presence.HIDDEN)
        await channel.close()
    return Seen(Presence.THERE, told.message_count or 0, told.consumer_count or 0)


async def _may_publish(session: Session, exchange: str) -> bool | None:
    """Tell whether we may publish to an exchange; None when the broker takes no publishes.

    The message is published inside a transaction that is rolled back: the broker checks the
    right at once, and routes a message only when its transaction is committed.
    """
    channel = await session.channel()
    with broker_errors():
        try:
            await channel.tx_select(timeout=RPC_SECONDS)
            await channel.basic_publish(b"", exchange=exchange, properties=Basic.Properties())
            return await _rolled_back(channel)
        except ChannelNotFoundEntity:
            return False
        except ChannelAccessRefused:
            return False


async def _rolled_back(channel: Channel) -> bool | None:
    try:
        async with asyncio.timeout(BLOCKED_SECONDS):
            await channel.tx_rollback()
    except TimeoutError:
        return None
    with broker_errors():
        await channel.close()
    return True


def _version(session: Session) -> str:
    """Return the version that the broker announces."""
    transport = session.connection.transport
    if transport is None:
        raise ConnectionLost("no connection")
    told: Mapping[str, object] = getattr(transport.connection, "server_properties", None) or {}
    version = told.get("version", "")
    return version.decode() if isinstance(version, bytes) else str(version)
