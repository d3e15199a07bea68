"""Takes messages of an inner queue over the intake's channel, one by one."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from service.rabbit.acks import AckBatcher
from service.rabbit.connection import broker_errors, unless_lost

MAX_STRANGERS = 1_000
"""Most messages of other portals that one take looks past."""
_returning: Final[set["asyncio.Future[None]"]] = set()
"""What goes back although nobody waits for it: the event loop keeps no task alive by itself."""


async def take(
    channel: Channel,
    acks: AckBatcher,
    name: str,
    most: int,
    *,
    hand: Callable[[DeliveredMessage], bool | None],
    seconds: float,
) -> tuple[int, int, int]:
    """Take at most this many messages; return how many, what is left, and how many are not ours.

    `hand` tells of each whether it is ours, and takes it then; None ends the take. The others go
    back at its end, so that none is seen twice. `seconds`: how long each answer may take. Raises
    ConnectionLost; the channel has ended then.
    """
    taken = left = 0
    strangers: list[int] = []
    with acks.one_by_one():
        try:
            while taken < most and len(strangers) < MAX_STRANGERS:
                message = await _next(channel, acks, name, seconds)
                if message is None:
                    left = 0
                    break
                left = message.message_count or 0
                ours = hand(message)
                if ours:
                    taken += 1
                else:
                    acks.add(message.delivery_tag or 0)
                    strangers.append(message.delivery_tag or 0)
                if ours is None or not left:
                    break
        finally:
            for tag in strangers:
                await acks.give_back(tag)
    return taken, left, len(strangers)


async def _next(
    channel: Channel, acks: AckBatcher, name: str, seconds: float
) -> DeliveredMessage | None:
    """Take one message; None where there is none.

    Never broken off: the client library would close the channel, which is the intake's. What
    comes when nobody waits for it any more goes back.
    """
    asked = asyncio.ensure_future(unless_lost(channel, _got(channel, name, seconds)))
    try:
        return await asyncio.shield(asked)
    except asyncio.CancelledError:
        asked.add_done_callback(partial(_give_back, acks))
        raise


def _give_back(acks: AckBatcher, asked: "asyncio.Future[DeliveredMessage | None]") -> None:
    message = None if asked.cancelled() or asked.exception() else asked.result()
    if message is not None:
        tag = message.delivery_tag or 0
        acks.add(tag)
        back = asyncio.ensure_future(acks.give_back(tag))
        _returning.add(back)
        back.add_done_callback(_returning.discard)


async def _got(channel: Channel, name: str, seconds: float) -> DeliveredMessage | None:
    with broker_errors():
        message = await channel.basic_get(name, timeout=seconds)
    return message if isinstance(message.delivery, Basic.GetOk) else None
