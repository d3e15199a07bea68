"""Proves that publishes which were not written leave nothing behind on their channel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiormq import Channel

from service.rabbit.writing import written


class Stuck:
    """A channel whose connection writes nothing any more."""

    def __init__(self) -> None:
        self.delivery_tag = 7
        self.confirmations: dict[int, asyncio.Future[Any]] = {}
        self.message_id_delivery_tag: dict[str, int] = {}
        self.write_queue: asyncio.Queue[object] = asyncio.Queue(maxsize=1)
        self.write_queue.put_nowait("what came before")
        self.made: list[asyncio.Future[Any]] = []

    @property
    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        yield

    def create_future(self) -> "asyncio.Future[Any]":
        self.made.append(asyncio.get_running_loop().create_future())
        return self.made[-1]


async def test_the_numbers_of_what_was_not_written_are_used_again() -> None:
    """Else every later answer of the broker would be taken for that to another message."""
    channel = Stuck()

    async def write() -> None:
        async with written(cast("Channel", channel), {"a": b"1", "b": b"2"}):
            raise AssertionError

    writing = asyncio.create_task(write())
    await asyncio.sleep(0)
    assert (9, {"a": 8, "b": 9}) == (channel.delivery_tag, channel.message_id_delivery_tag)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert (7, {}, {}) == (
        channel.delivery_tag,
        channel.confirmations,
        channel.message_id_delivery_tag,
    )
    assert all(each.cancelled() for each in channel.made)
