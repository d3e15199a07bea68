"""Writes many publishes, or acknowledgements, at once: in one write to the broker.

The client library writes them one by one, each publish in a task with half a dozen callbacks.
That costs a quarter of an event. So this does for several what its `basic_publish` and `basic_ack`
do for one, by the same members of its channel and under the same lock (`rabbit/README.md` §1).
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final

from aiormq import Channel
from aiormq.abc import ChannelFrame
from pamqp import constants
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import marshal
from pamqp.header import ContentHeader

from service.rabbit.broken import ConnectionLost, broker_errors, unless_lost
from service.rabbit.encoding import Outgoing

Answer = asyncio.Future[object]
_ACK: Final = struct.Struct(">BHIIQBB")
"""A whole frame: its kind, channel and length, then method, delivery tag, `multiple`, its end."""
_ACK_BYTES: Final = 13


def frames(channel: Channel, message: Outgoing) -> bytes | None:
    """Return a mandatory publish as it is written; None where it cannot go with others.

    It has no id to tell its answer by, takes more than one frame for its body, or cannot be
    written: published alone, it tells why. Nor on a channel without confirms, which has no answer.
    """
    try:
        short = 0 < len(message.body) < channel.max_content_size
        if not (short and message.properties.message_id and channel.publisher_confirms):
            return None
        number, size = channel.number, len(message.body)
        return b"".join(
            [
                _publish(number, message.exchange, message.routing_key),
                marshal(ContentHeader(properties=message.properties, body_size=size), number),
                marshal(ContentBody(message.body), number),
            ]
        )
    except Exception:  # noqa: BLE001 - as said above
        return None


# The same for nearly all that is published; to look up the kind of each member takes long.
@lru_cache(maxsize=64)
def _publish(number: int, exchange: str, routing_key: str) -> bytes:
    """Return the first frame of a mandatory publish on a channel."""
    return marshal(
        Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True), number
    )


async def acknowledge(channel: Channel, answers: Iterable[tuple[int, bool]]) -> None:
    """Acknowledge by (delivery tag, `multiple`), in order; raises ConnectionLost.

    It waits only where the library's queue is full.
    """
    if channel.is_closed:
        raise ConnectionLost("the channel was closed")
    number, kind, method = channel.number, constants.FRAME_METHOD, Basic.Ack.index
    frames = [
        _ACK.pack(kind, number, _ACK_BYTES, method, tag, multiple, constants.FRAME_END)
        for tag, multiple in answers
    ]
    written = ChannelFrame(b"".join(frames), should_close=False)
    try:
        channel.write_queue.put_nowait(written)
    except asyncio.QueueFull:
        await unless_lost(channel, channel.write_queue.put(written))


@asynccontextmanager
async def written(
    channel: Channel, publishes: Mapping[str, bytes]
) -> AsyncIterator[list["Answer"]]:
    """Write the frames of publishes, by message id, at once; lend the broker's answers, in order.

    An answer is what `basic_publish` returns or raises. No other publish of one of these ids may
    be in flight: they would take each other's answers. Raises ConnectionLost.
    """
    # The library ends what it made when the channel ends. One for all, as each has callbacks.
    end: Answer = channel.create_future()
    loop = asyncio.get_running_loop()
    answers: list[Answer] = [loop.create_future() for _ in publishes]
    end.add_done_callback(lambda _: _end(answers, end))
    tags: dict[str, int] = {}
    try:
        with broker_errors():
            tags = await _write(channel, publishes, answers)
        yield answers
    finally:
        _forget(channel, tags)
        for answer in answers:
            if not (answer.cancel() or answer.cancelled()):
                answer.exception()  # seen, so that nobody complains of it
        end.cancel()


def _end(answers: Iterable["Answer"], end: "Answer") -> None:
    """Let all answers that are still waited for end as the channel did."""
    for answer in answers:
        if answer.done():
            continue
        error = None if end.cancelled() else end.exception()
        if error is None:
            answer.cancel()
        else:
            answer.set_exception(error)


async def _write(
    channel: Channel, publishes: Mapping[str, bytes], answers: Iterable["Answer"]
) -> dict[str, int]:
    """Write frames that get these answers; return the number of each publish."""
    async with channel.lock:
        before = channel.delivery_tag
        tags = {unique: before + place for place, unique in enumerate(publishes, start=1)}
        channel.delivery_tag += len(tags)
        channel.message_id_delivery_tag.update(tags)
        channel.confirmations.update(zip(tags.values(), answers, strict=True))
        try:
            payload = b"".join(publishes.values())
            await channel.write_queue.put(ChannelFrame(payload, should_close=False))
        except BaseException:
            # The broker has not seen them: their numbers are used again.
            channel.delivery_tag = before
            _forget(channel, tags)
            for tag in tags.values():
                channel.confirmations.pop(tag, None)
            raise
    return tags


def _forget(channel: Channel, tags: Mapping[str, int]) -> None:
    for unique, tag in tags.items():
        if channel.message_id_delivery_tag.get(unique) == tag:
            del channel.message_id_delivery_tag[unique]
