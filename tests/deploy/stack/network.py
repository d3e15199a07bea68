"""Gives the tests a network of their own: bridges, firewall and forwarding end with them."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x4000_0000
HERE = Path("/proc/thread-self/ns/net")


@contextmanager
def own_network() -> Iterator[None]:
    """Move this thread, and whatever it starts, into an empty network, and back again.

    Nothing in there reaches the machine's own network, and nothing it sets up stays.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with HERE.open() as home:
        _check(libc.unshare(CLONE_NEWNET))
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            _check(libc.setns(home.fileno(), CLONE_NEWNET))


def _check(code: int) -> None:
    if code:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
