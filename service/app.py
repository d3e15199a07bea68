"""Builds every object from the settings, runs them, and drains on a signal."""

import asyncio
import logging
import signal
import ssl
import time
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from service import __version__
from service.bitrix.auth import Webhook
from service.bitrix.client import Portal
from service.bitrix.throttle import BUDGETED, Throttle
from service.domain.batching import BatchPolicy
from service.domain.external_id import ExternalIds
from service.domain.limits import Limits
from service.domain.pacing import LeakyBucket, OperatingBudget
from service.domain.pausing import Mode, PausePolicy
from service.domain.retry import RetryPolicy
from service.domain.sequel import Rules
from service.health import HealthPort, Status
from service.pipeline import Pipeline
from service.rabbit.broker import Broker
from service.rabbit.decoder import Decoder
from service.rabbit.link import Address
from service.rabbit.results import Writer
from service.rabbit.topology import Topology
from service.settings.tree import Rabbit, Settings
from service.telemetry.metrics import Metrics

BEAT_SECONDS = 0.5

log = logging.getLogger(__name__)


class CannotStart(Exception):  # noqa: N818 - reads as what it says
    """Something outside keeps the service from starting; the text says what to do."""


def run(settings: Settings, metrics: Metrics) -> None:
    """Run the service until SIGTERM or SIGINT; raises CannotStart."""
    asyncio.run(_serve(settings, metrics))


def secrets(settings: Settings) -> list[str]:
    """Return every text that must never be shown."""
    found: list[str] = []
    for url in settings.rabbit.url.get_secret_value().split(","):
        password = urlsplit(url.strip()).password
        if password and password != "guest":  # noqa: S105 - the public default
            found += [password, unquote(password)]
    if settings.bitrix.webhook_url is not None:
        found.append(urlsplit(settings.bitrix.webhook_url.get_secret_value()).path.split("/")[3])
    if settings.rabbit.management_url is not None:
        found.append(urlsplit(settings.rabbit.management_url.get_secret_value()).password or "")
    return [secret for secret in found if secret]


async def _serve(settings: Settings, metrics: Metrics) -> None:
    """Start from the outside in; the way back out is the way down through the `with`s."""
    loop = asyncio.get_running_loop()
    async with _portal(settings, metrics) as portal:
        broker = _broker(settings, metrics)
        pipeline = Pipeline(
            portal=portal,
            intake=broker,
            publisher=broker.publisher,
            limits=_limits(settings),
            metrics=metrics,
            clock=loop.time,
        )
        _tell_config(settings, metrics)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, pipeline.stop)
        await _run_parts(settings, broker, pipeline, metrics)
    log.info("stopped")


async def _run_parts(
    settings: Settings, broker: Broker, pipeline: Pipeline, metrics: Metrics
) -> None:
    """Run until the pipeline has drained; the broker's connections outlive it."""
    status = Status()
    beat = _Beat(status, broker, pipeline, metrics)
    with _health_port(settings, metrics, status, beat) as port:
        log.info("started", extra={"version": __version__, "port": port.port})
        async with asyncio.TaskGroup() as tasks:
            connections = broker.run(accept=pipeline.accept, on_change=pipeline.wake)
            side = [
                tasks.create_task(connections, name="broker"),
                tasks.create_task(beat.run(), name="beat"),
            ]
            await pipeline.run()
            for task in side:
                task.cancel()


@dataclass(slots=True)
class _Beat:
    """Stamps the loop's heartbeat and keeps what the health port shows up to date."""

    status: Status
    broker: Broker
    pipeline: Pipeline
    metrics: Metrics

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            self.metrics.loop_lag.observe(max(0.0, loop.time() - due))
            self.metrics.heartbeat.set(time.time())
            self.stamp()

    def stamp(self) -> None:
        """Write down how the loop is."""
        gate, status = self.pipeline.gate, self.status
        status.heartbeat = time.monotonic()
        before = status.ready()
        status.broker = "connected" if self.broker.connected else "reconnecting"
        status.intake = "attached" if self.broker.consumer.attached else "detached"
        status.paused = str(gate.reason) if gate.mode is not Mode.FLOWING else None
        status.draining = self.pipeline.stopping
        if status.ready() != before:
            status.since = time.time()

    def refresh(self) -> None:
        """Bring gauges up to date before they are read; runs in the health port's thread."""
        self.metrics.held.set(len(self.pipeline.settler.held))
        self.metrics.oldest_held.set(self.pipeline.settler.oldest_held())


