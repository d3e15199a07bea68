"""Proves the traces: from the producer's context to the collector, without a secret."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.broker import Broker
from tests.support.environment import Environment, deals
from tests.support.ports import free_port

TRACE = "0af7651916cd43dd8448eb211c80319c"
CONTEXT = f"00-{TRACE}-b7ad6b7169203331-01"


class Collector:
    """Takes what exporters send (OTLP over HTTP)."""

    def __init__(self) -> None:
        bodies = self._bodies = list[bytes]()

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's
                """Write nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def raw(self) -> bytes:
        """Return every byte that came."""
        return b"".join(self._bodies)

    def spans(self) -> Iterator[Any]:
        """Yield every span that came."""
        for body in self._bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    yield from scope.spans


async def test_an_events_way_is_traced(broker: Broker, vhost: str) -> None:
    """Receipt in the producer's trace, the batch linked to it, call and settling below it."""
    with Collector() as collector:
        async with Environment(broker, vhost) as environment:
            service = await environment.start_service(TRACING__ENDPOINT=collector.url)
            await environment.publish(deals("a", "b"), headers={"traceparent": CONTEXT})
            await environment.settle(["a", "b"])
            service.terminate()
            assert 0 == service.wait()
            assert {CONTEXT} == {each["traceparent"] for each in environment.books.succeeded}
        spans = list(collector.spans())
        named = {span.name: span for span in spans}
        assert {"receive item event", "process batch", "settle batch"} < set(named)
        assert TRACE == named["receive item event"].trace_id.hex()
        batch = named["process batch"]
        assert {TRACE} == {link.trace_id.hex() for link in batch.links}
        assert batch.span_id == named["crm.item.batchImport"].parent_span_id
        assert batch.span_id == named["settle batch"].parent_span_id
        assert b"sandbox-secret" not in collector.raw()


@pytest.mark.parametrize("share", ["0", "1"])
async def test_a_collector_that_is_away_costs_nothing(
    broker: Broker, vhost: str, share: str
) -> None:
    """Events flow, and the stop is clean and soon."""
    async with Environment(broker, vhost) as environment:
        away = f"http://127.0.0.1:{free_port()}/v1/traces"
        service = await environment.start_service(TRACING__ENDPOINT=away, TRACING__SHARE=share)
        await environment.publish(deals("a"))
        await environment.settle(["a"])
        service.terminate()
        assert 0 == service.wait(timeout=15)
