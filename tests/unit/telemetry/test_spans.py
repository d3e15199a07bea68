"""Spans: what is traced of an event's way, under which parent, and what never is."""

import dataclasses

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from service.domain.events import ItemEvent, Origin
from service.domain.outcomes import CallFailed, CallKind
from service.telemetry.spans import Spans
from tests.fakes import item_event, malformed
from tests.unit.domain.samples import fault

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Traced:
    """Spans that are kept in memory."""

    def __init__(self, share: float = 1.0) -> None:
        self._kept = InMemorySpanExporter()
        processor = SimpleSpanProcessor(self._kept)
        self.spans = Spans(processor, queue="crm.items.import", portal="p.example", share=share)

    def ended(self) -> dict[str, ReadableSpan]:
        """Return the ended spans by name."""
        return {span.name: span for span in self._kept.get_finished_spans()}


def event(name: str = "a", *, traced: bool = True) -> ItemEvent:
    """Return an event whose producer has traced it."""
    context = {"traceparent": f"00-{TRACE}-{PARENT}-01"} if traced else {}
    return dataclasses.replace(item_event(name), origin=Origin(trace=context))


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Return the trace a span belongs to, and its parent."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{span.parent.span_id:016x}" if span.parent else ""


def test_receipt_is_a_child_of_what_the_producer_traced() -> None:
    """The producer's trace goes on here."""
    traced = Traced()
    traced.spans.received(event("order-1"))
    span = traced.ended()["receive item event"]
    assert ((TRACE, PARENT), SpanKind.CONSUMER) == (ids(span), span.kind)
    assert "order-1" == (span.attributes or {})["messaging.message.id"]


def test_message_without_a_trace_begins_one() -> None:
    """So does a malformed one."""
    traced = Traced()
    traced.spans.received(event(traced=False))
    traced.spans.received(malformed("broken"))
    assert "" == ids(traced.ended()["receive item event"])[1]


def test_batch_is_linked_to_its_messages_and_holds_its_calls() -> None:
    """Messages of several producers cannot have one parent: they are linked."""
    traced = Traced()
    with traced.spans.batch([event("a"), event("b"), event("c", traced=False)]):
        with traced.spans.call("crm.item.batchImport"):
            pass
        with traced.spans.settle(3):
            pass
    ended = traced.ended()
    batch = ended["process batch"]
    context = batch.get_span_context()
    assert context is not None
    below = (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert [below, below] == [ids(ended["crm.item.batchImport"]), ids(ended["settle batch"])]
    assert [TRACE, TRACE] == [f"{link.context.trace_id:032x}" for link in batch.links]
    assert 3 == (batch.attributes or {})["messaging.batch.message_count"]


def test_failed_call_says_what_kind_of_failure_it_was() -> None:
    """The kind is from a closed list; the portal's own words stay out."""
    traced = Traced()
    failed = CallFailed(fault(CallKind.THROTTLED, "QUERY_LIMIT_EXCEEDED", 503))
    with pytest.raises(CallFailed), traced.spans.call("crm.item.batchImport"):
        raise failed
    span = traced.ended()["crm.item.batchImport"]
    attributes = span.attributes or {}
    assert (StatusCode.ERROR, "throttled", 503) == (
        span.status.status_code,
        attributes["error.type"],
        attributes["http.response.status_code"],
    )
    assert ([], None) == (list(span.events), span.status.description)


def test_only_the_asked_share_of_traces_is_kept() -> None:
    """None of those begun here, but all that a producer has decided to keep."""
    traced = Traced(share=0.0)
    traced.spans.received(event("ours", traced=False))
    assert {} == traced.ended()
    traced.spans.received(event("theirs"))
    assert ["receive item event"] == list(traced.ended())