def _tell_config(settings: Settings, metrics: Metrics) -> None:
    """Show the effective settings that people ask about."""
    shown = {
        "batch_max_items": str(settings.batch.max_items),
        "window_seconds": f"{settings.batch.window_seconds:g}",
        "prefetch": str(settings.prefetch),
        "slots": str(settings.batch.slots),
    }
    metrics.config.info(shown)
    log.info("settings in force", extra=shown)


def _health_port(settings: Settings, metrics: Metrics, status: Status, beat: _Beat) -> HealthPort:
    http = settings.http
    try:
        return HealthPort(
            host=http.host,
            port=http.port,
            registry=metrics.registry,
            status=status,
            refresh=beat.refresh,
        )
    except OSError as error:
        raise CannotStart(
            f"cannot listen on {http.host}:{http.port} ({error.strerror}): "
            "set IMPORTER_HTTP__PORT to a free port"
        ) from None


def _webhook(settings: Settings) -> Webhook:
    url = settings.bitrix.webhook_url
    if url is None:
        raise CannotStart("IMPORTER_BITRIX__WEBHOOK_URL is missing")
    return Webhook(url.get_secret_value())


def _portal(settings: Settings, metrics: Metrics) -> Portal:
    bitrix = settings.bitrix
    # One less than the portal holds: two calls may arrive closer together than they left.
    bucket = LeakyBucket(rate=bitrix.requests_per_second, burst=max(1.0, bitrix.burst - 1.0))
    budgets = {
        method: OperatingBudget(bitrix.operating_limit_seconds, bitrix.operating_window_seconds)
        for method in BUDGETED
    }
    return Portal(
        _webhook(settings),
        throttle=Throttle(bucket=bucket, budgets=budgets, metrics=metrics),
        metrics=metrics,
        timeout=bitrix.timeout_seconds,
        slots=settings.batch.slots,
    )


def _broker(settings: Settings, metrics: Metrics) -> Broker:
    rabbit, bitrix = settings.rabbit, settings.bitrix
    external_ids = ExternalIds(bitrix.originator, bitrix.external_id_fields)
    names = topology(rabbit)
    return Broker(
        address=Address(
            urls=[url.strip() for url in rabbit.url.get_secret_value().split(",")],
            heartbeat=rabbit.heartbeat_seconds,
            tls=_tls(rabbit),
        ),
        topology=names,
        decoder=Decoder(external_ids=external_ids, max_bytes=rabbit.max_message_bytes),
        writer=Writer(names, portal_host=_webhook(settings).host),
        early=settings.prefetch,
        metrics=metrics,
    )


def topology(rabbit: Rabbit) -> Topology:
    """Return the exchanges and queues that the settings name."""
    return Topology(
        intake_exchange=rabbit.intake_exchange,
        intake_queue=rabbit.intake_queue,
        results_exchange=rabbit.results_exchange,
        succeeded_queue=rabbit.succeeded_queue,
        failed_queue=rabbit.failed_queue,
        dead_letter_exchange=rabbit.dead_letter_exchange,
        dead_letter_queue=rabbit.dead_letter_queue,
        delivery_limit=rabbit.delivery_limit,
        declare=rabbit.topology == "declare",
    )


def _tls(rabbit: Rabbit) -> ssl.SSLContext | None:
    if not rabbit.url.get_secret_value().startswith("amqps"):
        return None
    try:
        context = ssl.create_default_context(cafile=rabbit.ca_file)
        if rabbit.cert_file is not None:
            context.load_cert_chain(rabbit.cert_file, rabbit.key_file)
    except (OSError, ssl.SSLError) as error:
        raise CannotStart(f"the broker's certificates cannot be used: {error}") from None
    return context


def _limits(settings: Settings) -> Limits:
    batch, retry, pause = settings.batch, settings.retry, settings.pause
    return Limits(
        batch=BatchPolicy(batch.max_items, batch.window_seconds, batch.max_bytes),
        pause=PausePolicy(
            after=pause.after_seconds,
            probe=pause.probe_seconds,
            probe_cap=pause.probe_cap_seconds,
            brake_share=settings.brake.share,
            brake_items=settings.brake.items,
        ),
        rules=Rules(
            retry=RetryPolicy(retry.base_seconds, retry.cap_seconds, retry.max_attempts),
            settle=settings.bitrix.settle_seconds,
            recheck=settings.bitrix.recheck_seconds,
            resend=settings.ambiguous == "resend",
        ),
        slots=batch.slots,
        prefetch=settings.prefetch,
        hold=settings.rabbit.hold_seconds,
        remember=settings.claims.remember,
        deadline=settings.shutdown.deadline_seconds,
        call=settings.bitrix.timeout_seconds,
        ask=settings.lookup,
    )
