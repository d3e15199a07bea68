"""Judges pods and what they contain: each policy yields its faults, a line each."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from tests.deploy.static.environment import variables, volume_of
from tests.deploy.static.manifests import Manifest, Rendered

USER = 10001
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
LIVE = {"httpGet": {"path": "/livez", "port": "http"}, "timeoutSeconds": 3}
READY = {"httpGet": {"path": "/readyz", "port": "http"}, "timeoutSeconds": 3}
PROBES = {
    "startupProbe": {**LIVE, "periodSeconds": 2, "failureThreshold": 30},
    "livenessProbe": {
        **LIVE,
        "periodSeconds": 10,
        "failureThreshold": 3,
        "terminationGracePeriodSeconds": 10,
    },
    "readinessProbe": {**READY, "periodSeconds": 5, "failureThreshold": 2},
}
BOUNDED = {"memory", "ephemeral-storage"}
VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
READ_ONLY = {"configMap", "projected", "secret"}
# Its addresses lead to throw-away parts and stand in the overlay.
THROW_AWAY = "local"
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
TAG = re.compile(r"[^/]:(?!latest$)[\w.-]+$")
CREDENTIALS = re.compile(r"://[^/\s]*:[^/\s]*@|/rest/\d+/")


def pods_are_restricted(rendered: Rendered) -> Iterator[str]:
    """Judge whether every pod passes the restricted standard and reaches nothing of its host."""
    for pod, _ in rendered.workloads():
        given = {key: pod["securityContext"].get(key) for key in POD_SECURITY}
        if given != POD_SECURITY:
            yield f"pod security {given}"
        yield from (key for key in pod if key.startswith("host"))
        yield from (str(v) for v in pod.get("volumes", []) if not set(v) - {"name"} <= VOLUMES)
        for container in pod["containers"]:
            if container.get("securityContext") != CONTAINER_SECURITY:
                yield f"container security {container.get('securityContext')}"
    if rendered.pod["securityContext"].get("fsGroup") != USER:
        yield "the importer's group cannot read its secrets"


def pods_have_no_rights(rendered: Rendered) -> Iterator[str]:
    """Judge whether no pod is given a token, or the addresses of its neighbours as variables."""
    holders = [pod for pod, _ in rendered.workloads()] + rendered.all("ServiceAccount")
    for each in holders:
        if each.get("automountServiceAccountToken") is not False:
            yield "a token is handed out"
    for pod, _ in rendered.workloads():
        if pod.get("enableServiceLinks") is not False:
            yield "service links become variables"


def resources_are_bounded(rendered: Rendered) -> Iterator[str]:
    """Judge whether memory and disk have limits and smaller requests, processors a request."""
    for pod, _ in rendered.workloads():
        for container in pod["containers"]:
            asked = container["resources"].get("requests", {})
            limits = container["resources"].get("limits", {})
            if set(asked) != {"cpu", *BOUNDED} or set(limits) != BOUNDED:
                yield f"requests {asked}, limits {limits}"
            elif any(_mebibytes(asked[each]) > _mebibytes(limits[each]) for each in BOUNDED):
                yield "more is asked for than may be used"
        for volume in pod.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{volume['name']} may fill the node's disk"


def only_tmp_can_be_written(rendered: Rendered) -> Iterator[str]:
    """Judge whether there is a place for temporary files, and no other to write to."""
    kinds = {volume["name"]: set(volume) - {"name"} for volume in rendered.pod["volumes"]}
    mounts = rendered.container["volumeMounts"]
    writable = {m["mountPath"] for m in mounts if not kinds[m["name"]] <= READ_ONLY}
    if writable != {"/tmp"}:
        yield f"writable: {writable}"
    yield from (
        f"{mount['mountPath']} is not read-only"
        for mount in mounts
        if mount["mountPath"] != "/tmp" and not mount.get("readOnly")
    )


def no_secret_is_a_variable(rendered: Rendered) -> Iterator[str]:
    """Judge whether variables come from the ConfigMap and the manifest alone, without secrets."""
    container = rendered.container
    yield from (str(source) for source in container["envFrom"] if set(source) != {"configMapRef"})
    yield from (str(each) for each in container["env"] if set(each) != {"name", "value"})
    yield from (f"{k} holds credentials" for k, v in variables(rendered) if _secret(v))


def no_secret_is_in_the_repository(rendered: Rendered) -> Iterator[str]:
    """Judge whether Secrets come from outside, and nothing else carries what belongs into one."""
    yield from (f"Secret {each['metadata']['name']}" for each in rendered.all("Secret"))
    if rendered.name != THROW_AWAY:
        yield from (
            f"{name} holds credentials"
            for each in rendered.all("ConfigMap")
            for name, value in each["data"].items()
            if _secret(value)
        )


def secrets_are_files(rendered: Rendered) -> Iterator[str]:
    """Judge whether every `_FILE` lies in a mounted Secret which the group alone can read."""
    if rendered.name == THROW_AWAY:
        return
    for name, value in variables(rendered):
        if name.endswith("_FILE"):
            secret = volume_of(rendered, PurePosixPath(value)).get("secret", {})
            if secret.get("defaultMode") != 0o440:
                yield f"{name}: {value} is not in a Secret with mode 0440"


def probes_ask_the_right_paths(rendered: Rendered) -> Iterator[str]:
    """Judge whether liveness asks for the process alone; only readiness knows the broker."""
    for kind, probe in PROBES.items():
        if rendered.container.get(kind) != probe:
            yield f"{kind}: {rendered.container.get(kind)}"


def nothing_delays_the_stop(rendered: Rendered) -> Iterator[str]:
    """Judge whether no hook eats the time of the drain."""
    if "lifecycle" in rendered.container:
        yield f"lifecycle: {rendered.container['lifecycle']}"


def images_are_chosen(rendered: Rendered) -> Iterator[str]:
    """Judge whether production runs a digest, and others a tag that is not `latest`."""
    wanted = DIGEST if rendered.name == "production" else TAG
    for pod, _ in rendered.workloads():
        yield from (
            f"image {container['image']}"
            for container in pod["containers"]
            if not wanted.search(container["image"])
        )


def named_ports(pod: Manifest) -> Mapping[str, int]:
    """Return the ports of a pod by their names."""
    ports = [port for container in pod["containers"] for port in container.get("ports", [])]
    return {port["name"]: port["containerPort"] for port in ports}


def _mebibytes(quantity: str) -> int:
    return int(quantity.removesuffix("Mi"))


def _secret(value: str) -> bool:
    return CREDENTIALS.search(value) is not None
