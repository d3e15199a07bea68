"""The compose file started as its users start it, but for Grafana, which cannot be had here."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.image.podman import (
    IMPORTER,
    ROOT,
    SANDBOX,
    build,
    environment,
    logs,
    podman,
    run,
)
from tests.deploy.stack.containers import wait_for
from tests.deploy.stack.network import own_network

pytestmark = pytest.mark.timeout(900)
PROJECT = f"crm-importer-test-{os.getpid()}"
FILE = ROOT / "deploy/compose.yaml"
NOT_HERE = {"grafana"}
CHECKED = ("rabbitmq", "sandbox", "importer")
TARGETS = {"importer", "rabbitmq", "rabbitmq-queues"}
HEADER = re.compile(r"^#   (http://localhost:\d+)", re.MULTILINE)
SOME = 60


@dataclass(frozen=True, slots=True)
class Demo:
    """The running services, asked at the addresses that people are told."""

    def compose(self, *arguments: str, timeout: float = 300) -> str:
        """Run podman-compose on the file."""
        program = Path(sys.executable).parent / "podman-compose"
        done = subprocess.run(
            [program, "--project-name", PROJECT, "--file", FILE, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=environment(),
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        wanted = f"label=com.docker.compose.service={service}"
        ours = f"label=com.docker.compose.project={PROJECT}"
        return podman("ps", "--all", "--filter", wanted, "--filter", ours, "--format={{.Names}}")

    def is_healthy(self, service: str) -> bool:
        """Run a service's own check: nothing schedules it here."""
        done = run("podman", "healthcheck", "run", self.container(service), expected=None)
        return done.returncode == 0

    def get(self, port: int, path: str) -> Any:  # noqa: ANN401 - any JSON
        """Ask a published port."""
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10, trust_env=False).json()


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """Lend the running demo; afterwards nothing of it is left."""
    build(f"{IMPORTER}:demo")
    build(f"{SANDBOX}:demo", "--target", "sandbox")
    with own_network(), running() as demo:
        yield demo


@contextmanager
def running() -> Iterator[Demo]:
    """Start the services, and remove them with their networks and volumes."""
    demo = Demo()
    services = [
        name for name in yaml.safe_load(FILE.read_text())["services"] if name not in NOT_HERE
    ]
    try:
        demo.compose("up", "--detach", "--no-build", *services)
        for name in CHECKED:
            wait_for(partial(demo.is_healthy, name), f"{name} to be healthy", 120)
        yield demo
    finally:
        for name in services:
            print(f"---- {name}\n{logs(demo.container(name))[-2000:]}")  # noqa: T201 - with a failure
        demo.compose("down", "--volumes", "--timeout", "20")
    left = podman(
        "ps", "--all", "--quiet", "--filter", f"label=io.podman.compose.project={PROJECT}"
    )
    assert "" == left
    assert PROJECT not in podman("network", "ls", "--format={{.Name}}")


def test_sample_traffic_reaches_the_portal(demo: Demo) -> None:
    """Events are published, imported, and counted."""
    wait_for(lambda: demo.get(8090, "/control/summary")["items"] > SOME, "items in the CRM", 120)
    assert demo.get(8080, "/readyz")["ready"]


def test_prometheus_sees_every_part(demo: Demo) -> None:
    """All targets are up, and every rule is evaluated on their data."""

    def up() -> set[str]:
        found = demo.get(9090, "/api/v1/query?query=up==1")["data"]["result"]
        return {series["metric"]["job"] for series in found}

    wait_for(lambda: up() == TARGETS, "the targets", 60)
    groups = demo.get(9090, "/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert 30 < len(rules)
    assert [] == [rule["lastError"] for rule in rules if rule.get("lastError")]
    intake = "/api/v1/query?query=job:importer_intake_ready:sum"
    wait_for(lambda: bool(demo.get(9090, intake)["data"]["result"]), "the queue's length", 60)


def test_alerts_reach_alertmanager(demo: Demo) -> None:
    """The watchdog fires from the start, and links to where it is explained."""

    def alerts() -> dict[str, Any]:
        return {each["labels"]["alertname"]: each for each in demo.get(9093, "/api/v2/alerts")}

    wait_for(lambda: "ImporterWatchdog" in alerts(), "the watchdog", 90)
    watchdog = alerts()["ImporterWatchdog"]
    assert watchdog["annotations"]["dashboard_url"].startswith("http://localhost:3000/d/")
    assert "grafana_url" not in watchdog["labels"]


def test_broker_has_the_topology_of_the_definitions(demo: Demo) -> None:
    """The importer, told to declare nothing, works on what the file has made."""
    guest = ("guest", "guest")
    url = "http://127.0.0.1:15672/api/queues"
    queues = httpx.get(url, auth=guest, timeout=10, trust_env=False).json()
    expected = {"crm.items.import", "crm.items.succeeded", "crm.items.failed", "crm.items.dlq"}
    assert expected == {queue["name"] for queue in queues}


def test_addresses_are_printed(demo: Demo) -> None:
    """Once the importer is ready, a service says where to look, and ends."""
    name = demo.container("where-to-look")
    state = "--format={{.State.Status}}"
    wait_for(lambda: "exited" == podman("container", "inspect", state, name), "the addresses", 60)
    assert HEADER.findall(FILE.read_text()) == [
        line.split()[0] for line in logs(name).splitlines()
    ]


@pytest.mark.parametrize("service", ["importer", "sandbox", "traffic"])
def test_our_parts_have_no_rights(demo: Demo, service: str) -> None:
    """As the file says, and as podman understood it."""
    name = demo.container(service)
    template = "{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.EffectiveCaps}}"
    assert "10001:10001 true []" == podman("container", "inspect", f"--format={template}", name)


def test_importer_drains_when_the_demo_ends(demo: Demo) -> None:
    """It is asked to stop, given time, and ends with 0."""
    name = demo.container("importer")
    demo.compose("stop", "--timeout", "60", "importer")
    assert "0" == podman("container", "inspect", "--format={{.State.ExitCode}}", name)
