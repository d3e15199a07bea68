"""Ends the work at a stop: finishes what can be finished in time, returns the rest."""

import logging
from collections.abc import Awaitable, Callable

from service.domain.circuit_breaker import CircuitBreaker, Mode
from service.domain.claim import Claim
from service.domain.limits import Limits
from service.importer.intake import Desk
from service.importer.intake_control import Intake
from service.importer.slots import Slots
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import contained

log = logging.getLogger(__name__)


class Drain:
    """The end of a process: a stop classifies nothing."""

    def __init__(
        self,
        *,
        desk: Desk,
        slots: Slots,
        intake: Intake,
        limits: Limits,
        breaker: CircuitBreaker,
        metrics: Metrics,
    ) -> None:
        """Take what is to be drained."""
        self._desk = desk
        self._slots = slots
        self._intake = intake
        self._limits = limits
        self._breaker = breaker
        self._metrics = metrics
        self._clock = desk.lot.clock

    async def run(self, step: Callable[[float], Awaitable[None]]) -> None:
        """Finish what can be finished in time, return the rest.

        `step` starts what is due, and waits until something happens or a loop time has come.
        """
        started = self._clock()
        deadline = started + self._limits.deadline
        log.info("draining", extra={"held": len(self._desk.settler.held)})
        with contained(self._metrics, "detach"):
            await self._intake.detach()
        with contained(self._metrics, "drain"):
            await self._finish(deadline, step)
        self._return(float("-inf"))
        self._slots.cancel()
        with contained(self._metrics, "end"):
            await self._desk.background.end()
        with contained(self._metrics, "flush"):
            await self._intake.flush()
        seconds = self._clock() - started
        self._metrics.drain_seconds.set(seconds)
        log.info("drained", extra={"seconds": round(seconds, 3)})

    async def _finish(self, deadline: float, step: Callable[[float], Awaitable[None]]) -> None:
        """Let what is held end, and return what cannot, until the deadline."""
        while self._clock() < deadline and (
            self._desk.settler.held or len(self._slots) or self._desk.background
        ):
            self._desk.batcher.drain(self._clock())
            self._return(float("-inf") if self._breaker.mode is Mode.PAUSED else deadline)
            await step(deadline)

    def _return(self, deadline: float) -> None:
        """Return what is not due before the deadline."""
        cut = self._clock() + self._limits.call > deadline

        def in_time(claim: Claim, due: float) -> bool:
            # A call cut by the deadline leaves doubt, which only a look-up can clear.
            return due < deadline and not (cut and claim.event.external_id is None)

        rest = self._desk.batcher.prune(in_time)
        self._metrics.returned_on_drain.inc(len(rest))
        self._desk.release(rest)
