"""Finds free TCP ports that nothing else on the machine picks by itself."""

import random
import socket
from pathlib import Path

LOWEST = 15_000
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int) -> list[int]:
    """Return ports below the range from which the system serves clients.

    A client that reconnects in a loop would, now and then, be given the very port on which a
    restarting server wants to listen.
    """
    upper = int(RANGE.read_text().split()[0]) if RANGE.exists() else 32_768
    found: list[int] = []
    for port in random.Random().sample(range(LOWEST, upper), k=upper - LOWEST):
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"fewer than {count} free ports between {LOWEST} and {upper}")


def free_port() -> int:
    """Return one free port."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
