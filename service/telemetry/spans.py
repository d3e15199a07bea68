"""Turns what is traced into OpenTelemetry spans, and sends them to a collector by OTLP/HTTP."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Link, SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from service import __version__
from service.domain.events import ItemEvent, Malformed
from service.domain.outcomes import CallFailed

CLOSE_SECONDS = 3.0
SEND_SECONDS = 5.0
LONGEST = 255
"""Characters of an attribute: an event id may be as long as a message."""
_CONTEXT = TraceContextTextMapPropagator()


def exporting(endpoint: str) -> SpanProcessor:
    """Return what sends spans to a collector; a collector that is away costs nothing but them."""
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=SEND_SECONDS)
    return BatchSpanProcessor(exporter, max_queue_size=2048, export_timeout_millis=5000)


class Spans:
    """Traces with OpenTelemetry (semantic conventions for messaging, and for HTTP clients).

    The address of a call is never an attribute: a webhook's address is its credential.
    """

    def __init__(
        self, processor: SpanProcessor, *, queue: str, portal: str, share: float = 1.0
    ) -> None:
        """Hand ended spans to a processor.

        `queue` is the intake queue, `portal` the portal's host; `share`: how many of the traces
        that begin here are kept, 0..1.
        """
        self._portal = portal
        about = {"service.name": "crm-importer", "service.version": __version__}
        self._provider = TracerProvider(
            resource=Resource.create(about),
            sampler=ParentBasedTraceIdRatio(share),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_span_attribute_length=LONGEST),
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("crm-importer", __version__)
        self._messaging = {"messaging.system": "rabbitmq", "messaging.destination.name": queue}

    def received(self, event: ItemEvent | Malformed) -> None:
        """Note that a message came in, as a child of what its producer traced."""
        attributes: dict[str, AttributeValue] = {
            **self._messaging,
            "messaging.operation.type": "receive",
            "messaging.message.id": event.event_id,
        }
        if event.entity_type_id is not None:
            attributes["crm.entity_type_id"] = event.entity_type_id
        span = self._tracer.start_span(
            "receive item event",
            context=_context(event),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
        )
        span.end()

    @contextmanager
    def batch(self, events: Sequence[ItemEvent]) -> Iterator[None]:
        """Trace the work on events of one type, linked to their messages."""
        producers = [get_current_span(_context(event)).get_span_context() for event in events]
        attributes: dict[str, AttributeValue] = {
            **self._messaging,
            "messaging.operation.type": "process",
            "messaging.batch.message_count": len(events),
            "crm.entity_type_id": events[0].entity_type_id,
        }
        with self._tracer.start_as_current_span(
            "process batch",
            context=Context(),
            kind=SpanKind.CONSUMER,
            links=[Link(producer) for producer in producers if producer.is_valid],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ):
            yield

    @contextmanager
    def call(self, method: str) -> Iterator[None]:
        """Trace one call of the portal, below the batch it is made for."""
        attributes: Mapping[str, AttributeValue] = {
            "http.request.method": "POST",
            "server.address": self._portal,
            "url.template": method,
        }
        with self._tracer.start_as_current_span(
            method,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except CallFailed as failed:
                span.set_status(StatusCode.ERROR)
                span.set_attribute("error.type", str(failed.fault.kind))
                if failed.fault.http_status is not None:
                    span.set_attribute("http.response.status_code", failed.fault.http_status)
                raise

    @contextmanager
    def settle(self, count: int) -> Iterator[None]:
        """Trace the publishing of outcomes, below their batch."""
        attributes: dict[str, AttributeValue] = {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "send",
            "messaging.batch.message_count": count,
        }
        with self._tracer.start_as_current_span(
            "settle batch",
            kind=SpanKind.PRODUCER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ):
            yield

    def close(self) -> None:
        """Send what is left, for a short time; a collector that is away holds up no stop."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def _context(event: ItemEvent | Malformed) -> Context:
    """Return what the producer of a message traced; an empty context where it traced nothing."""
    return _CONTEXT.extract(event.origin.trace, Context())
