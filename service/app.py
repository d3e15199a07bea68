"""Builds every object from the settings, runs them, and drains on a signal."""

import asyncio
import gc
import logging
import signal
import time
from dataclasses import dataclass
from functools import partial

import uvloop

from service.bitrix.client import Portal
from service.domain.circuit_breaker import Mode
from service.factories import (
    CannotStart,
    address,
    auth,
    built_broker,
    limits,
    portal,
    portal_host,
    tracer,
)
from service.health import HealthPort, Status, cannot_listen
from service.importer.pipeline import Pipeline
from service.introduction import about, tell_config
from service.rabbit.address import Address
from service.rabbit.broker import Broker
from service.rabbit.memory import Memory
from service.rabbit.notes import Note, NoteKind, Owner
from service.secret_rotation import BROKER, CLIENT_SECRET, FOLLOWED, WEBHOOK, Rekeying
from service.settings.secret_files import SecretFiles
from service.settings.tree import Settings
from service.status import connection, next_try, overview, told_why
from service.telemetry.labels import ALL_LANES
from service.telemetry.metrics import Metrics
from service.telemetry.minute_summary import Minute
from service.telemetry.supervision import catch_strays, contained, endless

BEAT_SECONDS = 0.5
LOOK_UP_PATIENCE = 2.0
"""Longest wait of a look-up in its slot for the portal's execution time, in seconds."""
NEW_OBJECTS = 20_000
"""Threshold of the garbage collector: batches allocate many objects and create no cycles."""

log = logging.getLogger(__name__)


def run(settings: Settings, metrics: Metrics) -> None:
    """Run the service until SIGTERM or SIGINT; raises CannotStart."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        _tend_garbage()
        runner.run(_serve(settings, metrics))


def _tend_garbage() -> None:
    """Keep the collector from looking again and again at what lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)


async def _serve(settings: Settings, metrics: Metrics) -> None:
    """Start from the outside in; the way back out is the way down through the `with`s."""
    loop = asyncio.get_running_loop()
    credentials, there = auth(settings), address(settings.rabbit, metrics)
    async with portal(settings, metrics, credentials, patience=LOOK_UP_PATIENCE) as remote:
        broker = built_broker(settings, there, metrics)
        pipeline = Pipeline(
            portal=remote,
            intake=broker,
            publisher=broker.publisher,
            limits=limits(settings),
            metrics=metrics,
            clock=loop.time,
        )
        memory = _memory(settings, there, pipeline, broker)
        if broker.roster.names.prefix:
            pipeline.use(broker.inner)
        pipeline.tracer = remote.tracer = traced = tracer(settings)
        tell_config(settings, metrics)
        catch_strays(loop, metrics)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, pipeline.stop)
        status = Status()
        beat = _Beat(status, broker, pipeline, remote, settings.batch.slots, metrics, memory)
        takers = {
            WEBHOOK: credentials.rekey,
            CLIENT_SECRET: credentials.rekey,
            BROKER: there.rekey,
        }
        rekeying = Rekeying(SecretFiles(FOLLOWED), takers, on_taken=pipeline.rekeyed)
        await _run_parts(settings, beat, rekeying)
    traced.close()
    log.info("stopped")
    if pipeline.broken:
        raise CannotStart("stopped by a bug: report it with the error in the log")


async def _run_parts(settings: Settings, beat: "_Beat", rekeying: Rekeying) -> None:
    """Run until the pipeline has drained; the broker's connections outlive it."""
    broker, pipeline = beat.broker, beat.pipeline
    beat.stamp()  # the first answer of /status is complete
    with _health_port(settings, beat) as port:
        log.info("started", extra={"port": port.port, **about(settings)})
        async with asyncio.TaskGroup() as tasks:
            connections = broker.run(accept=pipeline.accept, on_change=pipeline.wake)
            memory = beat.memory
            side = [
                tasks.create_task(connections, name="broker"),
                tasks.create_task(endless(beat.run, "beat", beat.metrics), name="beat"),
                tasks.create_task(endless(rekeying.run, "secrets", beat.metrics), name="secrets"),
            ]
            if memory is not None:
                work = endless(memory.run, "memory", beat.metrics)
                side.append(tasks.create_task(work, name="memory"))
            try:
                await pipeline.run()
                with contained(beat.metrics, "page"):
                    if memory is not None:
                        await memory.upkeep.add_page()
            finally:
                for task in side:
                    task.cancel()


