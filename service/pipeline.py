"""Moves deliveries to their outcome: claims, batches, slots, draining."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from service.aside import Aside
from service.domain.batching import Agenda, Batch
from service.domain.claims import Claim, Claims, Repeat, Resolved, claim_of
from service.domain.events import ItemEvent, Malformed
from service.domain.limits import Limits, Load
from service.domain.outcomes import Failed, FailureKind, Imported, Outcome
from service.domain.pausing import Gate, Mode
from service.importing import Importer, Portal
from service.settling import Delivery, Publisher, Settler
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import UNTRACED, Tracer
from service.warden import Intake, Warden

SWEEP_SECONDS = 1.0

log = logging.getLogger(__name__)


class Pipeline:
    """The use case: every delivery ends in exactly one outcome, or goes back.

    Deliveries come through `accept`, which never blocks: the prefetch bounds them. One loop
    starts what is due; one task per batch makes its calls and settles. Nothing is acknowledged
    before its outcome is confirmed, nothing is dropped: what cannot be finished is returned.
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
        self._claims: Claims[Delivery] = Claims(remember=limits.remember)
        self._agenda: Agenda[Delivery] = Agenda(limits.batch, portal.most)
        self.gate = Gate(limits.pause)
        self.settler = Settler(
            publisher=publisher, claims=self._claims, metrics=metrics, clock=clock
        )
        self._portal = portal
        self._importer = Importer(
            portal=portal,
            claims=self._claims,
            gate=self.gate,
            rules=limits.rules,
            metrics=metrics,
            clock=clock,
        )
        self._warden = Warden(
            gate=self.gate,
            intake=intake,
            portal=portal,
            metrics=metrics,
            room=self,
            prefetch=limits.prefetch,
        )
        self._importer.may_send = self._may_send
        self._flying: set[asyncio.Task[None]] = set()
        self._aside = Aside(on_end=self.wake)
        self._wake = asyncio.Event()
        self.tracer: Tracer = UNTRACED
        self._next_sweep, self._paced_until, self._paced_by = 0.0, 0.0, "bucket"
        self.stopping, self.load = False, Load(0, 0)

    def wake(self) -> None:
        """Let the loop look again: something outside has changed."""
        self._wake.set()

    def stop(self) -> None:
        """Ask `run` to drain and return."""
        self.stopping = True
        self._wake.set()

    def accept(self, delivery: Delivery) -> None:
        """Take one delivery in; called for each, in order of arrival, while `run` runs."""
        event = delivery.event
        self.settler.held[delivery] = None
        self.tracer.received(event)
        if isinstance(event, Malformed):
            failed = Failed(FailureKind.MALFORMED, event.code, event.message)
            self._aside.start(self.settler.settle_message(delivery, failed))
        else:
            self._admit(delivery, event)
        if len(self.settler.held) >= self._limits.prefetch:
            self._wake.set()

    async def run(self) -> None:
        """Work until `stop`, then drain."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = self._aside.tasks = tasks
            warden = tasks.create_task(self._warden.run(), name="warden")
            while not self.stopping:
                self._start_due()
                await self._sleep(self._next_sweep)
            warden.cancel()
            await self._drain()

    def _admit(self, delivery: Delivery, event: ItemEvent) -> None:
        """Claim the event, or join whoever has."""
        limits = self._limits
        claim = claim_of(delivery, event, ask=limits.ask, settle=limits.rules.settle)
        admitted = self._claims.admit(claim, copy=delivery.copy)
        if isinstance(admitted, Claim):
            self._schedule(admitted)
            return
        self._metrics.joined.inc()
        if isinstance(admitted, Repeat) and admitted.imported is not None:
            self._aside.start(self.settler.settle_message(delivery, admitted.imported))
        elif isinstance(admitted, Repeat):
            self._aside.start(self.settler.acknowledge(delivery))

    def _schedule(self, claim: Claim[Delivery]) -> None:
        """Let a claim join an open batch, once a look-up of it can prove anything."""
        now = self._clock()
        if claim.known.doubt and claim.known.look_at > now:
            self._agenda.defer(claim, claim.known.look_at)
            self._wake.set()
        elif self._agenda.add(claim, now):
            self._wake.set()

    def _start_due(self) -> None:
        """Start every batch that may leave while there are slots."""
        now = self._clock()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(now)
        while len(self._flying) < self._slots(now) and not self._waits_for_portal(now):
            pressure = len(self.settler.held) >= self._limits.prefetch
            half_open = self.gate.mode is Mode.HALF_OPEN
            batch = self._agenda.take(now, pressure=pressure, unsuspected_first=half_open)
            if batch is None:
                break
            self._launch(batch, now)
        self.load = Load(len(self._flying), len(self._agenda))

    def _slots(self, now: float) -> int:
        """Return how many batches may be in flight; none while results could not be published."""
        return self.gate.limit(self._limits.slots) if self._intake.fit(now) else 0

    def _waits_for_portal(self, now: float) -> bool:
        """Tell whether the portal's limits bar the next call; batches fill up meanwhile."""
        seconds, self._paced_by = self._portal.pace()
        self._paced_until = now + seconds
        return seconds > 0

    def _may_send(self, batch: Batch[Delivery]) -> bool:
        """Tell, just before a call, whether the broker is there and the messages still ours."""
        return self._intake.fit(self._clock()) and all(map(_live, batch.claims))

    def _launch(self, batch: Batch[Delivery], now: float) -> None:
        dead = [claim for claim in batch.claims if not _live(claim)]
        self._release(dead)
        batch.claims = [claim for claim in batch.claims if claim not in dead]
        if not batch.claims:
            return
        if not batch.tries and batch.fault is None:
            filled, waited = now - batch.opened_at, now - batch.due
            self._metrics.batch_left(str(batch.closed_by), len(batch.claims), filled, waited)
        task = self._tasks.create_task(self._process(batch), name="batch")
        self._flying.add(task)
        task.add_done_callback(self._landed)

    def _landed(self, task: "asyncio.Task[None]") -> None:
        self._flying.discard(task)
        self._wake.set()

    async def _process(self, batch: Batch[Delivery]) -> None:
        """Carry one batch to what follows; the one place that catches everything."""
        claims = list(batch.claims)
        try:
            with self.tracer.batch([claim.event for claim in claims]):
                sequel = await self._importer.carry(batch)
                claims = [claim for claim, _ in sequel.ended]
                self._warden.look()
                for again in sequel.again:
                    self._again(again)
                with self.tracer.settle(len(claims)):
                    await self.settler.settle(sequel.ended, self._resolved)
        except Exception:
            log.exception("unexpected error: the deliveries go back to the queue")
            held = self.settler.held
            self._release([c for c in claims if any(each in held for each in c.deliveries)])

    def _again(self, batch: Batch[Delivery]) -> None:
        if self._warden.shut:
            self._release(batch.claims)
        else:
            self._agenda.put(batch)

    def _resolved(self, resolved: Resolved[Delivery], outcome: Outcome) -> None:
        """Go on with what waited for a claim that has ended."""
        for heir in resolved.starts:
            self._schedule(heir)
        if isinstance(outcome, Imported):
            again = Imported(outcome.item_id, duplicate=True)
            for heir in resolved.repeats:
                for delivery in heir.deliveries:
                    self._aside.start(self.settler.settle_message(delivery, again))

    def _release(self, claims: Iterable[Claim[Delivery]]) -> None:
        """Give claims up unsettled; what is known of them is kept, their deliveries go back."""
        back = [delivery for claim in claims for delivery in self._claims.release(claim)]
        if back:
            self._aside.start(self.settler.give_back(back))

    def busy(self) -> bool:
        """Tell whether any delivery is held."""
        return bool(self.settler.held)

    def let_go(self) -> None:
        """Give up everything that waits."""
        self._release(self._agenda.prune(lambda _claim, _due: False))

    def _sweep(self, now: float) -> None:
        """Give up what waits too long, or whose deliveries the broker has taken back."""
        before = now - self._limits.hold
        self._release(self._agenda.prune(lambda claim, _: _live(claim) and claim.since > before))
        overdue = self.settler.overdue(before)
        if overdue:
            self._aside.start(self.settler.give_back(overdue))

    async def _sleep(self, until: float) -> None:
        """Wait until something happens, or until something is due and may leave."""
        due = self._agenda.next_time()
        now = self._clock()
        if due is not None and len(self._flying) < self._slots(now):
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
        await self._intake.detach()
        while self._clock() < deadline and (self.settler.held or self._flying or self._aside):
            self._agenda.drain(self._clock())
            self._return_on_drain(float("-inf") if self.gate.mode is Mode.PAUSED else deadline)
            self._start_due()
            await self._sleep(min(deadline, self._next_sweep))
        self._return_on_drain(float("-inf"))
        for task in self._flying:
            task.cancel()
        await self._aside.end()
        await self._intake.flush()
        seconds = self._clock() - started
        self._metrics.drain_seconds.set(seconds)
        log.info("drained", extra={"seconds": round(seconds, 3)})

    def _return_on_drain(self, deadline: float) -> None:
        """Return what is not due before the deadline."""
        cut = self._clock() + self._limits.call > deadline

        def in_time(claim: Claim[Delivery], due: float) -> bool:
            # A call that the deadline may cut leaves doubt, which only asking can clear.
            return due < deadline and not (cut and claim.event.external_id is None)

        rest = self._agenda.prune(in_time)
        self._metrics.returned_on_drain.inc(len(rest))
        self._release(rest)


def _live(claim: Claim[Delivery]) -> bool:
    return any(delivery.live for delivery in claim.deliveries)
