"""Health port: codes and bodies over a real socket on loopback."""

import errno
import json
import os
import resource
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from service import health
from service.health import MAX_OPEN, STALE_SECONDS, HealthPort, Status, cannot_listen, listening
from service.telemetry.metrics import Metrics

UP = Status(broker="connected", intake="attached")

TROUBLE = ("broker_blocked", "refusing")


@dataclass
class Client:
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

    def say(self, request: bytes) -> bytes:
        """Send bytes over a connection of its own and return all that is answered."""
        with socket.create_connection(("127.0.0.1", self.port.port), timeout=5) as connection:
            connection.sendall(request)
            answer = b""
            while part := connection.recv(65_536):
                answer += part
            return answer

    def ask(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return code and JSON body."""
        code, _, body = self.get(path)
        content: dict[str, Any] = json.loads(body)
        return code, content


@pytest.fixture
def client() -> Iterator[Client]:
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
        yield Client(port, status, metrics, refreshed)


def test_live_while_the_heartbeat_is_fresh(client: Client) -> None:
    """Depend on nothing else: not on the broker, not on the portal."""
    code, body = client.ask("/livez")
    assert (200, True) == (code, body["alive"])


def test_not_live_when_the_heartbeat_is_old(client: Client) -> None:
    """Say how old it is."""
    client.status.heartbeat = time.monotonic() - STALE_SECONDS - 1
    code, body = client.ask("/livez")
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


def test_readiness_says_why(client: Client) -> None:
    """Name broker, intake, pause and drain."""
    client.status.broker, client.status.paused = "connected", "plan"
    code, body = client.ask("/readyz")
    assert (200, "connected", "detached", "plan", False) == (
        code,
        body["broker"],
        body["intake"],
        body["paused"],
        body["draining"],
    )
    client.status.why, client.status.next_try_seconds = "the plan has ended: renew it", 12.5
    told = client.ask("/readyz")[1]
    assert ("the plan has ended: renew it", 12.5) == (told["why"], told["next_try_seconds"])
    client.status.draining = True
    assert 503 == client.ask("/readyz")[0]


def test_readiness_names_what_keeps_results_from_the_broker(client: Client) -> None:
    """It stays ready: a restart would not help."""
    client.status.broker, client.status.intake = "connected", "attached"
    assert (False, {}) == tuple(client.ask("/readyz")[1][each] for each in TROUBLE)
    client.status.broker_blocked = True
    client.status.refusing = {"crm.items.failed": "full"}
    code, body = client.ask("/readyz")
    assert (200, True, {"crm.items.failed": "full"}) == (code, *(body[each] for each in TROUBLE))


def test_metrics_are_brought_up_to_date_when_read(client: Client) -> None:
    """Answer in the text format."""
    code, kind, body = client.get("/metrics")
    assert (200, [1]) == (code, client.refreshed)
    assert kind.startswith("text/plain")
    assert "importer_held_messages" in body


def test_metrics_speak_openmetrics_on_demand(client: Client) -> None:
    """Follow the Accept header."""
    _, kind, body = client.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics/", "/livez/x"])
def test_other_paths_are_not_found(client: Client, path: str) -> None:
    """Say which there are."""
    code, _, body = client.get(path)
    assert 404 == code
    assert "/livez" in body


def test_query_is_ignored(client: Client) -> None:
    """Answer probes that add one."""
    assert 200 == client.get("/livez?verbose=1")[0]


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=a.b.c",
        "application/openmetrics-text; version==1;escaping",
        ",,,;q=\xff",
        ";;;",
    ],
)
def test_metrics_are_shown_whatever_is_accepted(
    client: Client, accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be read of it is no reason to show nothing, or to tell of a bug."""
    code, kind, body = client.get("/metrics", Accept=accept)
    assert (200, "text/plain") == (code, kind.split(";")[0])
    assert "importer_" in body
    assert [] == caplog.records


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


# ---- other clients than probes ----


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/status", "/nothing"])
def test_head_is_get_without_the_body(client: Client, path: str) -> None:
    """The same code and the same headers, on every path."""
    told = {}
    for method in ("HEAD", "GET"):
        answer = client.say(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        told[method] = answer.partition(b"\r\n\r\n")
    assert b"" == told["HEAD"][2] != told["GET"][2]
    if path == "/metrics":  # the number of bytes moves
        assert told["HEAD"][0].startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain")
    else:
        assert told["GET"][0] == told["HEAD"][0]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (
            b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000,
            405,
        ),
        (b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (
            b"PUT /livez HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            405,
        ),
        (b"GET http://elsewhere/livez HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405),
        (b"GET /livez\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", 400),
        (b"GET /" + b"x" * 20_000, 431),
        (b"GET /" + bytes(range(128, 256)) + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\x1b[2J HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ],
)
def test_odd_requests_get_a_code(client: Client, request_: bytes, code: int) -> None:
    """One answer each, then the connection ends; the port lives on."""
    answer = client.say(request_)
    assert answer.startswith(f"HTTP/1.1 {code} ".encode()), answer[:200]
    assert 1 == answer.count(b"HTTP/1.1 ")
    assert 200 == client.get("/livez")[0]


def test_slow_and_idle_connections_take_no_place_from_probes(client: Client) -> None:
    """One more than there is room for ends the oldest; no thread is started for any."""
    before = threading.active_count()
    with ExitStack() as stack:
        flood = []
        for number in range(5 * MAX_OPEN):
            each = stack.enter_context(socket.create_connection(("127.0.0.1", client.port.port)))
            flood.append(each)
            each.sendall(b"GET /li" if number % 2 else b"")
            if number % 20 == 0:
                assert 200 == client.get("/livez")[0]
        assert before == threading.active_count()
        flood[0].settimeout(5)
        with suppress(ConnectionError):
            assert b"" == flood[0].recv(1), "the oldest should have been ended"
        assert 200 == client.get("/metrics")[0]


def test_a_connection_that_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one whose client never reads the answer to its end, or never closes."""
    monkeypatch.setattr(health, "MAX_SECONDS", 0.3)
    metrics = Metrics()
    port = HealthPort(
        host="127.0.0.1", port=0, registry=metrics.registry, status=Status(), refresh=_nothing
    )
    with (
        port,
        socket.create_connection(("127.0.0.1", port.port), timeout=5) as idle,
        suppress(ConnectionError),
    ):
        assert b"" == idle.recv(1)


def test_no_descriptor_left_is_no_traceback(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again until there is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as waiting:
        waiting.settimeout(10)
        with socket.socket() as highest:
            least = highest.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
        try:
            waiting.connect(("127.0.0.1", client.port.port))
            waiting.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            time.sleep(0.2)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert waiting.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert [] == caplog.records


@pytest.mark.error_logs
def test_a_bug_is_one_answer_and_one_log_record(caplog: pytest.LogCaptureFixture) -> None:
    """The next request is answered."""

    def fail() -> None:
        raise KeyError("bug")

    metrics = Metrics()
    port = HealthPort(
        host="127.0.0.1", port=0, registry=metrics.registry, status=Status(), refresh=fail
    )
    with port:
        client = Client(port, Status(), metrics)
        assert 500 == client.get("/metrics")[0]
        assert 200 == client.get("/livez")[0]
    [record] = caplog.records
    assert record.exc_info


# ---- where it listens ----


@pytest.mark.parametrize(
    ("host", "clients"),
    [
        ("::1", ["::1"]),
        ("::", ["::1", "127.0.0.1"]),
        ("::ffff:127.0.0.1", ["127.0.0.1"]),
        ("0.0.0.0", ["127.0.0.1"]),  # noqa: S104 - as in a pod
        ("localhost", ["localhost"]),
    ],
)
def test_it_listens_on_either_family(host: str, clients: list[str]) -> None:
    """IPv4, IPv6, and both with `::`."""
    metrics = Metrics()
    port = HealthPort(
        host=host, port=0, registry=metrics.registry, status=Status(), refresh=_nothing
    )
    with port:
        for client in clients:
            with socket.create_connection((client, port.port), timeout=5) as connection:
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("host", "remedy"),
    [
        ("no-such-host.invalid", "set IMPORTER_HTTP__HOST to an address of this machine"),
        ("192.0.2.1", "set IMPORTER_HTTP__HOST to an address of this machine"),
        ("2001:db8::1", "set IMPORTER_HTTP__HOST to an address of this machine"),
        ("a" * 64, "set IMPORTER_HTTP__HOST to an address of this machine"),
    ],
)
def test_a_wrong_host_gets_a_remedy_about_the_host(host: str, remedy: str) -> None:
    """Nobody looks for a free port in vain."""
    with pytest.raises((OSError, UnicodeError)) as caught:
        listening(host, 0).close()
    assert remedy in cannot_listen(host, 8080, caught.value)


@pytest.mark.parametrize("number", [errno.EADDRINUSE, errno.EACCES])
def test_a_taken_port_gets_a_remedy_about_the_port(number: int) -> None:
    """Taken by another process, or reserved for root; an IPv6 address stands in brackets."""
    told = cannot_listen("::", 80, OSError(number, "words (of the library)"))
    why = os.strerror(number)
    assert f"cannot listen on [::]:80 ({why}): set IMPORTER_HTTP__PORT to a free port" == told


def _nothing() -> None:
    """Bring nothing up to date."""
