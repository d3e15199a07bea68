"""Runs the portal's time, optionally faster than the wall's."""

import asyncio
import time


class Clock:
    """Counts simulated seconds; a change of speed never makes it jump."""

    def __init__(self, speed: float = 1.0) -> None:
        """Start at zero with the given simulated seconds per real second."""
        self.speed = speed
        self._simulated = 0.0
        self._real = time.monotonic()

    def now(self) -> float:
        """Return the simulated seconds since the start."""
        return self._simulated + (time.monotonic() - self._real) * self.speed

    def set_speed(self, speed: float) -> None:
        """Go on from the present instant at another speed."""
        self._simulated, self._real = self.now(), time.monotonic()
        self.speed = speed

    async def sleep_until(self, instant: float) -> None:
        """Wait for a simulated instant, without adding up the delays of many short waits."""
        remaining = (instant - self.now()) / self.speed
        if remaining > 0:
            await asyncio.sleep(remaining)
