"""Reads in a thread and hands what is found to the event loop, a bounded amount at a time."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field

from service.commands.publish.records import Read, Record
from service.commands.publish.source import Stopped

MAX_WAITING = 1_000
MAX_BYTES_WAITING = 8_000_000


@dataclass(slots=True, eq=False)
class Handover:
    """Takes what a thread finds, as soon as it is found; the thread waits while too much waits.

    Reading blocks (a pipe) and computes (CSV, gzip): in a thread it holds up no confirm.
    """

    loop: asyncio.AbstractEventLoop
    _waiting: deque[Read] = field(default_factory=deque)
    _bytes: int = 0
    _is_closed: bool = False
    _room: threading.Condition = field(default_factory=threading.Condition)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def reads(self, found: Iterator[Read]) -> AsyncGenerator[Read]:
        """Yield what is found. Raises what reading raises, after what was found before."""
        reading = asyncio.ensure_future(asyncio.to_thread(self._fill, found))
        reading.add_done_callback(lambda _: self._arrived.set())
        try:
            while not reading.done() or self._waiting:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    yield self._take()
            await reading
        finally:
            reading.add_done_callback(_retrieved)
            with self._room:
                self._is_closed = True
                self._room.notify()

    def _fill(self, found: Iterator[Read]) -> None:
        """Put everything; runs in the thread."""
        try:
            for read in found:
                self._put(read)
        except Stopped:
            return

    def _put(self, read: Read) -> None:
        with self._room:
            while self._is_full() and not self._is_closed:
                self._room.wait()
            if self._is_closed:
                raise Stopped
            self._waiting.append(read)
            self._bytes += _size(read)
            is_first = len(self._waiting) == 1
        if is_first:
            self.loop.call_soon_threadsafe(self._arrived.set)

    def _take(self) -> Read:
        with self._room:
            read = self._waiting.popleft()
            self._bytes -= _size(read)
            self._room.notify()
        return read

    def _is_full(self) -> bool:
        return len(self._waiting) >= MAX_WAITING or self._bytes >= MAX_BYTES_WAITING


def _retrieved(reading: "asyncio.Future[None]") -> None:
    """Read an error that nothing waits for any more, so that it is not reported as forgotten."""
    if not reading.cancelled():
        reading.exception()


def _size(read: Read) -> int:
    return len(read.body) if isinstance(read, Record) else 0
