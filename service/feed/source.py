"""Reads a file, a pipe or a terminal in lines, without ever holding more than one line."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.parts import CannotStart

CHUNK = 262_144
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end; `text` is None where it was too long to be held."""

    number: int
    text: bytes | None
    size: int


@contextmanager
def opened(name: str) -> Iterator[int]:
    """Open a file, or standard input; raises CannotStart when that is not possible."""
    if name == STDIN:
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise CannotStart(f"{name} cannot be read: {reason}") from None
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise CannotStart(f"{name} is a folder: name a file in it")
        yield descriptor
    finally:
        os.close(descriptor)


def size_of(descriptor: int) -> int | None:
    """Return how many bytes there are to read; None where nobody knows."""
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


async def lines(descriptor: int, longest: int, stop: asyncio.Event) -> AsyncIterator[Line]:
    """Yield line by line until the end, or until somebody wants us to stop."""
    cutter = _Cutter(longest)
    while not stop.is_set():
        await _readable(descriptor, stop)
        if stop.is_set():
            return
        chunk = os.read(descriptor, CHUNK)
        for line in cutter.cut(chunk) if chunk else cutter.rest():
            yield line
        if not chunk:
            return


@dataclass(slots=True)
class _Cutter:
    """Cuts chunks into lines, and forgets the text of a line that grows too long."""

    longest: int
    number: int = 0
    size: int = 0
    parts: list[bytes] = field(default_factory=list)

    def cut(self, chunk: bytes) -> Iterator[Line]:
        *whole, begun = chunk.split(b"\n")
        for part in whole:
            self._add(part)
            yield self._line(1)
        self._add(begun)

    def rest(self) -> Iterator[Line]:
        if self.size:
            yield self._line(0)

    def _add(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > self.longest:
            self.parts.clear()
        elif part:
            self.parts.append(part)

    def _line(self, end: int) -> Line:
        self.number += 1
        text = None if self.size > self.longest else b"".join(self.parts).removesuffix(b"\r")
        line = Line(self.number, text, self.size + end)
        self.size = 0
        self.parts.clear()
        return line


async def _readable(descriptor: int, stop: asyncio.Event) -> None:
    """Wait until there is something to read; a file is always ready."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:  # what epoll says of files
        await asyncio.sleep(0)
        return
    waiting = {asyncio.ensure_future(ready.wait()), asyncio.ensure_future(stop.wait())}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(descriptor)
        for task in waiting:
            task.cancel()
