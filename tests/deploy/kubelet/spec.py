"""Reads from a rendered Deployment what a kubelet needs to know, and shortens its times."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tests.deploy.static.manifests import Rendered
from tests.deploy.static.pods import named_ports

FIRST_BACK_OFF = 10.0
"""Seconds before the second restart; doubled for each further one."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of a manifest; periods are scaled, the time for an answer is not."""

    path: str
    port: int
    period: float
    timeout: float
    threshold: int
    grace: float | None

    @classmethod
    def of(cls, probe: Mapping[str, Any], ports: Mapping[str, int], scale: float) -> Self:
        """Read one; what it leaves out has Kubernetes' defaults."""
        asked = probe["httpGet"]
        grace = probe.get("terminationGracePeriodSeconds")
        return cls(
            path=asked["path"],
            port=ports.get(asked["port"], asked["port"]),
            period=probe.get("periodSeconds", 10) * scale,
            timeout=probe.get("timeoutSeconds", 1),
            threshold=probe.get("failureThreshold", 3),
            grace=None if grace is None else grace * scale,
        )

    @property
    def patience(self) -> float:
        """Return the longest time in which consecutive failures reach the threshold."""
        return self.threshold * (self.period + self.timeout)


@dataclass(frozen=True, slots=True)
class Spec:
    """What the manifest says of one container's life."""

    startup: Probe
    liveness: Probe
    readiness: Probe
    grace: float
    back_off: float

    @classmethod
    def of(cls, rendered: Rendered, scale: float) -> Self:
        """Read it from the importer's pod; a scale of 0.2 makes a kubelet five times as quick."""
        container, ports = rendered.container, named_ports(rendered.pod)
        probes = {
            name: Probe.of(container[f"{name}Probe"], ports, scale)
            for name in ("startup", "liveness", "readiness")
        }
        grace = rendered.pod.get("terminationGracePeriodSeconds", 30) * scale
        return cls(**probes, grace=grace, back_off=FIRST_BACK_OFF * scale)
