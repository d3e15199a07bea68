"""Follows the circuit breaker: attaches and detaches the intake, probes a paused portal."""

import asyncio
import logging
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol

from service.domain.circuit_breaker import CircuitBreaker, Mode
from service.domain.outcomes import CallFailed, Fault, PauseReason
from service.telemetry.metrics import Metrics

TOLD = {
    Mode.HALF_OPEN: "intake half open: the portal answers, one batch is tried",
    Mode.FLOWING: "intake flowing",
}
RUNBOOK = "see the runbook {} for this reason"
MOSTLY_REJECTED = "most of the last items were rejected"
LOOK_AT_LETTERS = (
    "the upstream team: run `crm-importer dlq list`, and correct the most frequent cause"
)

log = logging.getLogger(__name__)


class Intake(Protocol):
    """The flow of deliveries from the broker."""

    @property
    def active(self) -> bool | None:
        """Whether messages come to this process; None: it waits, first in line or not."""

    def fit(self) -> bool:
        """Tell whether the broker is there, so that a call's outcome can be published."""

    async def attach(self, prefetch: int) -> None:
        """Let deliveries come, at most this many unsettled."""

    async def detach(self) -> None:
        """Stop deliveries; those that came stay."""

    def cancelled(self) -> AbstractAsyncContextManager[None]:
        """Have no consumer meanwhile; afterwards as before."""

    async def flush(self) -> None:
        """Return when the broker has read every acknowledgement, or cannot be reached."""


class Probe(Protocol):
    """What can be asked of a portal that is shut."""

    async def probe(self) -> None:
        """Make the cheapest call there is; raises CallFailed."""

    def shut_for(self, reason: PauseReason | None) -> float:
        """Return for how many seconds no call can help, though intake is paused for a reason."""


class Room(Protocol):
    """What is held here."""

    def busy(self) -> bool:
        """Tell whether any delivery is held."""

    def return_all(self) -> None:
        """Give up everything that waits."""


class IntakeControl:
    """Follows the breaker: one announcement, one change of the intake per change of mode.

    Paused: the intake is detached, then the room lets go of what is held, once; `shut` tells that
    this is so. Half-open and flowing: deliveries come, and the breaker says how many calls may
    leave.
    """

    def __init__(
        self,
        *,
        breaker: CircuitBreaker,
        intake: Intake,
        portal: Probe,
        metrics: Metrics,
        room: Room,
        prefetch: int,
    ) -> None:
        """Take the breaker to follow, and what to do when its mode changes."""
        self._breaker = breaker
        self._intake = intake
        self._portal = portal
        self._metrics = metrics
        self._room = room
        self._prefetch = prefetch
        self._moved = asyncio.Event()
        self._hurried = asyncio.Event()
        self.shut = False
        self._attached = False

    def hurry(self) -> None:
        """Try the portal at once if it waits for credentials: there are others now."""
        if self._breaker.mode is Mode.PAUSED:
            self._hurried.set()

    def look(self) -> None:
        """Look at the breaker: its mode may have changed."""
        self._moved.set()

    async def run(self) -> None:
        """Follow the breaker until cancelled."""
        seen: Mode | None = None
        told: tuple[object, ...] = ()
        while True:
            mode, state = self._breaker.mode, self._state()
            if state != told:
                self._announce(first=seen is None)
                told = state
            if mode is not seen:
                seen = mode
                await self._follow(mode)
            elif mode is Mode.PAUSED:
                if await self._rested(self._next_try()):
                    await self._probe()
            else:
                await self._wait(mode)

    async def _follow(self, mode: Mode) -> None:
        if mode is Mode.PAUSED:
            self._attached = False
            await self._intake.detach()
            # Not earlier: messages returned to a consumed queue would come again at once.
            self.shut = True
            self._room.return_all()
        elif not self._attached:
            self.shut = False
            self._hurried.clear()
            await self._intake.attach(self._prefetch)
            self._attached = True

    def _next_try(self) -> float:
        """Return the seconds until the portal is asked again: never while it cannot answer."""
        shut = self._portal.shut_for(self._breaker.reason)
        return max(0.0, self._breaker.probe_at - _now(), shut)

    async def _rested(self, seconds: float) -> bool:
        """Wait so long; False if somebody is in a hurry meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurried.wait()
        except TimeoutError:
            return True
        self._hurried.clear()
        self._breaker.hurry(_now())
        return False

    async def _wait(self, mode: Mode) -> None:
        """Wait until its mode may have changed; half-open with nothing to try is open."""
        longest = self._breaker.idle_after if mode is Mode.HALF_OPEN else None
        try:
            async with asyncio.timeout(longest):
                await self._moved.wait()
        except TimeoutError:
            if not self._room.busy():
                self._breaker.idle()
        self._moved.clear()

    async def _probe(self) -> None:
        """Ask the portal, unless it is not the portal that we wait for."""
        if self._breaker.reason is PauseReason.FAILURE_SHARE:
            self._breaker.probed(_now(), ok=True)
            return
        try:
            await self._portal.probe()
        except CallFailed as failed:
            self._breaker.fault = failed.fault
            self._breaker.probed(_now(), ok=False, reason=failed.fault.pause)
            log.info("portal asked: still shut", extra=self._shown())
        else:
            self._breaker.probed(_now(), ok=True)

    def _announce(self, *, first: bool) -> None:
        mode, reason = self._breaker.mode, self._breaker.reason
        for each in PauseReason:
            shut = each is reason and mode is not Mode.FLOWING
            self._metrics.paused.labels(each).set(int(shut))
        if first and mode is Mode.FLOWING:
            return
        if mode is not Mode.PAUSED:
            log.info(TOLD[mode], extra={"reason": reason} if reason else {})
            return
        level = logging.ERROR if reason and reason.needs_a_person else logging.WARNING
        log.log(level, "intake paused", extra=self._shown())

    def _shown(self) -> dict[str, object]:
        """Return why intake is shut."""
        return why_shut(self._breaker.reason, self._breaker.fault, self._next_try())

    def _state(self) -> tuple[object, ...]:
        """Return what is told when it changes: the mode, the reason, and while shut the cause."""
        breaker = self._breaker
        cause = breaker.fault.cause if breaker.fault and breaker.mode is Mode.PAUSED else ""
        return breaker.mode, breaker.reason, cause


def why_shut(
    reason: PauseReason | None, fault: Fault | None, wait: float, runbook: str = "ImporterPaused"
) -> dict[str, object]:
    """Return why the intake or a lane is shut, for the log.

    With what the portal answered, the next try (`wait`: seconds until then), and who must act;
    `runbook`: the entry that says it where the fault does not.
    """
    entry = RUNBOOK.format(runbook)
    at = datetime.fromtimestamp(time.time() + wait, UTC).isoformat(timespec="seconds")
    shown: dict[str, object] = {"next_try_in": round(wait, 1), "next_try": at}
    shown |= {"reason": reason, "remedy": entry}
    if reason is PauseReason.FAILURE_SHARE:
        shown |= {"cause": MOSTLY_REJECTED, "remedy": LOOK_AT_LETTERS}
    elif fault is not None:
        shown |= {"code": fault.code, "http_status": fault.http_status, "cause": fault.cause}
        shown |= {"remedy": fault.remedy or entry}
    return shown


def _now() -> float:
    return asyncio.get_running_loop().time()
