"""Starts a network, RabbitMQ 4.0, the simulated portal, Prometheus, two replicas."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import httpx
import yaml

from tests.deploy.image.podman import IMPORTER, ROOT, SANDBOX, Container, build, podman
from tests.deploy.stack.network import own_network
from tests.deploy.stack.pods import Pod
from tests.support.broker import BrokerError, ExistingBroker
from tests.support.child_process import Scratch
from tests.support.environment import Environment
from tests.support.patience import Deadline
from tests.support.ports import free_ports
from tests.support.processes import PortalProcess

DEPLOY = ROOT / "deploy"
DEMO: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
"""Broker and Prometheus are the demo's."""
ARGUMENTS = (
    "--config.file=/etc/prometheus/prometheus.yml",
    "--storage.tsdb.path=/prometheus",
)
PORTAL = {"default_item_seconds": 0.02}
START_SECONDS = 90.0
OLD, NEW = "0123abc", "fedcba9"


class RemotePortal(PortalProcess):
    """Speaks to a simulated portal that runs elsewhere."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def start(self) -> Self:
        """Wait until it answers."""
        wait_for(lambda: bool(self.control("GET", "settings")), "the portal")
        return self


@dataclass(slots=True)
class Containers:
    """What the replicas work with, and they themselves."""

    broker: Container
    portal: Container
    prometheus: Container
    pods: tuple[Pod, Pod]
    newer: str
    """The image that they are rolled to."""

    def environment(self) -> Environment:
        """Return the books of one test; the portal's ledger is one for all."""
        environment = Environment(
            ExistingBroker(f"amqp://guest:guest@{self.broker.address}:5672/"), "/"
        )
        environment.portal.close()
        environment.portal = RemotePortal(f"http://{self.portal.address}:8080/")
        return environment

    def query(self, path: str, **wanted: str) -> object:
        """Ask Prometheus."""
        url = f"http://{self.prometheus.address}:9090/api/v1/{path}"
        return httpx.get(url, params=wanted, timeout=10, trust_env=False).json()["data"]


@contextmanager
def open_containers() -> Iterator[Containers]:
    """Start everything in a network of its own; afterwards nothing of it is left."""
    old = build(f"{IMPORTER}:local", "--build-arg", f"REVISION={OLD}")
    new = build(f"{IMPORTER}:new", "--build-arg", f"REVISION={NEW}")
    sandbox = build(f"{SANDBOX}:local", "--target", "sandbox")
    with own_network(), ExitStack() as stack:
        network = f"crm-importer-test-{uuid.uuid4().hex[:8]}"
        podman("network", "create", network)
        stack.callback(podman, "network", "rm", "--force", network)
        names = [f"{network}-{letter}" for letter in "ab"]
        parts = [
            Container(
                DEMO["rabbitmq"]["image"], options=[*_joins(network, "rabbitmq"), *_broker_files()]
            ),
            Container(
                *(sandbox, "--settings", json.dumps(PORTAL)), options=_joins(network, "sandbox")
            ),
            _prometheus(network, names, stack),
        ]
        broker, portal, prometheus = [stack.enter_context(part) for part in parts]
        ports = free_ports(2)
        pods = [Pod(name, network, old, port) for name, port in zip(names, ports, strict=True)]
        wait_for(lambda: _greets(broker), "the broker")
        for pod in pods:
            stack.callback(pod.remove)
            pod.play()
        yield Containers(broker, portal, prometheus, (pods[0], pods[1]), new)


def wait_for(check: Callable[[], bool], what: str, timeout: float = START_SECONDS) -> None:
    """Wait until a check passes, also where it cannot be made yet."""
    deadline = Deadline(timeout)
    while True:
        try:
            if check():
                return
        except (httpx.HTTPError, BrokerError, OSError):
            pass
        assert not deadline.passed, f"waited for {what}"
        time.sleep(0.2)


def _joins(network: str, alias: str) -> list[str]:
    return [f"--network={network}", f"--network-alias={alias}"]


def _broker_files() -> Iterator[str]:
    """Yield the mounts of the demo's broker, which has the topology of deploy/definitions."""
    for volume in DEMO["rabbitmq"]["volumes"]:
        yield f"--volume={DEPLOY}/{volume.removeprefix('./')}"


def _greets(broker: Container) -> bool:
    ExistingBroker(f"amqp://guest:guest@{broker.address}:5672/").close()
    return True


def _prometheus(network: str, names: list[str], stack: ExitStack) -> Container:
    """Return a Prometheus as in the demo, but for the importers' names."""
    config = yaml.safe_load((DEPLOY / "compose/prometheus.yml").read_text())
    (job,) = (each for each in config["scrape_configs"] if each["job_name"] == "importer")
    job["static_configs"] = [{"targets": [f"{name}-pod-0:8080" for name in names]}]
    scratch = stack.enter_context(Scratch.make("prometheus"))
    scratch.path.chmod(0o755)
    (scratch.path / "prometheus.yml").write_text(yaml.safe_dump(config))
    rules = f"--volume={DEPLOY}/alerts:/etc/prometheus/alerts:ro"
    own = f"--volume={scratch.path}/prometheus.yml:/etc/prometheus/prometheus.yml:ro"
    return Container(
        *(DEMO["prometheus"]["image"], *ARGUMENTS),
        options=[*_joins(network, "prometheus"), rules, own],
    )
