"""Renders the overlays, and the base with each component, and finds things in the result."""

import functools
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = tuple(sorted(path.name for path in (KUBERNETES / "overlays").iterdir()))
COMPONENTS = tuple(sorted(path.name for path in (KUBERNETES / "components").iterdir()))
NOT_TOGETHER = {"standby", "autoscale-keda"}
ONCE = "monitoring-rules"
"""For each Prometheus, not for each portal."""
MIXTURES = {
    **{name: (name,) for name in COMPONENTS},
    **{
        f"all-but-{absent}": tuple(name for name in COMPONENTS if name != absent)
        for absent in sorted(NOT_TOGETHER)
    },
}
EVERY = (*OVERLAYS, *MIXTURES)
NO_RENDERER = 3
INSTANCE = "app.kubernetes.io/instance"

Manifest: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What would be applied; `name` says which overlay or which components."""

    name: str
    manifests: list[Manifest]

    def all(self, *kinds: str) -> list[Manifest]:
        """Return the manifests of these kinds."""
        return [each for each in self.manifests if each["kind"] in kinds]

    def one(self, kind: str, name: str = "crm-importer") -> Manifest:
        """Return the manifest of a kind with a name; a generated one may carry its hash."""
        found = [each for each in self.all(kind) if _is_named(each, name)]
        assert 1 == len(found), f"{self.name}: {len(found)} {kind} {name}"
        return found[0]

    def copy(self) -> "Rendered":
        """Return a copy that a test may spoil."""
        return Rendered(self.name, deepcopy(self.manifests))

    @property
    def deployment(self) -> Manifest:
        """The importer's Deployment."""
        found = [
            each
            for each in self.all("Deployment")
            if each["metadata"]["labels"]["app.kubernetes.io/component"] == "importer"
        ]
        assert 1 == len(found), f"{self.name}: {len(found)} importers"
        return found[0]

    @property
    def pod(self) -> Manifest:
        """The importer's pod."""
        pod: Manifest = self.deployment["spec"]["template"]["spec"]
        return pod

    @property
    def container(self) -> Manifest:
        """The importer's container."""
        (container,) = self.pod["containers"]
        return dict(container)

    def workloads(self) -> Iterator[tuple[Manifest, Mapping[str, str]]]:
        """Yield each pod's spec with its labels."""
        for each in self.all("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"):
            spec = each["spec"].get("jobTemplate", each)["spec"]
            yield spec["template"]["spec"], spec["template"]["metadata"]["labels"]


@functools.cache
def render(name: str) -> Rendered:
    """Return an overlay, or the base with a mixture of components."""
    if _renderer() is None:
        tell = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        tell("no kubectl and no kustomize that can render: run tests/tools/kustomize.sh")
    run = _run(name)
    assert 0 == run.returncode, run.stderr
    return Rendered(name, list(yaml.load_all(run.stdout, yaml.CSafeLoader)))


def alone(component: str) -> list[Manifest]:
    """Return what a component gives by itself."""
    run = _rendered(KUBERNETES / "components" / component)
    assert 0 == run.returncode, run.stderr
    return list(yaml.load_all(run.stdout, yaml.CSafeLoader))


def portal(name: str, *, apart: bool = False) -> Rendered:
    """Return the base with every component: one of several portals, in one namespace or apart."""
    lines = {
        **({"namespace": name} if apart else {"namespace": "shared", "nameSuffix": f"-{name}"}),
        "labels": [{"pairs": {INSTANCE: name}, "includeSelectors": True}],
        **yaml.safe_load(_advice("Several portals").replace("acme", name)),
    }
    run = _mixture([name for name in COMPONENTS if name != ONCE], lines)
    assert 0 == run.returncode, run.stderr
    return Rendered(name, list(yaml.load_all(run.stdout, yaml.CSafeLoader)))


def _advice(heading: str) -> str:
    """Return what the page tells people to add to their overlay."""
    section = (KUBERNETES / "README.md").read_text().partition(f"\n## {heading}\n")[2]
    return section.partition("```yaml\n")[2].partition("```")[0]


@functools.cache
def _run(name: str) -> subprocess.CompletedProcess[str]:
    """Render once, also what cannot be rendered."""
    if name in OVERLAYS:
        return _rendered(KUBERNETES / "overlays" / name)
    return _mixture(MIXTURES[name], {})


def _mixture(components: Sequence[str], more: Manifest) -> subprocess.CompletedProcess[str]:
    """Render the base with components."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        there = os.path.relpath(KUBERNETES, place)
        mixture = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"{there}/base"],
            "components": [f"{there}/components/{each}" for each in components],
            **more,
        }
        (place / "kustomization.yaml").write_text(yaml.safe_dump(mixture))
        return _rendered(place)


def _rendered(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(_renderer() or ()), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@functools.cache
def _renderer() -> tuple[str, ...] | None:
    """Return the command that renders, if there is one."""
    tool = ROOT / "tests/tools/kustomize.sh"
    run = subprocess.run([tool, "--find"], capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode in {0, NO_RENDERER}, run.stderr
    return tuple(shlex.split(run.stdout)) or None


def _is_named(manifest: Manifest, name: str) -> bool:
    given = manifest["metadata"]["name"]
    hashed = manifest["kind"] in {"ConfigMap", "Secret"} and given.rpartition("-")[0] == name
    return given == name or hashed
