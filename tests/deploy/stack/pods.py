"""Plays the rendered overlay `local` as pods: replicas of one Deployment, under two names."""

from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from tests.deploy.image.podman import address, logs, podman
from tests.deploy.static.manifests import render
from tests.support.amqp import wait_until

GRACE = 120
START_SECONDS = 60.0
KINDS = ("ConfigMap", "Deployment")
QUICKER = {
    "IMPORTER_BATCH__WINDOW_SECONDS": "0.2",
    "IMPORTER_BITRIX__TIMEOUT_SECONDS": "10",
    "IMPORTER_BITRIX__SETTLE_SECONDS": "5",
    "IMPORTER_BITRIX__REQUESTS_PER_SECOND": "200",
    "IMPORTER_BITRIX__BURST": "500",
}
"""What would only make the tests wait; everything else is as the overlay says."""


@dataclass(slots=True)
class Pod:
    """One replica; `image` is what it runs from the next `play` on."""

    name: str
    network: str
    image: str
    port: int

    def play(self) -> None:
        """Start the pod."""
        podman("play", "kube", "--network", self.network, "-", stdin=self._manifests())

    def remove(self) -> None:
        """Remove the pod, running or not."""
        podman("pod", "rm", "--force", "--time", "0", self._pod, expected=None)

    def stop(self) -> int:
        """Stop the pod as its deletion does, and return the importer's exit code."""
        podman("pod", "stop", "--time", str(GRACE), self._pod, timeout=GRACE + 60)
        return int(podman("container", "inspect", "--format={{.State.ExitCode}}", self.container))

    def kill(self) -> None:
        """Kill the importer as a lost machine does."""
        podman("kill", "--signal=KILL", self.container)

    def disconnect(self) -> None:
        """Take the pod off the network: its connections are cut without a word."""
        podman("network", "disconnect", self.network, self._infra)

    def connect(self) -> None:
        """Put it back."""
        podman("network", "connect", self.network, self._infra)

    def probe(self, path: str) -> int:
        """Return how a probe is answered; 0 by nobody."""
        try:
            return self._get(path).status_code
        except (httpx.TransportError, AssertionError):
            return 0

    def metric(self, name: str) -> float:
        """Return the sum of a metric's samples; 0 where nobody tells."""
        try:
            lines = self._get("/metrics").text.splitlines()
        except (httpx.TransportError, AssertionError):
            return 0.0
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.startswith((f"{name} ", f"{name}{{"))
        )

    async def wait(self, path: str, status: int, timeout: float = START_SECONDS) -> None:
        """Wait until a probe is answered so."""
        await wait_until(
            lambda: self.probe(path) == status, timeout, what=f"{self.name}: {path} {status}"
        )

    async def wait_active(self, timeout: float = START_SECONDS) -> None:
        """Wait until the broker hands its messages to this one."""
        await wait_until(
            lambda: self.metric("importer_consumer_active") == 1,
            timeout,
            what=f"{self.name} at work",
        )

    def revision(self) -> str:
        """Return what the pod runs, by its own word."""
        return self._get("/metrics").text.partition('revision="')[2].partition('"')[0]

    def logs(self) -> str:
        """Return what the importer wrote."""
        return logs(self.container)

    @property
    def container(self) -> str:
        """Return the name that podman gives the importer's container."""
        return f"{self._pod}-importer"

    @property
    def _pod(self) -> str:
        return f"{self.name}-pod-0"

    @property
    def _infra(self) -> str:
        return podman("pod", "inspect", "--format={{.InfraContainerID}}", self._pod)

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://{address(self._infra)}:8080{path}", timeout=5, trust_env=False)

    def _manifests(self) -> str:
        """Return what is rendered, under this pod's name and image."""
        chosen = render("local").copy().all(*KINDS)
        for each in chosen:
            if each["kind"] == "Deployment":
                self._rename(each)
            elif "IMPORTER_HTTP__PORT" in each["data"]:
                each["data"].update(QUICKER)
        return yaml.safe_dump_all(chosen)

    def _rename(self, deployment: dict[str, Any]) -> None:
        deployment["metadata"]["name"] = self.name
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        container["image"] = self.image
        # Podman publishes every port on the host, where two replicas would meet.
        container["ports"][0]["hostPort"] = self.port
