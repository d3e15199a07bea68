"""Serves /metrics, /livez and /readyz from a thread outside the loop they judge."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

STALE_SECONDS = 30.0
"""A loop that has not run for so long hangs (`operations.md` §4.6)."""


@dataclass(slots=True)
class Status:
    """What the loop last said about itself; written by the loop, read by the port's thread."""

    heartbeat: float = field(default_factory=time.monotonic)
    broker: str = "connecting"
    intake: str = "detached"
    paused: str | None = None
    draining: bool = False
    since: float = field(default_factory=time.time)

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether the loop runs, with the reason."""
        age = time.monotonic() - self.heartbeat
        return age < STALE_SECONDS, {
            "alive": age < STALE_SECONDS,
            "heartbeat_age_seconds": round(age, 1),
        }

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether messages flow or could, with the reason.

        A deliberate pause is ready: a restart would not help.
        """
        connected = self.broker == "connected"
        ready = connected and not self.draining
        ready = ready and (self.intake == "attached" or self.paused is not None)
        return ready, {
            "ready": ready,
            "broker": self.broker,
            "intake": self.intake,
            "paused": self.paused,
            "draining": self.draining,
            "since": datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds"),
        }


class HealthPort:
    """The HTTP port, for the time of a `with`; answers also while the loop hangs or drains."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        registry: CollectorRegistry,
        status: Status,
        refresh: Callable[[], None],
    ) -> None:
        """Listen at once; `refresh` is called before metrics are read."""
        handler = _handler(registry, status, refresh)
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health port", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that was opened."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(
    registry: CollectorRegistry, status: Status, refresh: Callable[[], None]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers one request."""

        timeout = 10
        server_version = "crm-importer"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == "/metrics":
                refresh()
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(registry))
            elif path in {"/livez", "/readyz"}:
                good, body = status.alive() if path == "/livez" else status.ready()
                self._answer(200 if good else 503, "application/json", json.dumps(body).encode())
            else:
                self._answer(404, "text/plain", b"try /metrics, /livez or /readyz\n")

        def _answer(self, code: int, content_type: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's
            """Write nothing: probes would fill the log."""

    return Handler