@dataclass(slots=True)
class _Beat:
    """Stamps the loop's heartbeat and keeps what the health port shows up to date."""

    status: Status
    broker: Broker
    pipeline: Pipeline
    portal: Portal
    slots: int
    metrics: Metrics
    memory: Memory | None
    _upkeep: "asyncio.Task[None] | None" = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        minute, before = Minute(self.pipeline.settler.history, loop.time()), loop.time()
        while True:
            due = loop.time() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            before, passed = loop.time(), loop.time() - before
            self.metrics.loop_lag.observe(max(0.0, loop.time() - due))
            self.metrics.heartbeat.set(time.time())
            if self.pipeline.breaker.mode is Mode.PAUSED:
                self.metrics.pacer_wait.labels("paused").inc(passed)
            if self.status.paused is not None:
                self.metrics.paused_seconds.labels(self.status.paused, ALL_LANES).inc(passed)
            self.stamp()
            self._tend_memory()
            settler = self.pipeline.settler
            minute.look(
                loop.time(),
                received=self.broker.consumer.received,
                held=len(settler.held),
                oldest=settler.oldest_held(),
            )

    def _tend_memory(self) -> None:
        """Have the memory say again what may be missing, and sum itself up now and then."""
        memory = self.memory
        if memory is None:
            return
        if memory.last_written is not None:
            self.metrics.memory_written.set(memory.last_written)
        active = self.broker.consumer.active is True
        under_way = self._upkeep is not None and not self._upkeep.done()
        if not under_way and memory.upkeep.due(active=active):
            self._upkeep = asyncio.create_task(memory.upkeep.tend(active=active))

    def stamp(self) -> None:
        """Write down how the loop is."""
        breaker, status = self.pipeline.breaker, self.status
        now = asyncio.get_running_loop().time()
        status.heartbeat = time.monotonic()
        # First: they change while the rest stays as it is, and `since` is of the rest.
        status.why = told_why(breaker, self.broker.trouble)
        status.next_try_seconds = next_try(breaker, now)
        before = status.ready()
        status.broker = connection(status.broker, up=self.broker.connected)
        status.intake = "attached" if self.broker.consumer.attached else "detached"
        status.paused = str(breaker.reason) if breaker.mode is not Mode.FLOWING else None
        status.draining = self.pipeline.stopping
        status.broker_blocked = self.broker.publisher.blockage.blocked
        status.refusing = self.broker.publisher.blockage.refusing()
        closed = self.pipeline.lanes.not_open()
        status.lanes = {str(each.entity_type_id): str(each.reason) for each in closed}
        status.broken_queues = dict(self.broker.inner.broken())
        if status.ready() != before:
            status.since = time.time()
        status.overview = overview(
            status,
            self.pipeline,
            self.broker,
            limits=self.portal.overview(),
            slots=self.slots,
            now=now,
        )

    def refresh(self) -> None:
        """Bring gauges up to date before they are read; runs in the health port's thread."""
        self.metrics.held.set(len(self.pipeline.settler.held))
        self.metrics.slots_in_use.set(self.pipeline.load.in_flight)
        self.metrics.oldest_held.set(self.pipeline.settler.oldest_held())


def _health_port(settings: Settings, beat: _Beat) -> HealthPort:
    http = settings.http
    try:
        return HealthPort(
            host=http.host,
            port=http.port,
            registry=beat.metrics.registry,
            status=beat.status,
            refresh=beat.refresh,
        )
    except (OSError, UnicodeError) as error:
        raise CannotStart(cannot_listen(http.host, http.port, error)) from None


def _memory(
    settings: Settings, there: Address, pipeline: Pipeline, broker: Broker
) -> Memory | None:
    """Build the memory of all processes, and have the pipeline and the inner queues use it."""
    name = settings.rabbit.memory_name
    if not name:
        return None

    def noted(note: Note) -> None:
        if note.kind is NoteKind.SET_BACK and note.writer != memory.writer:
            pipeline.claims.set_back()
        elif note.kind is NoteKind.TRY_LANE:
            pipeline.lane_control.try_now(note.number)
        elif note.kind is NoteKind.LANE_MADE:
            broker.roster.made(note.number, note.at)
        elif note.kind is NoteKind.ACTIVE and note.writer != memory.writer:
            broker.waker.heard()

    memory = Memory(
        address=there,
        queue=name,
        owner=Owner(portal_host(settings), settings.bitrix.originator),
        remember=settings.claims.remember,
        hold=settings.rabbit.hold_seconds,
        on_note=noted,
    )
    memory.makes = settings.rabbit.topology == "declare"
    pipeline.notes.memory = memory
    broker.roster.note = memory.upkeep.lane_made
    broker.waker.tell = partial(memory.tell, NoteKind.ACTIVE)
    return memory
