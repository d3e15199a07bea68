"""Tells the time that goes on while the process, or the machine, is suspended."""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def awake() -> float:
    """Return seconds that count suspensions too, read again: the loop's own time may be old."""
    return time.clock_gettime(_CLOCK)
