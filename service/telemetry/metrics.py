"""Holds every metric of `catalogue` on a registry of its own."""

import platform
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from service import __version__
from service.domain.parking import DOUBT, LINK
from service.telemetry.catalogue import ALL
from service.telemetry.declared import Declared
from service.telemetry.labels import (
    KNOWN_CODES,
    KNOWN_TYPES,
    MAX_LANES,
    MAX_TYPES,
    OTHER,
    PHASES,
    WAITS,
)
from service.telemetry.memory import memory_limit
from service.telemetry.revision import revision

PREFIX = "importer_"
_DECLARED = {each.name: each for each in ALL}

M = TypeVar("M", Counter, Gauge, Histogram)


class Metrics:
    """Every metric of the service; all known label sets start at 0."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Declare the metrics on a registry (a new one by default)."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library
        self.registry = registry or CollectorRegistry()
        self._types = set(KNOWN_TYPES)
        self._lanes: set[int] = set()
        for collector in (ProcessCollector, GCCollector):
            collector(registry=self.registry)
        self._declare_flow()
        self._declare_portal()
        self._declare_rest()
        self.config = Info(PREFIX + "config", "effective settings", registry=self.registry)
        self.build = Info(PREFIX + "build", "what runs", registry=self.registry)
        self.build.info(
            {
                "version": __version__,
                "revision": revision(),
                "python": platform.python_version(),
            }
        )

    def _declare_flow(self) -> None:
        self.received = self._counter("messages_received_total")
        self.items = self._counter("items_total")
        self.item_errors = self._counter("item_errors_total")
        self.batches = self._counter("batches_total")
        self.batch_size = self._histogram("batch_size")
        self.batch_fill = self._histogram("batch_fill_seconds")
        spent = self._counter("loop_seconds_total")
        self.spent = {phase: spent.labels(phase) for phase in PHASES}
        self.latency = self._histogram("end_to_end_latency_seconds")
        self.event_age = self._histogram("event_age_seconds")
        self.without_id = self._counter("events_without_id_total")
        self.field_complaints = self._counter("field_complaints_total")
        self.returned = self._counter("messages_returned_total")
        self.lost = self._counter("messages_lost_with_session_total")
        self.held = self._gauge("held_messages")
        self.oldest_held = self._gauge("oldest_held_seconds")
        self.hold_limit = self._gauge("hold_limit_seconds")
        self.batch_max_items = self._gauge("batch_max_items")
        self.slots_in_use = self._gauge("slots_in_use")
        self.joined = self._counter("duplicates_joined_total")

    def _declare_portal(self) -> None:
        self.requests = self._counter("requests_total")
        self.request_duration = self._histogram("request_duration_seconds")
        self.pacer_wait = self._counter("pacer_wait_seconds_total")
        self.operating = self._gauge("operating_seconds")
        self.operating_limit = self._gauge("operating_limit_seconds")
        self.operating_reset = self._gauge("operating_reset_timestamp_seconds")
        self.bucket_level = self._gauge("request_bucket_level")
        self.rate_share = self._gauge("request_rate_share")
        self.item_cost = self._gauge("item_cost_seconds")
        self.paused = self._gauge("paused")
        self.paused_seconds = self._counter("paused_seconds_total")
        self.lane_closed = self._gauge("lane_closed")
        self.parked_messages = self._gauge("parked_messages")
        self.oldest_parked = self._gauge("oldest_parked_seconds")
        self.parked_total = self._counter("messages_parked_total")
        self.unparked_total = self._counter("messages_unparked_total")
        self.ambiguous = self._counter("ambiguous_batches_total")
        self.reconciled = self._counter("reconciled_items_total")
        self.memory_written = self._gauge("memory_written_timestamp_seconds")
        self.portal_set_back = self._counter("portal_set_back_total")
        self.links_waiting = self._gauge("links_waiting")
        self.links = self._counter("links_total")
        self.isolations = self._counter("isolation_requests_total")

    def _declare_rest(self) -> None:
        self.published = self._counter("published_total")
        self.confirm_seconds = self._histogram("publish_confirm_seconds")
        self.dead_letters = self._counter("dead_letters_total")
        self.connected = self._gauge("broker_connected")
        self.broker_blocked = self._gauge("broker_blocked")
        self.certificate_expiry = self._gauge("certificate_expiry_timestamp_seconds")
        self.consumer_alive = self._gauge("consumer_alive")
        self.consumer_active = self._gauge("consumer_active")
        self.consumer_restarts = self._counter("consumer_restarts_total")
        self.stale_acks = self._counter("stale_acks_total")
        self.last_delivery = self._gauge("last_delivery_timestamp_seconds")
        self.last_success = self._gauge("last_success_timestamp_seconds")
        self.heartbeat = self._gauge("loop_heartbeat_timestamp_seconds")
        self.loop_lag = self._histogram("loop_lag_seconds")
        self.log_lines = self._counter("log_lines_total")
        self.unexpected = self._counter("unexpected_errors_total")
        self.drain_seconds = self._gauge("shutdown_seconds")
        self.returned_on_drain = self._counter("returned_on_drain_total")
        self._gauge("memory_limit_bytes").set(memory_limit())

    def batch_left(self, closed_by: str, items: int, filled: float, waited: float) -> None:
        """Count a batch that left for the first time.

        `filled`: seconds since it was opened; `waited`: since it was due.
        """
        self.spent["wait_slot"].inc(max(0.0, waited))
        self.batches.labels(closed_by).inc()
        self.batch_size.observe(items)
        self.batch_fill.labels(closed_by).observe(filled)

    def earn(self, entity_type_id: int | None) -> None:
        """Give an entity type a label value of its own, as long as there are some left."""
        if entity_type_id is not None and len(self._types) < MAX_TYPES:
            self._types.add(str(entity_type_id))

    def note_expiry(self, which: str, end: float) -> None:
        """Show when a certificate ends, in seconds of the epoch."""
        self.certificate_expiry.labels(which).set(end)

    def entity_type(self, entity_type_id: int | None) -> str:
        """Return the label value for an entity type: its own only if it has earned one."""
        label = str(entity_type_id)
        return label if label in self._types else OTHER

    def lane(self, entity_type_id: int | None) -> str:
        """Return the label value for a lane: its number, for the first fifty."""
        if entity_type_id is None:
            return OTHER
        if len(self._lanes) < MAX_LANES:
            self._lanes.add(entity_type_id)
        return str(entity_type_id) if entity_type_id in self._lanes else OTHER

    def waits(self, entity_type_id: int | None, reason: str) -> tuple[str, str]:
        """Return the label values for an event that waits elsewhere, and for what it waits.

        Only what waits for its lane may take one of the lanes' values: others wait in any number
        of types that nobody has.
        """
        known = reason if reason in WAITS else OTHER
        if known in {DOUBT, LINK, OTHER} and entity_type_id not in self._lanes:
            return self.entity_type(entity_type_id), known
        return self.lane(entity_type_id), known

    @staticmethod
    def code(code: str) -> str:
        """Return the label value for an error code; unknown ones are `other`."""
        return code.upper() if code.upper() in KNOWN_CODES else OTHER

    def _counter(self, name: str) -> Counter:
        declared = _DECLARED[name]
        labels = tuple(declared.labels)
        metric = Counter(PREFIX + name, declared.meaning, labels, registry=self.registry)
        return _started(metric, declared)

    def _gauge(self, name: str) -> Gauge:
        declared = _DECLARED[name]
        labels = tuple(declared.labels)
        metric = Gauge(PREFIX + name, declared.meaning, labels, registry=self.registry)
        return _started(metric, declared)

    def _histogram(self, name: str) -> Histogram:
        declared = _DECLARED[name]
        metric = Histogram(
            PREFIX + name,
            declared.meaning,
            tuple(declared.labels),
            registry=self.registry,
            buckets=declared.buckets,
        )
        return _started(metric, declared)


def _started(metric: M, declared: Declared) -> M:
    """Start every known label set at 0."""
    for values in declared.starts():
        if values:
            metric.labels(*values)
    return metric
