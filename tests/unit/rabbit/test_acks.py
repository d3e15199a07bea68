"""Proves that acknowledgements are combined, and none is left behind."""

import asyncio
from typing import cast

import pamqp.frame
import pytest
from aiormq import Channel
from aiormq.abc import ChannelFrame
from pamqp.commands import Basic

from service.rabbit.acks import AckBatcher
from service.telemetry.metrics import Metrics
from tests.fakes import value


class Line:
    """A channel that notes what is sent, and in how many writes."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bool]] = []
        self.writes = 0
        self.returned: list[int] = []
        self.is_closed = False
        self.room = asyncio.Event()
        self.room.set()
        self.number = 7
        self.write_queue = self
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def put_nowait(self, frame: ChannelFrame) -> None:
        """Take frames to be written, as the queue of a connection does."""
        if not self.room.is_set():
            raise asyncio.QueueFull
        self.writes += 1
        left = frame.payload
        while left:
            used, channel, ack = pamqp.frame.unmarshal(left)
            assert isinstance(ack, Basic.Ack)
            assert channel == self.number
            self.sent.append((ack.delivery_tag or 0, ack.multiple))
            left = left[used:]

    async def put(self, frame: ChannelFrame) -> None:
        """Wait for room in the queue."""
        await self.room.wait()
        self.put_nowait(frame)

    async def basic_nack(self, tag: int, *, requeue: bool, wait: bool) -> None:
        await asyncio.sleep(0 if wait or not requeue else 0.001)
        self.returned.append(tag)


def acks_of(line: Line, count: int) -> AckBatcher:
    """Return the tags of a channel with so many messages open."""
    acks = AckBatcher(cast("Channel", line), Metrics())
    for tag in range(1, count + 1):
        acks.add(tag)
    return acks


async def test_a_run_takes_one_frame_and_the_rest_one_each() -> None:
    """Nothing that is still worked on is acknowledged with its neighbours; all go in one write."""
    line = Line()
    acks = acks_of(line, 6)
    for tag in (2, 1, 3, 5):
        acks.ack(tag)
    await acks.flush()
    assert ([(3, True), (5, False)], 1) == (line.sent, line.writes)
    acks.ack(4)
    await acks.flush()
    assert (4, False) == line.sent[-1]


async def test_a_mark_made_during_a_flush_is_sent_too() -> None:
    """However the flushes overlap, every acknowledgement goes out."""
    line = Line()
    line.room.clear()
    acks = acks_of(line, 40)
    asyncio.get_running_loop().call_later(0.005, line.room.set)

    async def settle(tag: int) -> None:
        await asyncio.sleep(tag * 0.0003)
        acks.ack(tag)
        await acks.flush()

    await asyncio.gather(*map(settle, range(1, 41)))
    covered: set[int] = set()
    for tag, multiple in line.sent:
        covered |= set(range(1, tag + 1)) if multiple else {tag}
    assert set(range(1, 41)) == covered


async def test_what_is_given_back_stops_a_run() -> None:
    """A message on its way back is never acknowledged by its neighbours."""
    line = Line()
    acks = acks_of(line, 3)
    acks.ack(1)
    acks.ack(3)
    await asyncio.gather(acks.give_back(2), acks.flush())
    assert ([2], {(1, False), (3, False)}) == (line.returned, set(line.sent))


async def test_a_closed_channel_swallows_no_flush() -> None:
    """Acknowledgements that come too late are counted, and nothing waits for ever."""
    line = Line()
    metrics = Metrics()
    acks = AckBatcher(cast("Channel", line), metrics)
    line.room.clear()
    for tag in (1, 2):
        acks.add(tag)
        acks.ack(tag)
    flushing = asyncio.create_task(acks.flush())
    await asyncio.sleep(0.01)
    assert not flushing.done(), "nobody empties the queue, but somebody might"
    line.closing.set_result(None)
    async with asyncio.timeout(2):
        await flushing
    line.is_closed = True
    line.room.set()
    acks.add(3)
    acks.ack(3)
    await acks.flush()
    assert not line.sent
    assert 3 == value(metrics.stale_acks)


async def test_a_mark_made_just_as_a_flush_ends_is_sent_by_it() -> None:
    """The flush that comes too late to run has its work done by the one that is running."""
    line = Line()
    acks = acks_of(line, 2)
    late: list[asyncio.Task[None]] = []

    def settle_second() -> None:
        acks.ack(2)
        late.append(asyncio.get_running_loop().create_task(acks.flush()))

    line.room.clear()
    acks.ack(1)
    flushing = asyncio.create_task(acks.flush())
    await asyncio.sleep(0)
    settle_second()
    line.room.set()
    await flushing
    await asyncio.gather(*late)
    assert [(1, False), (2, False)] == line.sent


async def test_a_message_that_is_added_late_is_not_taken_along_by_a_run() -> None:
    """While messages are asked for, one may be handed over after those that came behind it."""
    line = Line()
    acks = acks_of(line, 0)
    with acks.one_by_one():
        acks.add(2)
        acks.add(3)
        for tag in (2, 3):
            acks.ack(tag)
        await acks.flush()
        acks.add(1)
    assert [(2, False), (3, False)] == line.sent
    acks.add(5)
    acks.add(4)
    for tag in (1, 5):
        acks.ack(tag)
    await acks.flush()
    assert [(1, False), (5, False)] == line.sent[2:]
    acks.ack(4)
    acks.add(6)
    acks.ack(6)
    await acks.flush()
    assert [(6, True)] == line.sent[4:]


async def test_what_a_bug_keeps_from_being_sent_goes_with_the_next_flush() -> None:
    """Nobody else would answer it: the broker would wait for it for as long as the line lasts."""

    class Struck(Line):
        bugs = 1

        def put_nowait(self, frame: ChannelFrame) -> None:
            if self.bugs:
                self.bugs -= 1
                raise KeyError("a bug")
            super().put_nowait(frame)

    line = Struck()
    acks = acks_of(line, 7)
    for tag in (1, 2, 5, 7):
        acks.ack(tag)
    with pytest.raises(KeyError):
        await acks.flush()
    await acks.flush()
    assert [(2, True), (5, False), (7, False)] == line.sent
