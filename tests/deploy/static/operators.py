"""Judges what operators and controllers of a cluster are told: each policy yields its faults."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.deploy.static.environment import settings
from tests.deploy.static.manifests import INSTANCE, Manifest, Rendered

# The keys that KEDA's rabbitmq scaler reads; its schema takes any.
SCALER_KEYS = {
    "activationValue",
    "excludeUnacknowledged",
    "mode",
    "operation",
    "pageSize",
    "protocol",
    "queueName",
    "useRegex",
    "value",
    "vhostName",
}
PARKED = r"^crm\.items\.parked\..*$"
DNS, AMQP, HTTPS, STATUS = 53, {5671, 5672}, 443, 8080
CLOSED = [
    "10.1.2.3",
    "100.64.1.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.31.0.1",
    "192.168.1.1",
    "::1",
    "fd00::1",
    "fe80::1",
    "64:ff9b::a01:203",
]
OPEN = ["93.184.216.34", "2606:4700::1111"]


def the_autoscaler_stops_nothing_at_work(rendered: Rendered) -> Iterator[str]:
    """Judge whether the pod outlives everything it may hold, and a dead management API."""
    for scaled in rendered.all("ScaledObject"):
        spec = scaled["spec"]
        given = settings(rendered)
        longest = given.rabbit.hold_seconds + given.batch.window_seconds
        if spec.get("cooldownPeriod", 0) <= longest + spec["pollingInterval"]:
            yield f"cooldown {spec.get('cooldownPeriod')}"
        if (spec.get("minReplicaCount"), spec.get("maxReplicaCount")) != (0, 1):
            yield "not between 0 and 1"
        if spec.get("fallback", {}).get("replicas") != 1:
            yield "without the management API, nothing runs"


def the_autoscaler_counts_what_is_held_and_what_waits(rendered: Rendered) -> Iterator[str]:
    """Judge whether both the intake and the inner queues keep a pod, unacknowledged or not."""
    asked = ("queueName", "useRegex", "operation", "pageSize")
    for scaled in rendered.all("ScaledObject"):
        triggers = [each["metadata"] for each in scaled["spec"]["triggers"]]
        for metadata in triggers:
            found = {key: metadata.get(key) for key in ("protocol", "excludeUnacknowledged")}
            if found != {"protocol": "http", "excludeUnacknowledged": "false"}:
                yield f"held messages are not counted: {found}"
            if not set(metadata) <= SCALER_KEYS:
                yield f"keys that no scaler reads: {set(metadata) - SCALER_KEYS}"
        queues = [tuple(each.get(key) for key in asked) for each in triggers]
        intake = settings(rendered).rabbit.intake_queue
        if queues != [(intake, None, None, None), (PARKED, "true", "sum", "500")]:
            yield f"queues {queues}"


def the_autoscaler_can_log_in(rendered: Rendered) -> Iterator[str]:
    """Judge whether address, user and password come apart: any password will do."""
    for each in rendered.all("TriggerAuthentication"):
        given = {target["parameter"] for target in each["spec"]["secretTargetRef"]}
        if given != {"host", "username", "password"}:
            yield f"credentials {given}"


def every_portal_is_scraped_as_a_job_of_its_own(rendered: Rendered) -> Iterator[str]:
    """Judge whether rules and dashboard find a job, and a scrape ends before the next."""
    _, labels = next(rendered.workloads())
    wanted = f"importer-{labels[INSTANCE]}" if INSTANCE in labels else "importer"
    for monitor in rendered.all("PodMonitor"):
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            job = labels.get(monitor["spec"].get("jobLabel"))
            for each in endpoint.get("relabelings", []):
                job = _relabelled(each, labels) or job
            if job != wanted:
                yield f"job {job}, not {wanted}"
            if endpoint.get("path") != "/metrics":
                yield f"path {endpoint.get('path')}"
            if _seconds(endpoint["scrapeTimeout"]) >= _seconds(endpoint["interval"]):
                yield "a scrape may overlap the next"


def only_who_asks_for_figures_comes_in(rendered: Rendered) -> Iterator[str]:
    """Judge whether only /metrics and /status can be asked, and only by those who are named."""
    for spec in _network_policies(rendered, "crm-importer"):
        if spec.get("policyTypes") != ["Ingress"]:
            yield f"types {spec.get('policyTypes')}"
        incoming = [rule for rule in spec["ingress"] if "from" not in rule]
        if incoming or {port for rule in spec["ingress"] for port in _ports(rule)} != {"http"}:
            yield f"ingress {spec['ingress']}"


def only_what_is_needed_goes_out(rendered: Rendered) -> Iterator[str]:
    """Judge whether our pods reach DNS, broker, public HTTPS and one another, and nothing else."""
    for spec in _network_policies(rendered, "crm-importer-egress"):
        if spec.get("policyTypes") != ["Egress"]:
            yield f"types {spec.get('policyTypes')}"
        outgoing = {port for rule in spec["egress"] for port in _ports(rule)}
        if outgoing != {DNS, *AMQP, HTTPS, STATUS}:
            yield f"egress {outgoing}"
        inner = [rule.get("to") for rule in spec["egress"] if STATUS in _ports(rule)]
        if not all(to and all(set(peer) == {"podSelector"} for peer in to) for to in inner):
            yield f"port {STATUS} of {inner}"
        web = [rule for rule in spec["egress"] if HTTPS in _ports(rule)]
        reached = [a for a in CLOSED + OPEN if any(_reaches(rule, a) for rule in web)]
        if reached != OPEN:
            yield f"HTTPS reaches {reached}"


def the_vault_fills_the_secret(rendered: Rendered) -> Iterator[str]:
    """Judge whether an ExternalSecret makes the mounted Secret, whole, and keeps it."""
    for each in rendered.all("ExternalSecret"):
        target = each["spec"]["target"]
        mounted = [v["secret"]["secretName"] for v in rendered.pod["volumes"] if "secret" in v]
        if [target["name"]] != mounted:
            yield f"makes {target['name']}, mounted is {mounted}"
        if [set(source) for source in each["spec"].get("dataFrom", [])] != [{"extract"}]:
            yield "not every property of the entry becomes a file"
        if each["spec"]["secretStoreRef"]["kind"] != "SecretStore":
            yield "every namespace reads the same entry"
        if target.get("deletionPolicy") != "Retain":
            yield "a lost entry takes the Secret away"


def messages_outlive_their_manifest(rendered: Rendered) -> Iterator[str]:
    """Judge whether deleting a manifest deletes no queue, and no user may declare or delete."""
    for queue in rendered.all("Queue"):
        if queue["spec"].get("deletionPolicy") != "retain":
            yield f"{queue['spec']['name']} goes with its manifest"
    for each in rendered.all("Permission"):
        if each["spec"]["permissions"].get("configure") != PARKED:
            yield "the importer may declare and delete more than queues for what waits"
    for each in rendered.all("Exchange", "Queue", "Binding", "User", "Permission"):
        if "rabbitmqClusterReference" not in each["spec"]:
            yield f"{each['kind']} names no broker"


def _relabelled(rule: Manifest, labels: Mapping[str, str]) -> str | None:
    """Return the job that a relabelling makes of a pod's labels, if it makes one."""
    meta = "__meta_kubernetes_pod_label_"
    known = {meta + re.sub(r"\W", "_", name): value for name, value in labels.items()}
    source = ";".join(known.get(name, "") for name in rule["sourceLabels"])
    found = re.fullmatch(rule.get("regex", "(.*)"), source)
    if found is None or rule["targetLabel"] != "job":
        return None
    return found.expand(rule["replacement"].replace("$", "\\"))


def _network_policies(rendered: Rendered, name: str) -> list[Manifest]:
    """Return the component's own; what an overlay adds is the overlay's affair."""
    return [p["spec"] for p in rendered.all("NetworkPolicy") if p["metadata"]["name"] == name]


def _ports(rule: Manifest) -> set[Any]:
    return {port["port"] for port in rule["ports"]}


def _reaches(rule: Manifest, address: str) -> bool:
    if "to" not in rule:
        return True
    for peer in rule["to"]:
        block = peer.get("ipBlock", {"cidr": "0.0.0.0/0"})
        inside = ipaddress.ip_address(address) in ipaddress.ip_network(block["cidr"])
        barred = [ipaddress.ip_network(each) for each in block.get("except", [])]
        if inside and not any(ipaddress.ip_address(address) in each for each in barred):
            return True
    return False


def _seconds(text: str) -> int:
    return int(text.removesuffix("s"))
