"""Opens what `publish` reads and yields its bytes: a file, a pipe or a terminal."""

import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.factories import CannotStart

CHUNK = 65_536
STDIN = "-"
STANDARD_INPUT = "standard input"
LOOK_SECONDS = 0.2
"""How often a reader that waits for a pipe checks whether it shall stop."""


class Stopped(Exception):  # noqa: N818 - reads as what it says
    """Somebody asked us to stop while there was more to read."""


@contextmanager
def opened(name: str) -> Iterator[int]:
    """Open a file, or standard input; raises CannotStart when that is not possible."""
    if name == STDIN:
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise CannotStart(f"{name} is a folder: name a file in it")
        yield descriptor
    finally:
        os.close(descriptor)


def size_of(descriptor: int) -> int | None:
    """Return how many bytes there are to read; None if unknown."""
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@dataclass(slots=True, eq=False)
class Source:
    """Reads a descriptor chunk by chunk, in a thread; `position` counts the bytes so far."""

    name: str
    descriptor: int
    is_stopped: Callable[[], bool]
    position: int = 0
    is_closed: bool = False
    """Set when no more data is needed, so that a thread that waits for a pipe ends."""

    def chunks(self) -> Iterator[bytes]:
        """Yield until the end. Raises Stopped, and CannotStart for what cannot be read."""
        while True:
            chunk = self._next()
            if not chunk:
                return
            self.position += len(chunk)
            yield chunk

    def _next(self) -> bytes:
        try:
            while not (self.is_closed or self.is_stopped()):
                ready, _, _ = select.select([self.descriptor], [], [], LOOK_SECONDS)
                if ready:
                    return os.read(self.descriptor, CHUNK)
        except OSError as error:
            raise _unreadable(self.name, error) from None
        raise Stopped


def _unreadable(name: str, error: Exception) -> CannotStart:
    reason = getattr(error, "strerror", None) or "not a file name"
    return CannotStart(f"{name} cannot be read: {reason}")
