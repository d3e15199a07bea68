"""Reads what a process has used so far from /proc: CPU time and memory."""

import os
from contextlib import suppress
from pathlib import Path

NANO = 1e-9
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 2**20


def cpu_seconds(pid: int) -> float:
    """Return the time its threads have spent on a processor, to the microsecond.

    Threads that have ended are missing; nobody here starts threads that end.
    """
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total * NANO


def rss_mib(pid: int) -> float:
    """Return its resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / MIB


def peak_mib(pid: int) -> float:
    """Return the most memory that a process has had resident so far."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peak) / 1024
