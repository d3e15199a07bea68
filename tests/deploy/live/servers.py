"""Runs Prometheus, Alertmanager, and a node that can be watched, all of them our own."""

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.deploy.tools import tool
from tests.support.certificates import Authority
from tests.support.child_process import ChildProcess, Scratch
from tests.support.node import RabbitNode
from tests.support.patience import Deadline
from tests.support.ports import free_port

START_SECONDS = 20.0
POLL_SECONDS = 0.05


class Server(ABC):
    """Runs one of Prometheus' programs until the `with` block ends."""

    program = ""

    def __init__(self) -> None:
        self.port = free_port()
        self._scratch = Scratch.make(self.program)
        self._process: ChildProcess | None = None
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False)

    @property
    def folder(self) -> Path:
        """Return the server's own folder."""
        return self._scratch.path

    @property
    def address(self) -> str:
        """Return where it listens."""
        return f"127.0.0.1:{self.port}"

    @abstractmethod
    def options(self) -> Sequence[str]:
        """Return its command line."""

    def __enter__(self) -> Self:
        """Start it and wait until it is ready."""
        command = [tool(self.program), *self.options(), f"--web.listen-address={self.address}"]
        self._process = ChildProcess(
            command, env={"PATH": "/usr/bin:/bin"}, cwd=self.folder, name="server"
        )
        process = self._process
        wait_for(self._ready, START_SECONDS, lambda: f"{self.program}: {process.tail()}")
        return self

    def __exit__(self, *_: object) -> None:
        """End it and remove its folder."""
        if self._process is not None:
            self._process.kill()
        self._http.close()
        self._scratch.remove()

    def write(self, name: str, document: object) -> str:
        """Write a YAML file into its folder."""
        path = self.folder / name
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return str(path)

    def _ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


class Prometheus(Server):
    """Scrapes, evaluates and answers, all of it quickly."""

    program = "prometheus"

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self._config = config

    @property
    def data(self) -> Path:
        """Return where its blocks lie; history may be put there before it starts."""
        return self.folder / "data"

    def options(self) -> Sequence[str]:
        """Return its command line; an alert that came too early is soon sent again."""
        return [
            f"--config.file={self.write('prometheus.yml', self._config)}",
            f"--storage.tsdb.path={self.data}",
            "--storage.tsdb.retention.time=60d",
            "--rules.alert.resend-delay=1s",
            "--log.level=warn",
        ]

    def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the series of an instant query."""
        at = time.time() if at is None else at
        return self._ask("query", {"query": expr, "time": f"{at}"})

    def query_range(
        self, expr: str, start: float, end: float, step: float
    ) -> list[dict[str, Any]]:
        """Return the series of a range query."""
        wanted = {"query": expr, "start": f"{start}", "end": f"{end}", "step": f"{step}"}
        return self._ask("query_range", wanted)

    def alerts(self) -> dict[str, str]:
        """Return the state of every alert that is pending or firing."""
        found = self._http.get("/api/v1/alerts").json()["data"]["alerts"]
        return {each["labels"]["alertname"]: each["state"] for each in found}

    def _ask(self, what: str, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
        answer = self._http.post(f"/api/v1/{what}", data=dict(wanted)).json()
        assert "success" == answer["status"], f"{wanted['query']}: {answer.get('error')}"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


class Alertmanager(Server):
    """Delivers alerts to a webhook, one by one and at once."""

    program = "prometheus-alertmanager"

    def __init__(self, webhook: str) -> None:
        super().__init__()
        self._webhook = webhook

    def options(self) -> Sequence[str]:
        """Return its command line; it stays alone."""
        config = {
            "route": {
                "receiver": "webhook",
                "group_by": ["..."],
                "group_wait": "100ms",
                "group_interval": "500ms",
                "repeat_interval": "1h",
            },
            "receivers": [
                {
                    "name": "webhook",
                    "webhook_configs": [{"url": self._webhook, "send_resolved": True}],
                }
            ],
        }
        return [
            f"--config.file={self.write('alertmanager.yml', config)}",
            f"--storage.path={self.folder / 'data'}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]


class Pager:
    """Takes what Alertmanager delivers, as a pager would."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), _handler(self.alerts))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Return where alerts are to be sent."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def got(self, name: str, status: str, since: float = 0.0) -> list[dict[str, Any]]:
        """Return the deliveries of one alert with one status, since an instant."""
        return [
            each
            for each in list(self.alerts)
            if (each["labels"]["alertname"], each["status"]) == (name, status)
            and each["received"] >= since
        ]

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class WatchedNode(RabbitNode):
    """Runs a node whose exporter is on, and whose queues count themselves every half second."""

    def __init__(self, *, tls: Authority | None = None) -> None:
        super().__init__(tls=tls)
        self.exporter = free_port()

    def _write_files(self) -> None:
        super()._write_files()
        with (self.folder / "rabbitmq.conf").open("a") as conf:
            conf.write(f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {self.exporter}\n")
        plugins = "[rabbitmq_management,rabbitmq_prometheus].\n"
        (self.folder / "enabled_plugins").write_text(plugins)
        ticks = "[{rabbit, [{quorum_tick_interval, 500}]}].\n"
        (self.folder / "advanced.config").write_text(ticks)


def wait_for(check: Callable[[], object], timeout: float, words: Callable[[], str]) -> None:
    """Wait until a check passes; the words say what did not happen."""
    deadline = Deadline(timeout)
    while not check():
        assert not deadline.passed, words()
        time.sleep(POLL_SECONDS)


def _handler(alerts: list[dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Writes every delivery down."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            now = time.time()
            alerts.extend({**each, "received": now} for each in json.loads(body)["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's
            """Write nothing."""

    return Handler
