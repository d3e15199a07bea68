"""Proves that what a thread reads arrives at once, in order, and within bounds."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from service.commands.publish.handover import MAX_WAITING, Handover
from service.commands.publish.records import Note, Read
from service.commands.publish.source import Stopped
from service.factories import CannotStart


def handover() -> Handover:
    """Return one for the running loop."""
    return Handover(asyncio.get_running_loop())


async def test_everything_arrives_in_order_before_what_ended_it() -> None:
    """Also the error of the reader."""

    def found() -> Iterator[Read]:
        yield from (Note(str(number)) for number in range(5000))
        raise CannotStart("cut off")

    read: list[Read] = []

    async def collect() -> None:
        async for each in handover().reads(found()):
            read.append(each)  # noqa: PERF401 - what came before the error matters

    with pytest.raises(CannotStart, match="cut off"):
        await collect()
    assert [Note(str(number)) for number in range(5000)] == read


async def test_what_is_found_arrives_while_the_reader_waits_for_more() -> None:
    """As with a pipe that is filled slowly."""
    go_on = threading.Event()

    def found() -> Iterator[Read]:
        yield Note("a")
        assert go_on.wait(20)
        yield Note("b")

    async with aclosing(handover().reads(found())) as reads:
        assert Note("a") == await anext(reads)
        go_on.set()
        assert Note("b") == await anext(reads)
        with pytest.raises(StopAsyncIteration):
            await anext(reads)


async def test_the_reader_waits_while_too_much_waits() -> None:
    """And ends when nobody takes any more."""
    read: list[int] = []

    def found() -> Iterator[Read]:
        for number in range(100_000):
            read.append(number)
            yield Note(str(number))

    async with aclosing(handover().reads(found())) as reads:
        await anext(reads)
        await asyncio.sleep(0.2)
        assert MAX_WAITING <= len(read) <= 2 * MAX_WAITING
    await asyncio.get_running_loop().shutdown_default_executor()
    assert len(read) <= 2 * MAX_WAITING


async def test_a_reader_that_was_stopped_just_ends() -> None:
    """What it found before counts."""

    def found() -> Iterator[Read]:
        yield Note("a")
        raise Stopped

    assert [Note("a")] == [read async for read in handover().reads(found())]
