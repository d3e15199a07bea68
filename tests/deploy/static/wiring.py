"""Judges how manifests fit together: each policy yields its faults, a line each."""

from collections.abc import Iterator, Mapping

from tests.deploy.static import selectors
from tests.deploy.static.manifests import INSTANCE, OVERLAYS, Manifest, Rendered
from tests.deploy.static.pods import PROBES, named_ports

NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
VERSION = "app.kubernetes.io/version"
IMPORTER = {NAME: "crm-importer", COMPONENT: "importer"}
SANDBOX = {NAME: "crm-importer-sandbox", COMPONENT: "portal"}
COMMAND = {NAME: "crm-importer", COMPONENT: "command"}
CONSOLE_NAME = "crm-importer-console"
CONSOLE = {NAME: "crm-importer", COMPONENT: "console"}
EVERY_POD_OF_OURS = ("-egress", "-to-sandbox")
"""Policies for the importer, its console and its commands alike."""
ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
# What operators of the cluster create by hand, or an ExternalSecret does.
FROM_OUTSIDE = {"crm-importer"}


def replicas_fit_their_purpose(rendered: Rendered) -> Iterator[str]:
    """Judge whether there is one; two only as stand-by; no number where an autoscaler decides."""
    spec = rendered.deployment["spec"]
    found = (spec.get("replicas"), spec["strategy"])
    expected: tuple[int | None, Manifest] = (1, {"type": "Recreate"})
    if rendered.all("ScaledObject"):
        expected = (None, {"type": "Recreate"})
    elif rendered.all("PodDisruptionBudget"):
        expected = (2, ROLLING)
    if found != expected:
        yield f"replicas and strategy {found}, expected {expected}"


def a_standby_is_spread_and_blocks_nothing(rendered: Rendered) -> Iterator[str]:
    """Judge whether nodes can be drained, and the two replicas are spread where possible."""
    for budget in rendered.all("PodDisruptionBudget"):
        found = {key: value for key, value in budget["spec"].items() if key != "selector"}
        if found != {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}:
            yield f"budget: {found}"
        spread = rendered.pod.get("topologySpreadConstraints", [])
        if [each["whenUnsatisfiable"] for each in spread] != ["ScheduleAnyway"]:
            yield f"spread: {spread}"


def selectors_choose_their_pods(rendered: Rendered) -> Iterator[str]:
    """Judge whether every selector chooses the pods that it is named after, or all of ours."""
    for owner, selector in selectors.of(rendered):
        every = [labels for _, labels in rendered.workloads()]
        chosen = [_told(labels) for labels in every if selector.items() <= labels.items()]
        expected = _whose(owner)
        if owner.endswith(EVERY_POD_OF_OURS):
            ours = [_told(labels) for labels in every if labels[NAME] == IMPORTER[NAME]]
            fits = chosen == ours
        else:
            fits = chosen == [expected]
        if not fits:
            yield f"{owner} chooses {chosen}"
        if rendered.name in OVERLAYS and INSTANCE not in selector:
            yield f"{owner} chooses pods of every portal"


def ports_are_named_the_same(rendered: Rendered) -> Iterator[str]:
    """Judge whether whoever names a port of a pod names one that it has."""
    names = {name for pod, _ in rendered.workloads() for name in named_ports(pod)}
    for owner, port in _port_names(rendered):
        if port not in names:
            yield f"{owner} names the port {port}; there is {sorted(names)}"


def names_lead_somewhere(rendered: Rendered) -> Iterator[str]:
    """Judge whether what is referred to is rendered, or is the one Secret from outside."""
    for kind, name in _references(rendered):
        there = FROM_OUTSIDE if kind == "Secret" else _names(rendered, kind)
        if name not in there:
            yield f"{kind} {name} is missing"


def everything_is_labelled(rendered: Rendered) -> Iterator[str]:
    """Judge whether everything says what it belongs to: the importer, or the simulated portal."""
    for each in rendered.manifests:
        name, labels = each["metadata"]["name"], each["metadata"].get("labels")
        expected = _whose(name)
        expected = COMMAND if each["kind"] in {"CronJob", "Job"} else expected
        if each["kind"] != "Namespace" and _told(labels or {}) != expected:
            yield f"{each['kind']} {name}: {labels}"


def pods_tell_their_version(rendered: Rendered) -> Iterator[str]:
    """Judge whether pods in a cluster bear their image's version; no selector may ask for it."""
    if not rendered.all("Namespace"):
        return
    for pod, labels in rendered.workloads():
        for container in pod["containers"]:
            tag = container["image"].rpartition("/")[2].partition(":")[2]
            told = labels.get(VERSION)
            if told is None or ("@" not in container["image"] and told != tag):
                yield f"{container['image']} is told as version {told}"
    for owner, selector in selectors.of(rendered):
        if VERSION in selector:
            yield f"{owner} chooses one version alone"


def namespaces_are_restricted(rendered: Rendered) -> Iterator[str]:
    """Judge whether an overlay for a cluster brings a namespace that refuses loose pods."""
    for each in rendered.all("Namespace"):
        if each["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{each['metadata']}"
    others = [each for each in rendered.manifests if each["kind"] != "Namespace"]
    places = {each["metadata"].get("namespace", "") for each in others}
    if places != (_names(rendered, "Namespace") or {""}):
        yield f"namespaces {places}"


def _whose(name: str) -> Manifest:
    """Return the labels of what a manifest is named after."""
    if name.endswith(CONSOLE_NAME):
        return CONSOLE
    return SANDBOX if name.endswith(SANDBOX[NAME]) else IMPORTER


def _told(labels: Mapping[str, str]) -> Manifest:
    """Return what labels say of an application; the others say who manages it, and for whom."""
    return {name: value for name, value in labels.items() if name in {NAME, COMPONENT}}


def _names(rendered: Rendered, kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in rendered.all(kind)}


def _references(rendered: Rendered) -> Iterator[tuple[str, str]]:
    yield "ServiceAccount", rendered.pod["serviceAccountName"]
    for source in rendered.container["envFrom"]:
        yield "ConfigMap", source["configMapRef"]["name"]
    for volume in rendered.pod["volumes"]:
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
    for scaled in rendered.all("ScaledObject"):
        yield "Deployment", scaled["spec"]["scaleTargetRef"]["name"]
        for trigger in scaled["spec"]["triggers"]:
            yield "TriggerAuthentication", trigger["authenticationRef"]["name"]
    for permission in rendered.all("Permission"):
        yield "User", permission["spec"]["userReference"]["name"]


def _port_names(rendered: Rendered) -> Iterator[tuple[str, str]]:
    probes = [rendered.container[kind] for kind in PROBES if kind in rendered.container]
    yield from (("probe", probe["httpGet"]["port"]) for probe in probes)
    for each in rendered.all("Service", "PodMonitor", "NetworkPolicy"):
        for port in _ports(each):
            yield from (("Service", port[key]) for key in ("name", "targetPort") if key in port)
            if isinstance(port.get("port"), str):
                yield each["kind"], port["port"]


def _ports(manifest: Manifest) -> list[Manifest]:
    spec = manifest["spec"]
    rules = [*spec.get("ingress", []), *spec.get("egress", [])]
    found = [spec.get("ports", []), spec.get("podMetricsEndpoints", [])]
    return [port for ports in [*found, *(rule["ports"] for rule in rules)] for port in ports]
