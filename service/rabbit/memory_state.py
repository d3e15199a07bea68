"""Names how far the memory can be relied on."""

from enum import StrEnum


class MemoryState(StrEnum):
    """How far the memory can be relied on."""

    UNAVAILABLE = "unavailable"
    """It cannot be read: missing, refused, or no connection."""
    READING = "reading"
    """It is being read for the first time since the connection came."""
    FOLLOWING = "following"
    """Everything that was confirmed before the last mark is known."""
    SILENT = "silent"
    """It did not answer in time; nothing waits for it until it answers."""


TROUBLE = frozenset({MemoryState.UNAVAILABLE, MemoryState.SILENT})
COMING = frozenset({MemoryState.UNAVAILABLE, MemoryState.READING})
"""It will be readable in a moment: work that needs it waits for that, once."""
