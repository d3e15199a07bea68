"""Moves deliveries to their outcome: claims, batches, slots, draining."""

import asyncio
import logging
from collections.abc import Callable

from service.domain.batching import Batch
from service.domain.circuit_breaker import CircuitBreaker, Mode
from service.domain.claims import Claim
from service.domain.decisions import Decision
from service.domain.limits import Limits, Load
from service.importer.batch_import import Importer
from service.importer.intake import Desk, is_live
from service.importer.intake_control import Intake, IntakeControl
from service.importer.memory import CallNotes
from service.importer.portal import Portal
from service.importer.results import Delivery, Publisher
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import AGAIN, contained, endless
from service.telemetry.tracing import UNTRACED, Tracer

SWEEP_SECONDS = 1.0
SOON = 0.9  # What is held for so much of the longest time goes back with what is overdue.
MAX_BUGS = 5  # So many steps of the loop in a row may end by a bug; then only a start helps.

log = logging.getLogger(__name__)


class Pipeline:
    """The use case: every delivery ends in exactly one outcome, or goes back.

    Deliveries come through `accept`, which never blocks. One loop starts what is due; one task
    per batch makes its calls and settles. What cannot be finished is returned.
    """

    def __init__(
        self,
        *,
        portal: Portal,
        intake: Intake,
        publisher: Publisher,
        limits: Limits,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """Put the parts together; nothing happens before `run`; `tracer` may be set until then."""
        self._intake = intake
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self.breaker = CircuitBreaker(limits.pause)
        self.notes = CallNotes(proof=limits.call + limits.rules.settle, clock=clock)
        self._desk = Desk(
            publisher=publisher,
            limits=limits,
            metrics=metrics,
            most=portal.most,
            wake=self.wake,
            notes=self.notes,
        )
        self.settler, self.claims = self._desk.settler, self._desk.claims
        self._portal = portal
        self._importer = Importer(
            portal=portal,
            claims=self.claims,
            breaker=self.breaker,
            rules=limits.rules,
            metrics=metrics,
            notes=self.notes,
        )
        self._intake_control = IntakeControl(
            breaker=self.breaker,
            intake=intake,
            portal=portal,
            metrics=metrics,
            room=self,
            prefetch=limits.prefetch,
        )
        self._importer.may_send = self._may_send
        self._flying: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self.tracer: Tracer = UNTRACED
        self._next_sweep, self._paced_until, self._paced_by = 0.0, 0.0, "bucket"
        self.stopping = self.broken = False
        self.load = Load(0, 0)

    def wake(self) -> None:
        """Let the loop look again: something outside has changed."""
        self._wake.set()

    def rekeyed(self) -> None:
        """Note that there are other credentials: a pause for them tries the portal at once."""
        self._intake_control.hurry()

    def stop(self) -> None:
        """Ask `run` to drain and return."""
        self.stopping = True
        self._wake.set()

    def accept(self, delivery: Delivery) -> None:
        """Take one delivery in; called for each, in order of arrival, while `run` runs."""
        with contained(self._metrics, "trace"):
            self.tracer.received(delivery.event)
        self._desk.accept(delivery)

    async def run(self) -> None:
        """Work until `stop`, then drain; `broken` tells that a bug made it stop."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = self._desk.background.tasks = tasks
            intake_control = tasks.create_task(
                endless(self._intake_control.run, "warden", self._metrics), name="warden"
            )
            bugs = 0
            while not self.stopping:
                with contained(self._metrics, "loop") as step:
                    self._start_due()
                    await self._sleep(self._next_sweep)
                bugs = bugs + 1 if step.struck else 0
                if bugs:
                    await asyncio.sleep(AGAIN.delay(bugs, 1.0))
                if bugs >= MAX_BUGS:
                    self.broken = self.stopping = True
            intake_control.cancel()
            await self._drain()

    def _start_due(self) -> None:
        """Start every batch that may leave while there are slots."""
        now = self._clock()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(now)
        while len(self._flying) < self._slots() and not self._waits_for_portal(now):
            batch = self._desk.batcher.take(
                now,
                pressure=self._desk.full,
                unsuspected_first=self.breaker.mode is Mode.HALF_OPEN,
            )
            if batch is None:
                break
            self._launch(batch, now)
        self.load = Load(len(self._flying), len(self._desk.batcher))

    def _slots(self) -> int:
        """Return how many batches may be in flight; none while results could not be published."""
        return self.breaker.limit(self._limits.slots) if self._intake.fit() else 0

    def _waits_for_portal(self, now: float) -> bool:
        """Tell whether the portal's limits bar the next call; batches fill up meanwhile."""
        seconds, self._paced_by = self._portal.pace()
        self._paced_until = now + seconds
        return seconds > 0

    def _may_send(self, batch: Batch[Delivery]) -> bool:
        """Tell, just before a call, whether the broker is there and the messages still ours."""
        return self._intake.fit() and all(map(is_live, batch.claims))

    def _launch(self, batch: Batch[Delivery], now: float) -> None:
        batch.claims = self._desk.living(batch.claims)
        if not batch.claims:
            return
        if not batch.tries and batch.fault is None:
            filled, waited = now - batch.opened_at, now - batch.due
            with contained(self._metrics, "count"):
                self._metrics.batch_left(str(batch.closed_by), len(batch.claims), filled, waited)
        task = self._tasks.create_task(self._process(batch), name="batch")
        self._flying.add(task)
        task.add_done_callback(self._landed)

    def _landed(self, task: "asyncio.Task[None]") -> None:
        self._flying.discard(task)
        self._wake.set()

    async def _process(self, batch: Batch[Delivery]) -> None:
        """Carry one batch to what follows."""
        decision: Decision[Delivery] | None = None
        with (
            contained(self._metrics, "batch"),
            self.tracer.batch([claim.event for claim in batch.claims]),
        ):
            decision = await self._importer.carry(batch)
            with contained(self._metrics, "after a batch"):
                self._intake_control.look()
                self._desk.wait(decision, self._importer.links.may_go_on)
            for again in decision.again:
                self._again(again)
            with self.tracer.settle(len(decision.ended)):
                await self._desk.settle(decision.ended)
        if decision is None:
            self._strike(batch)

    def _strike(self, batch: Batch[Delivery]) -> None:
        """Try each event of a batch alone that a bug has struck: one may be the reason."""
        now = self._clock()
        for claim in batch.claims:
            if not self._desk.claims.holds(claim):
                continue
            claim.known.struck += 1
            wait = AGAIN.delay(claim.known.struck, 1.0)
            self._again(batch.part([claim], max(now + wait, claim.known.look_at)))

    def _again(self, batch: Batch[Delivery]) -> None:
        with contained(self._metrics, "again"):
            if self._intake_control.shut:
                self._desk.release(batch.claims)
            else:
                self._desk.batcher.put(batch)

    def busy(self) -> bool:
        """Tell whether anything is held that may be sent: what waits for a proof may not."""
        return bool(self._flying) or self._desk.batcher.sendable()

    def return_all(self) -> None:
        """Give up everything that waits."""
        self._desk.release(self._desk.batcher.prune(lambda _claim, _due: False))

    def _sweep(self, now: float) -> None:
        """Give up what waits too long, or whose deliveries the broker has taken back."""
        hold = self._limits.hold
        # Soon due ones go along: each time, the consumer is cancelled.
        hold *= SOON if self.settler.oldest_held() > hold else 1.0
        late = self._desk.overdue(now - hold)
        if late:
            self._desk.background.start(self._give_back_late(late))

    async def _give_back_late(self, late: list[Delivery]) -> None:
        async with self._intake.cancelled():
            await self.settler.give_back(late)

    async def _sleep(self, until: float) -> None:
        """Wait until something happens, or until something is due and may leave."""
        due = self._desk.batcher.next_time()
        now = self._clock()
        if due is not None and len(self._flying) < self._slots():
            until = min(until, max(due, self._paced_until))
        timer = asyncio.get_running_loop().call_at(max(until, now + 0.001), self._wake.set)
        await self._wake.wait()
        timer.cancel()
        self._wake.clear()
        if due is not None and due <= now < self._paced_until:
            self._metrics.pacer_wait.labels(self._paced_by).inc(self._clock() - now)

    async def _drain(self) -> None:
        """Finish what can be finished in time, return the rest; a stop classifies nothing."""
        started = self._clock()
        deadline = started + self._limits.deadline
        log.info("draining", extra={"held": len(self.settler.held)})
        with contained(self._metrics, "detach"):
            await self._intake.detach()
        with contained(self._metrics, "drain"):
            await self._finish(deadline)
        self._return_on_drain(float("-inf"))
        for task in self._flying:
            task.cancel()
        with contained(self._metrics, "end"):
            await self._desk.background.end()
        with contained(self._metrics, "flush"):
            await self._intake.flush()
        seconds = self._clock() - started
        self._metrics.drain_seconds.set(seconds)
        log.info("drained", extra={"seconds": round(seconds, 3)})

    async def _finish(self, deadline: float) -> None:
        """Let what is held end, and return what cannot, until the deadline."""
        while self._clock() < deadline and (
            self.settler.held or self._flying or self._desk.background
        ):
            self._desk.batcher.drain(self._clock())
            self._return_on_drain(float("-inf") if self.breaker.mode is Mode.PAUSED else deadline)
            self._start_due()
            await self._sleep(min(deadline, self._next_sweep))

    def _return_on_drain(self, deadline: float) -> None:
        """Return what is not due before the deadline."""
        cut = self._clock() + self._limits.call > deadline

        def in_time(claim: Claim[Delivery], due: float) -> bool:
            # A call that the deadline may cut leaves doubt, which only asking can clear.
            return due < deadline and not (cut and claim.event.external_id is None)

        rest = self._desk.batcher.prune(in_time)
        self._metrics.returned_on_drain.inc(len(rest))
        self._desk.release(rest)
