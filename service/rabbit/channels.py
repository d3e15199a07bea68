"""Hands messages over as they are read, without a task of the client library for each.

Such a task has four callbacks, which take a twentieth of an event.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.header import ContentHeader

Take = Callable[[DeliveredMessage], None]


class Frames(asyncio.Queue[Any]):
    """The frames of a channel. What need not wait takes two steps here, and a dozen in the other.

    Nobody joins it, so it does not count what is done.
    """

    # Members of asyncio's own queue that its stubs leave out.
    _queue: "deque[Any]"
    _getters: "deque[asyncio.Future[None]]"
    _putters: "deque[asyncio.Future[None]]"
    _wakeup_next: "Callable[[deque[asyncio.Future[None]]], None]"

    async def put(self, item: Any) -> None:  # noqa: ANN401 - frames of all kinds
        """Add a frame; wait while there is no room."""
        if self.full():
            await super().put(item)
            return
        self._queue.append(item)
        if self._getters:
            self._wakeup_next(self._getters)

    async def get(self) -> Any:  # noqa: ANN401 - as above
        """Take the oldest frame; wait until there is one."""
        if not self._queue:
            return await super().get()
        item = self._queue.popleft()
        if self._putters:
            self._wakeup_next(self._putters)
        return item

    def task_done(self) -> None:
        """Count nothing."""


class DirectChannel(Channel):
    """A channel of the client library; in its place by `frames.read_everything`.

    `takers` has, by consumer tag, what takes each message: it must not block, nor raise. It is to
    be set before the consumer is registered; other consumers get their messages as ever.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """Begin with none."""
        super().__init__(*args, **options)
        self.takers: dict[str, Take] = {}
        self.frames = Frames(self.frames.maxsize)

    async def _on_deliver_frame(self, frame: Basic.Deliver) -> None:
        take = self.takers.get(frame.consumer_tag or "")
        if take is None:
            await super()._on_deliver_frame(frame)
            return
        header = await self._get_frame()
        if not isinstance(header, ContentHeader):
            raise ValueError(f"unexpected frame {header!r} instead of a header")  # noqa: TRY004 - as the library's
        take(await self._read_content(frame, header))


def take_directly(channel: Channel, tag: str, take: Take) -> None:
    """Have a consumer's messages taken as they are read, where the channel can do that."""
    if isinstance(channel, DirectChannel):
        channel.takers[tag] = take
