"""Proves that what is applied has the members that the API knows, and no others."""

from collections.abc import Iterator

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml

from tests.deploy.static import crds
from tests.deploy.static.manifests import MIXTURES, OVERLAYS, ROOT, Manifest, Rendered, render

# 1.27: the first in which unhealthyPodEvictionPolicy counts unasked.
LOWEST, HIGHEST = "1.27", "1.37"
CUSTOM = {
    ("external-secrets.io/v1", "ExternalSecret"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("keda.sh/v1alpha1", "TriggerAuthentication"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("rabbitmq.com/v1beta1", "Binding"),
    ("rabbitmq.com/v1beta1", "Exchange"),
    ("rabbitmq.com/v1beta1", "Permission"),
    ("rabbitmq.com/v1beta1", "Policy"),
    ("rabbitmq.com/v1beta1", "Queue"),
    ("rabbitmq.com/v1beta1", "User"),
}
MISTAKES = [
    ("autoscale-keda", "ScaledObject", "poolingInterval"),
    ("monitoring-operator", "PodMonitor", "podMetricEndpoints"),
    ("broker-topology", "Queue", "deletePolicy"),
    ("external-secret", "ExternalSecret", "refreshIntervall"),
]


@pytest.mark.parametrize("version", [LOWEST, HIGHEST])
@pytest.mark.parametrize("name", [*OVERLAYS, *MIXTURES])
def test_every_supported_kubernetes_knows_what_is_applied(name: str, version: str) -> None:
    """The oldest and the newest API server know every kind, and every member of it."""
    assert [] == list(_unknown(render(name), version))


def test_a_misspelt_member_is_seen() -> None:
    """The API would drop it silently, and the pod would run without it."""
    mutated = render("production").copy()
    mutated.pod["securityContext"]["runAsNonRooot"] = True
    assert ["Deployment"] == [line.split()[0] for line in _unknown(mutated, HIGHEST)]


@pytest.mark.parametrize("name", [*OVERLAYS, *MIXTURES])
def test_operators_know_what_is_applied(name: str) -> None:
    """Custom resources have the members of their schemas, and no others."""
    assert [] == _wrong([each for each in render(name).manifests if _kind(each) in CUSTOM])


def test_the_operator_knows_the_example_policy() -> None:
    """Whoever applies it is not refused."""
    assert [] == _wrong([yaml.safe_load((ROOT / "deploy/policies/results.yaml").read_text())])


@pytest.mark.parametrize(("name", "kind", "member"), MISTAKES)
def test_a_misspelt_member_of_a_custom_resource_is_seen(name: str, kind: str, member: str) -> None:
    """Strictness reaches the members of custom resources, too."""
    mutated = render(name).copy().all(kind)[0]
    mutated["spec"][member] = 1
    assert [] != [fault for fault in _wrong([mutated]) if member in fault]


def test_every_kind_is_judged() -> None:
    """A kind is known to Kubernetes itself, or stands in the list above."""
    for name in (*OVERLAYS, *MIXTURES):
        for each in render(name).manifests:
            own = "." not in each["apiVersion"].partition("/")[0] or "k8s.io" in each["apiVersion"]
            assert own is not (_kind(each) in CUSTOM)


def _unknown(rendered: Rendered, version: str) -> Iterator[str]:
    for each in rendered.manifests:
        if _kind(each) in CUSTOM:
            continue
        try:
            kubernetes_validate.validate(each, version, strict=True)
        except kubernetes_validate.ValidationError as fault:
            yield f"{each['kind']} {fault.message}"


def _wrong(manifests: list[Manifest]) -> list[str]:
    """Return every fault; without the folder of schemas the test is skipped, and says for what."""
    if manifests and not crds.schemas():
        kinds = ", ".join(sorted({each["kind"] for each in manifests}))
        pytest.skip(
            f"not checked against their schemas: {kinds}; "
            f"no CRD schemas in {crds.FOLDER} (CRD_SCHEMAS=... names a folder)"
        )
    return [
        fault for each in manifests for fault in crds.faults(each, crds.schemas()[_kind(each)])
    ]


def _kind(manifest: Manifest) -> tuple[str, str]:
    return manifest["apiVersion"], manifest["kind"]
