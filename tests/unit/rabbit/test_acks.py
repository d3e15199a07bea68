"""Proves that acknowledgements are combined, and none is left behind."""

import asyncio
from typing import cast

import pytest
from aiormq import Channel

from service.rabbit.acks import AckBatcher
from service.telemetry.metrics import Metrics


class Line:
    """A channel that notes what is sent, slowly if told so."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bool]] = []
        self.returned: list[int] = []
        self.is_closed = False
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def basic_ack(self, tag: int, *, multiple: bool = False, wait: bool) -> None:
        await asyncio.sleep(0 if wait else 0.001)
        self.sent.append((tag, multiple))

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
    """Nothing that is still worked on is acknowledged with its neighbours."""
    line = Line()
    acks = acks_of(line, 6)
    for tag in (2, 1, 3, 5):
        acks.ack(tag)
    await acks.flush()
    assert [(3, True), (5, False)] == line.sent
    acks.ack(4)
    await acks.flush()
    assert (4, False) == line.sent[-1]


async def test_a_mark_made_during_a_flush_is_sent_too() -> None:
    """However the flushes overlap, every acknowledgement goes out."""
    line = Line()
    acks = acks_of(line, 40)

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
    acks.add(1)
    line.closing.set_result(None)

    async def never(tag: int, *, multiple: bool = False, wait: bool) -> None:
        await asyncio.Event().wait()

    line.basic_ack = never  # type: ignore[method-assign]
    acks.ack(1)
    async with asyncio.timeout(2):
        await acks.flush()
    assert not line.sent


async def test_a_mark_made_just_as_a_flush_ends_is_sent_by_it() -> None:
    """The flush that comes too late to run has its work done by the one that is running."""
    line = Line()
    acks = acks_of(line, 2)
    late: list[asyncio.Task[None]] = []

    def settle_second() -> None:
        acks.ack(2)
        late.append(asyncio.get_running_loop().create_task(acks.flush()))

    async def ack(tag: int, *, multiple: bool = False, wait: bool) -> None:
        line.sent.append((tag, multiple))
        if tag == 1:
            asyncio.get_running_loop().call_soon(settle_second)

    line.basic_ack = ack  # type: ignore[method-assign]
    acks.ack(1)
    await acks.flush()
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

        async def basic_ack(self, tag: int, *, multiple: bool = False, wait: bool) -> None:
            if tag == 5 and self.bugs:
                self.bugs -= 1
                raise KeyError("a bug")
            await super().basic_ack(tag, multiple=multiple, wait=wait)

    line = Struck()
    acks = acks_of(line, 7)
    for tag in (1, 2, 5, 7):
        acks.ack(tag)
    with pytest.raises(KeyError):
        await acks.flush()
    await acks.flush()
    assert [(2, True), (5, False), (7, False)] == line.sent
