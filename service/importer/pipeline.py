"""Moves deliveries to their outcome: claims, batches, slots, draining."""

import asyncio
import logging
from collections.abc import Callable

from service.domain.batch import Batch
from service.domain.circuit_breaker import CircuitBreaker
from service.domain.claim import Claim
from service.domain.decisions import Decision
from service.domain.delivery import Delivery
from service.domain.limits import Limits, Load
from service.importer.batch_import import Importer
from service.importer.draining import Drain
from service.importer.evidence import Evidence
from service.importer.holdings import Holdings
from service.importer.inner_queues import InnerQueues
from service.importer.intake import Desk, is_live
from service.importer.intake_control import Intake, IntakeControl
from service.importer.lane_control import LaneControl
from service.importer.listed_types import ListedTypes
from service.importer.memory import CallNotes
from service.importer.portal import Portal
from service.importer.results import Publisher
from service.importer.slots import Slots
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import AGAIN, contained, endless
from service.telemetry.tracing import UNTRACED, Tracer

SWEEP_SECONDS = 1.0
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
        self._intake, self._limits = intake, limits
        self._metrics, self._clock = metrics, clock
        self.breaker = CircuitBreaker(limits.pause)
        self.notes = CallNotes(proof=limits.call + limits.rules.settle, clock=clock)
        desk = self._desk = Desk(
            publisher=publisher,
            limits=limits,
            metrics=metrics,
            most=portal.most,
            wake=self.wake,
            notes=self.notes,
        )
        self.settler, self.claims, self.lanes = desk.settler, desk.claims, desk.lanes
        self._portal = portal
        self._slots = Slots(desk.lanes, ranked=lambda: desk.batcher.ranked and not self.stopping)
        self._holdings = Holdings(self._desk, self._slots, limits, intake)
        self._wake = asyncio.Event()
        self.tracer: Tracer = UNTRACED
        self._build_controls(limits)
        self._drain = Drain(
            desk=self._desk,
            slots=self._slots,
            intake=intake,
            limits=limits,
            breaker=self.breaker,
            metrics=metrics,
        )
        self._paced_until, self._paced_by = 0.0, "bucket"
        self._next_sweep = 0.0
        self.stopping = self.broken = False
        self.load = Load(0, 0)

    def _build_controls(self, limits: Limits) -> None:
        """Join what decides whether events flow with what makes them flow."""
        desk = self._desk
        self.lane_control = LaneControl(
            lanes=desk.lanes,
            breaker=self.breaker,
            lot=desk.lot,
            limits=limits,
            room=self._holdings,
            metrics=self._metrics,
        )
        self.lane_control.listed = ListedTypes(self._portal, self.notes, limits.pause)
        evidence = Evidence(self.breaker, self.lane_control, self._clock)
        self._importer = Importer(
            portal=self._portal,
            claims=self.claims,
            evidence=evidence,
            rules=limits.rules,
            metrics=self._metrics,
            notes=self.notes,
        )
        self._importer.may_send = self._may_send
        links = self._importer.links
        links.may_hold = lambda: not desk.full
        desk.must_wait, desk.lot.lacks_items = links.must_wait, links.lacks
        self._intake_control = IntakeControl(
            breaker=self.breaker,
            intake=self._intake,
            portal=self._portal,
            metrics=self._metrics,
            room=self._holdings,
            prefetch=limits.prefetch,
        )
        desk.batcher.suspected_from = self.breaker.suspected_from
        desk.lot.keep = self._holdings.keep
        desk.lot.unparkable = self._unparkable
        desk.lot.on_parked = self.lane_control.parked
        desk.lot.open_seconds, desk.lot.open_since = evidence.open_seconds, evidence.open_since
        desk.lot.connected = self._intake.fit

    def wake(self) -> None:
        """Let the loop look again: something outside has changed."""
        self._wake.set()

    def use(self, queues: InnerQueues) -> None:
        """Let events wait in these queues; to be called before the first one comes."""
        self._desk.lot.queues = queues
        self.lane_control.begin()

    def rekeyed(self) -> None:
        """Note that there are other credentials: a pause for them tries the portal at once."""
        self._intake_control.hurry()

    def stop(self) -> None:
        """Ask `run` to drain and return."""
        self.stopping = self._holdings.stopping = True
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
            intake_run = endless(self._intake_control.run, "intake control", self._metrics)
            intake_control = tasks.create_task(intake_run, name="intake control")
            lanes_run = endless(self.lane_control.run, "lanes", self._metrics)
            lanes = tasks.create_task(lanes_run, name="lanes")
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
            lanes.cancel()
            await self._drain.run(self._drain_step)

    async def _drain_step(self, until: float) -> None:
        self._start_due()
        await self._sleep(min(until, self._next_sweep))

    def _start_due(self) -> None:
        """Start every batch that may leave while there are slots."""
        now = self._clock()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._holdings.sweep(now)
        self._set_slots()
        while self._slots.free_at(now) and not self._waits_for_portal(now):
            batch = self._desk.batcher.take(
                now,
                pressure=self._desk.full,
                may=self._slots.admit,
            )
            if batch is None:
                break
            self._launch(batch, now)
            self._set_slots()
        self.load = Load(len(self._slots), len(self._desk.batcher))

    def _set_slots(self) -> None:
        """Say how many batches may be in flight; none while results could not be published."""
        fit = self._intake.fit()
        self._slots.limit = self.breaker.limit(self._limits.slots) if fit else 0

    def _waits_for_portal(self, now: float) -> bool:
        """Tell whether the portal's limits bar the next call; batches fill up meanwhile."""
        seconds, self._paced_by = self._portal.pace()
        self._paced_until = now + seconds
        return seconds > 0

    def _may_send(self, batch: Batch) -> bool:
        """Tell, just before a call, whether the broker is there and the messages still ours."""
        return self._intake.fit() and all(map(is_live, batch.claims))

    def _launch(self, batch: Batch, now: float) -> None:
        batch = batch.only(self._desk.living(batch.claims))
        if not batch.claims:
            return
        if not (batch.tries or batch.fault or batch.refilled):
            filled, waited = now - batch.opened_at, now - batch.due
            with contained(self._metrics, "count"):
                self._metrics.batch_left(str(batch.closed_by), len(batch.claims), filled, waited)
        task = self._tasks.create_task(self._process(batch), name="batch")
        self._slots.take(task, batch.key)
        task.add_done_callback(self._landed)

    def _landed(self, task: "asyncio.Task[None]") -> None:
        self._slots.free(task)
        self._wake.set()

    async def _process(self, batch: Batch) -> None:
        """Carry one batch to what follows."""
        decision: Decision | None = None
        with (
            contained(self._metrics, "batch"),
            self.tracer.batch([claim.event for claim in batch.claims]),
        ):
            decision = await self._importer.carry(batch)
            with contained(self._metrics, "after a batch") as after:
                self._intake_control.look()
                self._desk.wait(decision, self._importer.links.may_go_on)
                wakes = self._importer.links.wakes(decision.ended)
                self.lane_control.imported(decision.imported_types, referred=wakes)
            if after.struck:
                self._desk.recover(decision.waiting())
            for again in decision.again:
                self._again(again)
            if not decision.ended:
                self._slots.made_no_call(asyncio.current_task())
            with self.tracer.settle(len(decision.ended)):
                await self._desk.settle(decision.ended)
        if decision is None:
            self._intake_control.look()  # What the call has told of the portal is known.
            for alone in self._holdings.struck(batch, self._clock()):
                self._again(alone)

    def _again(self, batch: Batch) -> None:
        with contained(self._metrics, "again") as work:
            if self._intake_control.shut:
                self._desk.release(batch.claims)
            else:
                self._holdings.again(batch)
        if work.struck:
            self._desk.recover(batch.claims)

    def _unparkable(self, claims: list[Claim], queue: str, reason: str) -> None:
        self.lane_control.unparkable(claims[0].event.entity_type_id, queue, reason)
        self._intake_control.look()

    async def _sleep(self, until: float) -> None:
        """Wait until something happens, or until something is due and may leave."""
        now = self._clock()
        due = self._desk.batcher.next_time(self._slots.admit, pressure=self._desk.full)
        if due is not None:
            until = min(until, max(due, self._paced_until, self._slots.next_start))
        timer = asyncio.get_running_loop().call_at(max(until, now + 0.001), self._wake.set)
        await self._wake.wait()
        timer.cancel()
        self._wake.clear()
        if due is not None and due <= now < self._paced_until:
            self._metrics.pacer_wait.labels(self._paced_by).inc(self._clock() - now)
