"""Health port: codes and bodies over a real socket on loopback."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.health import STALE_SECONDS, HealthPort, Status
from service.telemetry.metrics import Metrics

UP = Status(broker="connected", intake="attached")


@dataclass
class Door:
    """An open health port and what it shows."""

    port: HealthPort
    status: Status
    metrics: Metrics
    refreshed: list[int] = field(default_factory=list)

    def get(self, path: str, **headers: str) -> tuple[int, str, str]:
        """Return code, content type and body."""
        address = f"http://127.0.0.1:{self.port.port}{path}"
        request = urllib.request.Request(address, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    def ask(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return code and JSON body."""
        code, _, body = self.get(path)
        content: dict[str, Any] = json.loads(body)
        return code, content


@pytest.fixture
def door() -> Iterator[Door]:
    """Open a port of its own."""
    status, metrics = Status(), Metrics()
    refreshed: list[int] = []
    port = HealthPort(
        host="127.0.0.1",
        port=0,
        registry=metrics.registry,
        status=status,
        refresh=lambda: refreshed.append(1),
    )
    with port:
        yield Door(port, status, metrics, refreshed)


def test_live_while_the_heartbeat_is_fresh(door: Door) -> None:
    """Depend on nothing else: not on the broker, not on the portal."""
    code, body = door.ask("/livez")
    assert (200, True) == (code, body["alive"])


def test_not_live_when_the_heartbeat_is_old(door: Door) -> None:
    """Say how old it is."""
    door.status.heartbeat = time.monotonic() - STALE_SECONDS - 1
    code, body = door.ask("/livez")
    assert (503, False) == (code, body["alive"])
    assert STALE_SECONDS <= body["heartbeat_age_seconds"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status(), 503),
        (Status(broker="reconnecting", intake="attached"), 503),
        (Status(broker="connected", intake="detached"), 503),
        (UP, 200),
        (Status(broker="connected", intake="detached", paused="credentials"), 200),
        (Status(broker="reconnecting", paused="credentials"), 503),
        (Status(broker="connected", intake="attached", draining=True), 503),
    ],
)
def test_ready_when_attached_or_deliberately_paused(status: Status, expected: int) -> None:
    """Be ready where a restart would not help."""
    ready, body = status.ready()
    assert (expected == 200, expected == 200) == (ready, body["ready"])


def test_readiness_says_why(door: Door) -> None:
    """Name broker, intake, pause and drain."""
    door.status.broker, door.status.paused = "connected", "plan"
    code, body = door.ask("/readyz")
    assert (200, "connected", "detached", "plan", False) == (
        code,
        body["broker"],
        body["intake"],
        body["paused"],
        body["draining"],
    )
    door.status.draining = True
    assert 503 == door.ask("/readyz")[0]


def test_metrics_are_brought_up_to_date_when_read(door: Door) -> None:
    """Answer in the text format."""
    code, kind, body = door.get("/metrics")
    assert (200, [1]) == (code, door.refreshed)
    assert kind.startswith("text/plain")
    assert "importer_held_messages" in body


def test_metrics_speak_openmetrics_on_demand(door: Door) -> None:
    """Follow the Accept header."""
    _, kind, body = door.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics/", "/livez/x"])
def test_other_paths_are_not_found(door: Door, path: str) -> None:
    """Say which there are."""
    code, _, body = door.get(path)
    assert 404 == code
    assert "/livez" in body


def test_query_is_ignored(door: Door) -> None:
    """Answer probes that add one."""
    assert 200 == door.get("/livez?verbose=1")[0]


def test_port_is_free_again_afterwards() -> None:
    """Close what was opened."""
    metrics = Metrics()

    def open_port(number: int) -> HealthPort:
        return HealthPort(
            host="127.0.0.1",
            port=number,
            registry=metrics.registry,
            status=Status(),
            refresh=lambda: None,
        )

    with open_port(0) as first:
        number = first.port
        with pytest.raises(OSError, match="in use"):
            open_port(number)
    with open_port(number) as second:
        assert number == second.port
