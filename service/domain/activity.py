"""Decides when a process says that it is active, and when one that gets nothing wakes the intake.

The broker tells nobody that his consumer is the active one: he learns it by his first message.
With an empty intake what waits in inner queues would then wait for ever. So somebody sends one
waiting event through the intake, and whoever gets it is active.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.inner_queue import Asking


class Step(StrEnum):
    """What is to be done now."""

    NOTHING = "nothing"
    TELL = "tell"
    """Note that this process is active."""
    WAKE = "wake"
    """Send one waiting event back to the intake."""


@dataclass(slots=True)
class Activity:
    """What one process knows of who is active; every change is an explicit call with `now`."""

    asking: Asking = field(default_factory=Asking)
    _told_at: float = float("-inf")
    _quiet_since: float | None = None
    _interval: float = 0.0

    def heard(self, now: float) -> None:
        """Note that another process says it is active."""
        self._quiet_since, self._interval = now, 0.0

    def step(self, now: float, *, attached: bool, active: bool | None) -> Step:
        """Return what is to be done; `active` is None while nobody can tell.

        A process tells it twice in each interval, so that one note may be late. One that woke the
        intake for somebody else, who cannot say so, waits longer before the next time.
        """
        if not attached or active:
            self._quiet_since, self._interval = None, 0.0
        if not attached:
            return Step.NOTHING
        if active:
            due = now - self._told_at >= self.asking.probe / 2
            self._told_at = now if due else self._told_at
            return Step.TELL if due else Step.NOTHING
        if self._quiet_since is None:
            self._quiet_since = now
        if now - self._quiet_since < (self._interval or self.asking.probe):
            return Step.NOTHING
        self._quiet_since = now
        self._interval = min(2 * (self._interval or self.asking.probe), self.asking.cap)
        return Step.WAKE
