"""Asks how many messages lie in queues, without taking one."""

from collections.abc import Iterable
from typing import NamedTuple

from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from service.rabbit.connection import broker_errors
from service.rabbit.session import Session

RPC_SECONDS = 10.0


class Depth(NamedTuple):
    """How many messages of a queue are ready, and how many consumers it has."""

    ready: int
    consumers: int


async def depths(session: Session, queues: Iterable[str]) -> dict[str, Depth | None]:
    """Return what each queue holds; None where it is not there, or may not be asked for.

    What somebody holds and has not acknowledged is not counted. Raises ConnectionLost.
    """
    found: dict[str, Depth | None] = {}
    channel = await session.channel()
    for name in queues:
        with broker_errors():
            try:
                told = await channel.queue_declare(name, passive=True, timeout=RPC_SECONDS)
            except (ChannelNotFoundEntity, ChannelAccessRefused):
                found[name] = None
                channel = await session.channel()
            else:
                found[name] = Depth(told.message_count or 0, told.consumer_count or 0)
    with broker_errors():
        await channel.close()
    return found
