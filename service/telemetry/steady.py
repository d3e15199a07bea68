"""Tells the time of day by a clock that nobody sets while the process lives."""

import time as system

from service.telemetry.clock import awake

_BEGAN = system.time() - awake()


def time() -> float:
    """Return seconds since the epoch: the system's at the start, and what has passed since.

    What is compared with it moves neither when somebody sets the system's clock nor when the
    machine is suspended. Others' times are moved to it when they come: `ahead`.
    """
    return _BEGAN + awake()


def ahead() -> float:
    """Return by how much this clock is ahead of the system's, which may have been set."""
    return time() - system.time()
