"""Reads the memory limit that the process runs under."""

from pathlib import Path

PLACES = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Files in which a container finds its memory limit: control groups of version 2, then 1."""
UNLIMITED = 2**60
"""Control groups of version 1 write "no limit" as a number larger than any memory."""


def memory_limit(places: tuple[Path, ...] = PLACES) -> int:
    """Return the limit in bytes; 0 when there is none, or it cannot be read."""
    for place in places:
        try:
            text = place.read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() and int(text) < UNLIMITED else 0
    return 0
