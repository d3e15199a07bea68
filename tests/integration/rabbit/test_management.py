"""The management API over real sockets: what is no answer of one, and what cannot be reached."""

import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from service.rabbit import management
from service.rabbit.management import MAX_BYTES, Management, ManagementFailed
from service.rabbit.topology import Topology
from tests.support.ports import free_port

TOPOLOGY = Topology("in", "in.q", "results", "s.q", "f.q", "dlx", "dlq", 1000)


@contextmanager
def serving(content: bytes) -> Iterator[int]:
    """Answer everything with the same content, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            """Answer also what is no HTTP, as the broker's own server does."""
            if self.rfile.peek(1)[:1] == b"\x16":  # type: ignore[attr-defined]
                self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            with suppress(ConnectionError):
                super().handle()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def failure(url: str) -> ManagementFailed:
    """Return why nothing can be asked."""
    with pytest.raises(ManagementFailed) as failed, Management(url) as management:
        management.get("overview")
    assert "very-secret" not in f"{failed.value}{failed.value.remedy}"
    return failed.value


def test_an_answer_with_a_byte_order_mark_is_read() -> None:
    """Gateways add them."""
    with serving(b'\xef\xbb\xbf{"a": 1}') as port, Management(f"http://127.0.0.1:{port}") as asked:
        assert asked.get("overview") == {"a": 1}


def test_an_answer_that_is_too_large_costs_no_memory() -> None:
    """Nothing is read beyond 8 MB."""
    with serving(b"[" + b"0," * 20_000_000 + b"0]") as port:
        tracemalloc.start()
        reason = failure(f"http://u:very-secret@127.0.0.1:{port}/")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert "larger than 8 MB" in str(reason)
    assert peak < 3 * MAX_BYTES


@pytest.mark.parametrize("content", [b"<html>", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_named(content: bytes) -> None:
    """Pages, nesting without end, other encodings."""
    with serving(content) as port:
        assert "is the port right" in str(failure(f"http://127.0.0.1:{port}/"))


@pytest.mark.parametrize("content", [b"[]", b"[1]", b'"ok"', b"7", b"true", b'[{"a":1}]'])
def test_answers_of_another_shape_are_named(content: bytes) -> None:
    """Something that answers everything the same way is no management API."""
    with (
        serving(content) as port,
        Management(f"http://127.0.0.1:{port}") as asked,
        pytest.raises(ManagementFailed, match="is the port right"),
    ):
        asked.describe(TOPOLOGY, vhost="/", user="guest")


def test_an_answer_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a part of it comes."""
    monkeypatch.setattr(management, "WHOLE_SECONDS", 0.5)
    listener = socket.create_server(("127.0.0.1", 0))

    def trickle() -> None:
        line, _ = listener.accept()
        with line, suppress(OSError):
            line.recv(1000)
            line.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                line.sendall(b"x")
                time.sleep(0.05)

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    with listener:
        reason = failure(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    assert "not complete within 0.5 s" in str(reason)
    thread.join()


def test_what_cannot_be_reached_says_why_and_what_to_look_at() -> None:
    """By the same table as everything else."""
    nobody = failure(f"http://u:very-secret@127.0.0.1:{free_port()}/")
    assert ("nothing listens there", True) == (str(nobody), "management API" in nobody.remedy)
    unknown = failure("http://broker.invalid:15672/")
    assert ("the host name is not known", True) == (
        str(unknown),
        "__MANAGEMENT_URL" in unknown.remedy,
    )
    with serving(b"{}") as port:
        plain = failure(f"https://127.0.0.1:{port}/")
    assert ("the port does not use TLS", True) == (str(plain), "http://" in plain.remedy)


@pytest.mark.parametrize("pattern", [None, 7, ["^a"], {"a": 1}, True])
def test_rights_that_are_no_patterns_are_named(
    monkeypatch: pytest.MonkeyPatch, pattern: object
) -> None:
    """Whoever judged them would end with an unexpected error."""
    told = {"configure": ".*", "write": ".*", "read": pattern}

    def get(_: Management, path: str) -> object:
        return told if path.startswith("permissions/") else None

    monkeypatch.setattr(Management, "get", get)
    with (
        Management("http://127.0.0.1:1") as asked,
        pytest.raises(ManagementFailed, match="is the port right"),
    ):
        asked.describe(TOPOLOGY, vhost="/", user="guest")
