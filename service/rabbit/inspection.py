"""Asks the broker over AMQP what is there and what we may, without changing anything."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from aiormq import Channel
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity
from pamqp.commands import Basic

from service.rabbit.connection import Address, ConnectionLost, broker_errors
from service.rabbit.session import NotLetIn, Session, enter
from service.rabbit.topology import RPC_SECONDS, Exchange, Queue, Topology

BLOCKED_SECONDS = 5.0
"""How long a publish may wait before the broker counts as blocked by an alarm."""


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
    """What one connection could find out; `writable` names the exchanges that were tried."""

    version: str = ""
    exchanges: dict[str, Seen] = field(default_factory=dict)
    queues: dict[str, Seen] = field(default_factory=dict)
    writable: dict[str, bool] = field(default_factory=dict)
    blocked: bool = False


async def visit(address: Address, topology: Topology) -> BrokerInspection:
    """Connect to the one node of an address and look around; raises NotLetIn."""
    try:
        async with enter(address, "check") as session:
            return await _inspection(session, topology)
    except ConnectionLost as lost:
        raise NotLetIn(f"cut while it was asked ({lost})", "see the broker's log") from None


async def _inspection(session: Session, topology: Topology) -> BrokerInspection:
    found = BrokerInspection(version=_version(session))
    for exchange in topology.exchanges:
        found.exchanges[exchange.name] = await _exchange(session, exchange)
    for queue in topology.queues:
        found.queues[queue.name] = await _queue(session, queue)
    for name in (topology.results_exchange, topology.dead_letter_exchange):
        if found.exchanges[name].presence is Presence.MISSING or found.blocked:
            continue
        may = await _may_publish(session, name)
        if may is None:
            found.blocked = True
        else:
            found.writable[name] = may
    return found


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


async def _queue(session: Session, queue: Queue) -> Seen:
    channel = await session.channel()
    with broker_errors():
        try:
            told = await channel.queue_declare(queue.name, passive=True, timeout=RPC_SECONDS)
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
    """Return the version that the broker tells everybody."""
    transport = session.connection.transport
    if transport is None:
        raise ConnectionLost("no connection")
    told: Mapping[str, object] = getattr(transport.connection, "server_properties", None) or {}
    version = told.get("version", "")
    return version.decode() if isinstance(version, bytes) else str(version)
