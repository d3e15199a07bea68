"""Decides when intake must pause, when to probe, and when to flow again."""

from dataclasses import dataclass
from enum import StrEnum

from service.domain.outcomes import Fault, PauseReason
from service.domain.shut_time import ShutTime

UNSURE_BORNE = 3
"""Calls that may break in a row without a pause, while one item may be the reason."""
OTHERS_SECONDS = 0.2
"""Half-open, so long do other messages have to come before a suspected one is tried."""

REKEYED = frozenset({PauseReason.CREDENTIALS, PauseReason.SCOPE, PauseReason.AUTH_SERVER})
"""Reasons of a pause that new credentials may end."""


class Mode(StrEnum):
    """How much may leave for the portal."""

    FLOWING = "flowing"
    PAUSED = "paused"
    HALF_OPEN = "half_open"
    """One batch at a time leaves, until one is accepted."""


@dataclass(frozen=True, slots=True)
class PausePolicy:
    """When a portal-wide failure becomes a pause, and how often it is probed; seconds.

    The brake of a lane: it closes when more than `brake_share` of the last `brake_items` answered
    items of its type were rejected; either at 0 = off.
    """

    after: float
    probe: float
    probe_cap: float
    brake_share: float = 0.5
    brake_items: int = 0


class CircuitBreaker:
    """One truth about whether events may flow; every change is an explicit call with `now`."""

    def __init__(self, policy: PausePolicy) -> None:
        """Start flowing."""
        self._policy = policy
        self._interval = policy.probe
        self._trouble_since: float | None = None
        self._unsure = 0
        self.shut = ShutTime()
        self.mode = Mode.FLOWING
        self.reason: PauseReason | None = None
        self.probe_at = 0.0
        self._half_open_at = 0.0
        self.last_success: float | None = None
        self.fault: Fault | None = None
        """The last fault of the portal, shown to people."""

    @property
    def lasting(self) -> float:
        """Trouble of this many seconds is no accident."""
        return self._policy.after

    @property
    def idle_after(self) -> float:
        """Seconds after which half-open with nothing to try counts as open."""
        return self._policy.probe

    def record_failure(self, reason: PauseReason, now: float, *, sure: bool = True) -> None:
        """Note a call that failed for a portal-wide reason which may pass by itself.

        Not `sure`: it may be one item's fault as well, so that some are borne, also half-open,
        while the item is being found.
        """
        self._unsure = 0 if sure else self._unsure + 1
        if self.mode is Mode.HALF_OPEN and sure:
            self._pause(self.reason or reason, now)
            return
        if self.mode is Mode.PAUSED:
            return
        if self._trouble_since is None:
            self._trouble_since = now
        borne = not sure and self._unsure < UNSURE_BORNE
        if now - self._trouble_since >= self._policy.after and not borne:
            self._pause(self.reason or reason, now)

    def left_alone(self, reason: PauseReason, seconds: float, now: float) -> None:
        """Note that the portal wants no call for so long: what lasts like a pause is one."""
        if seconds >= self._policy.after and self.mode is not Mode.PAUSED:
            self._pause(self.reason or reason, now)

    def hurry(self, now: float) -> None:
        """Have the portal probed at once if it waits for credentials, and there are others now."""
        if self.mode is Mode.PAUSED and self.reason in REKEYED:
            self.probe_at = now

    def trip(self, reason: PauseReason, now: float) -> None:
        """Note a refusal that only a person can mend: pause at once."""
        # A straggler's refusal names the reason, but must not double the wait for the next probe.
        if self.mode is Mode.PAUSED:
            self.reason = reason
        else:
            self._pause(reason, now)

    def healthy(self) -> None:
        """Note that the portal answers a probe: what failed was not its fault as a whole."""
        self._trouble_since, self._unsure = None, 0

    def ended(
        self, imported: int, rejected: int, now: float, *, found: int = 0, judged: int = 0
    ) -> None:
        """Note how many items the portal has accepted and refused by name.

        `found` were accepted by a call that broke: that opens nothing. `judged` were refused
        here, before any call: that says nothing of the portal.
        """
        if found or imported:
            self.last_success = now
        # An item refused by name proves a working portal as well as an accepted one does.
        if imported or rejected:
            self._trouble_since, self._unsure = None, 0
        if self.mode is Mode.HALF_OPEN:
            self._judge_half_open(imported, rejected + judged, now)

    def probed(self, now: float, *, ok: bool, reason: PauseReason | None = None) -> None:
        """Note the answer to a probe."""
        if self.mode is not Mode.PAUSED:
            return
        if ok:
            self.mode, self._half_open_at = Mode.HALF_OPEN, now
            self.shut.end(now)
            return
        self.reason = reason or self.reason
        self.probe_at = now + self._interval
        self._grow()

    def idle(self) -> None:
        """Note that half-open has nothing to try: the probe's word is all there is."""
        if self.mode is Mode.HALF_OPEN:
            self.mode, self.reason = Mode.FLOWING, None

    def limit(self, slots: int) -> int:
        """Return how many calls may be in flight."""
        return {Mode.FLOWING: slots, Mode.HALF_OPEN: 1, Mode.PAUSED: 0}[self.mode]

    def suspected_from(self) -> float | None:
        """Return when what was part of a broken call may be tried, half-open; else None.

        The first message to come may be such a one, each time: others have a moment to come.
        """
        return self._half_open_at + OTHERS_SECONDS if self.mode is Mode.HALF_OPEN else None

    def _judge_half_open(self, imported: int, rejected: int, now: float) -> None:
        mostly = imported > 0 and (
            self.reason is not PauseReason.FAILURE_SHARE
            or rejected <= self._policy.brake_share * (imported + rejected)
        )
        if mostly:
            # Only here the interval is reset: a probe that passes says nothing of imports.
            self.mode, self.reason = Mode.FLOWING, None
            self._interval = self._policy.probe
        elif self.reason is PauseReason.FAILURE_SHARE and rejected:
            self._pause(self.reason, now)

    def _pause(self, reason: PauseReason, now: float) -> None:
        self.shut.begin(now)
        self.mode, self.reason = Mode.PAUSED, reason
        self.probe_at = now + self._interval
        self._trouble_since, self._unsure = None, 0
        self._grow()

    def _grow(self) -> None:
        self._interval = min(self._interval * 2, self._policy.probe_cap)
