"""Lists, for each policy, changes that break it: what nothing breaks proves nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from tests.deploy.static import configuration, operators, pods, wiring
from tests.deploy.static.manifests import Rendered, render
from tests.deploy.static.wiring import COMPONENT, NAME

Policy: TypeAlias = Callable[[Rendered], Iterator[str]]

GONE = object()
SECRET_URL = "https://portal.example.com/rest/1/s3cret/"
FROM_SECRET = {"valueFrom": {"secretKeyRef": {"name": "crm-importer", "key": "x"}}}

# What is rendered / the kind of which the first (or the one of a number) is changed / where in it.
DEPLOYMENT = "production/Deployment/spec."
STAGED = "staging/Deployment/spec."
POD = DEPLOYMENT + "template.spec."
ONE = POD + "containers.0."
STANDBY = "standby/Deployment/spec."
SPREAD = "template.spec.topologySpreadConstraints"
BUDGET = "standby/PodDisruptionBudget/spec."
SCALED = "autoscale-keda/ScaledObject/spec."
TRIGGER = SCALED + "triggers.0.metadata."
INWARD = "network-policy/NetworkPolicy/spec."
OUTWARD = "network-policy/NetworkPolicy:1/spec."
MONITOR = "production/PodMonitor/spec."
VAULT = "external-secret/ExternalSecret/spec."
CONFIG = "production/ConfigMap/data."

BREAKS: Mapping[Policy, Sequence[tuple[str, object]]] = {
    pods.pods_are_restricted: [
        (POD + "securityContext", {}),
        (POD + "securityContext.fsGroup", 0),
        (POD + "hostNetwork", True),
        (POD + "volumes.1", {"name": "tmp", "hostPath": {"path": "/tmp"}}),
        (ONE + "securityContext.readOnlyRootFilesystem", False),
        (ONE + "securityContext.capabilities.add", ["NET_ADMIN"]),
    ],
    pods.pods_have_no_rights: [
        (POD + "automountServiceAccountToken", True),
        (POD + "enableServiceLinks", GONE),
        ("production/ServiceAccount/automountServiceAccountToken", True),
    ],
    pods.resources_are_bounded: [
        (ONE + "resources.limits.cpu", "1"),
        (ONE + "resources.limits", GONE),
        (ONE + "resources.limits.ephemeral-storage", GONE),
        (ONE + "resources.requests.memory", "1024Mi"),
        (POD + "volumes.1.emptyDir", {}),
    ],
    pods.only_tmp_can_be_written: [
        (POD + "volumes.0", {"name": "secrets", "emptyDir": {}}),
        (ONE + "volumeMounts.1.mountPath", "/app"),
        (ONE + "volumeMounts.0.readOnly", GONE),
    ],
    pods.no_secret_is_a_variable: [
        (ONE + "env.2.value", "amqp://importer:s3cret@rabbitmq/"),
        (ONE + "env.2", {"name": "IMPORTER_RABBIT__URL", **FROM_SECRET}),
        (ONE + "envFrom.0", {"secretRef": {"name": "crm-importer"}}),
        (CONFIG + "IMPORTER_BITRIX__WEBHOOK_URL", SECRET_URL),
    ],
    pods.no_secret_is_in_the_repository: [
        (CONFIG + "webhook_url", SECRET_URL),
        ("production/ConfigMap/kind", "Secret"),
    ],
    pods.secrets_are_files: [
        (ONE + "env.2.value", "/tmp/rabbit_url"),
        (POD + "volumes.0.secret.defaultMode", 0o444),
    ],
    pods.probes_ask_the_right_paths: [
        (ONE + "livenessProbe.httpGet.path", "/readyz"),
        (ONE + "startupProbe", GONE),
        (ONE + "readinessProbe.failureThreshold", 20),
    ],
    pods.nothing_delays_the_stop: [(ONE + "lifecycle", {"preStop": {"sleep": {"seconds": 60}}})],
    pods.images_are_chosen: [
        (ONE + "image", "registry.example.com/crm-importer:0.1.0"),
        (STAGED + "template.spec.containers.0.image", "crm-importer:latest"),
        (STAGED + "template.spec.containers.0.image", "registry:5000/crm-importer"),
    ],
    wiring.replicas_fit_their_purpose: [
        (DEPLOYMENT + "replicas", 3),
        (DEPLOYMENT + "strategy", {"type": "Recreate"}),
        ("autoscale-keda/Deployment/spec.replicas", 1),
        ("local/Deployment/spec.replicas", 2),
        ("local/Deployment/spec.strategy", wiring.ROLLING),
        ("standby/PodDisruptionBudget/kind", "Nothing"),
    ],
    wiring.a_standby_is_spread_and_blocks_nothing: [
        (BUDGET + "maxUnavailable", 0),
        (BUDGET + "unhealthyPodEvictionPolicy", GONE),
        (STANDBY + SPREAD, GONE),
        (STANDBY + SPREAD + ".0.whenUnsatisfiable", "DoNotSchedule"),
    ],
    wiring.selectors_choose_their_pods: [
        (STAGED + "selector.matchLabels", {NAME: "other"}),
        ("staging/Service/spec.selector", {COMPONENT: "other"}),
        ("staging/Service/spec.selector", wiring.SANDBOX),
        ("staging/NetworkPolicy/spec.podSelector.matchLabels", {}),
        (OUTWARD + "podSelector.matchLabels", wiring.IMPORTER | {COMPONENT: "other"}),
        ("staging/NetworkPolicy:1/spec.podSelector.matchLabels", {}),
        (MONITOR + "selector.matchLabels", {NAME: "importer"}),
        (BUDGET + "selector.matchLabels", {NAME: "importer"}),
        (STANDBY + SPREAD + ".0.labelSelector.matchLabels", {NAME: "importer"}),
    ],
    wiring.ports_are_named_the_same: [
        (ONE + "ports.0.name", "metrics"),
        (ONE + "livenessProbe.httpGet.port", "metrics"),
        (MONITOR + "podMetricsEndpoints.0.port", "metrics"),
        (INWARD + "ingress.0.ports.0.port", "metrics"),
        ("production/Service/spec.ports.0.targetPort", "metrics"),
        ("production/Service/spec.ports.0.name", "metrics"),
    ],
    wiring.names_lead_somewhere: [
        (POD + "serviceAccountName", "other"),
        (ONE + "envFrom.0.configMapRef.name", "crm-importer"),
        (POD + "volumes.0.secret.secretName", "other"),
        ("local/Deployment/spec.template.spec.volumes.0.configMap.name", "crm-importer"),
        (SCALED + "scaleTargetRef.name", "other"),
        ("autoscale-keda/TriggerAuthentication/metadata.name", "other"),
        ("broker-topology/User/metadata.name", "other"),
    ],
    wiring.everything_is_labelled: [
        ("broker-topology/Queue/metadata.labels", GONE),
        ("staging/Service/metadata.labels", wiring.SANDBOX),
    ],
    wiring.pods_tell_their_version: [
        (DEPLOYMENT + "template.metadata.labels", wiring.IMPORTER),
        (STAGED + "template.spec.containers.0.image", "registry.example.com/crm-importer:0.2.0"),
        ("staging/Service/spec.selector", wiring.SANDBOX | {wiring.VERSION: "0.1.0"}),
    ],
    wiring.namespaces_are_restricted: [
        ("production/Namespace/metadata.labels", {}),
        ("production/Service/metadata.namespace", "default"),
        ("local/Service/metadata.namespace", "default"),
    ],
    configuration.settings_are_accepted: [
        (CONFIG + "IMPORTER_BATCH__WINDOW", "2"),
        (CONFIG + "IMPORTER_BATCH__SLOTS", "many"),
        (CONFIG + "IMPORTER_RABBIT__HOLD_SECONDS", "60"),
        (ONE + "env.2.value", "/etc/crm-importer/secrets/rabbit"),
        (ONE + "env.3", GONE),
        (ONE + "volumeMounts.0.mountPath", "/secrets"),
        ("local/Deployment/spec.template.spec.volumes.0.configMap.name", "crm-importer"),
    ],
    configuration.neighbours_are_named: [(ONE + "env.2", GONE), (ONE + "env.3", GONE)],
    configuration.the_drain_ends_before_the_kill: [
        (POD + "terminationGracePeriodSeconds", GONE),
        (POD + "terminationGracePeriodSeconds", 90),
        (CONFIG + "IMPORTER_SHUTDOWN__DEADLINE_SECONDS", "110"),
        (CONFIG + "IMPORTER_BITRIX__TIMEOUT_SECONDS", "90"),
    ],
    configuration.the_worst_fits_into_memory: [
        (ONE + "resources.limits.memory", "192Mi"),
        (CONFIG + "IMPORTER_BATCH__PREFETCH", "500"),
    ],
    configuration.the_port_is_the_one_listened_on: [
        (CONFIG + "IMPORTER_HTTP__PORT", "9090"),
        (CONFIG + "IMPORTER_HTTP__HOST", "127.0.0.1"),
        (ONE + "ports.0.containerPort", 9090),
    ],
    configuration.whoever_owns_the_topology_is_alone: [
        (CONFIG + "IMPORTER_RABBIT__TOPOLOGY", "check"),
        ("broker-topology/ConfigMap/data.IMPORTER_RABBIT__TOPOLOGY", GONE),
    ],
    operators.the_autoscaler_stops_nothing_at_work: [
        (SCALED + "cooldownPeriod", 600),
        ("autoscale-keda/ConfigMap/data.IMPORTER_RABBIT__HOLD_SECONDS", "900"),
        (SCALED + "maxReplicaCount", 5),
        (SCALED + "fallback", GONE),
    ],
    operators.the_autoscaler_counts_what_is_held_and_what_waits: [
        (TRIGGER + "protocol", "amqp"),
        (TRIGGER + "excludeUnacknowledged", "true"),
        (TRIGGER + "queueLenght", "20"),
        (TRIGGER + "queueName", "crm.items"),
        (SCALED + "triggers.1", GONE),
        (SCALED + "triggers.1.metadata.useRegex", GONE),
    ],
    operators.the_autoscaler_can_log_in: [
        ("autoscale-keda/TriggerAuthentication/spec.secretTargetRef.2.parameter", "pass"),
    ],
    operators.every_portal_is_scraped_as_a_job_of_its_own: [
        (MONITOR + "podMetricsEndpoints.0.relabelings.0.replacement", "importer"),
        (MONITOR + "podMetricsEndpoints.0.relabelings.0.targetLabel", "portal"),
        (MONITOR + "podMetricsEndpoints.0.path", "/"),
        (MONITOR + "podMetricsEndpoints.0.scrapeTimeout", "30s"),
    ],
    operators.only_who_asks_for_figures_comes_in: [
        (INWARD + "policyTypes", []),
        (INWARD + "ingress.0.from", GONE),
        (INWARD + "ingress.0.ports.0.port", 22),
    ],
    operators.only_what_is_needed_goes_out: [
        (OUTWARD + "policyTypes", ["Ingress"]),
        (OUTWARD + "egress.1.ports.0.port", 25),
        (OUTWARD + "egress.2.to", GONE),
        (OUTWARD + "egress.3.to", GONE),
        (OUTWARD + "egress.3.to.0.ipBlock.except", []),
        (OUTWARD + "egress.3.to.1.ipBlock.cidr", "::/128"),
    ],
    operators.the_vault_fills_the_secret: [
        (VAULT + "target.name", "other"),
        (VAULT + "target.deletionPolicy", "Delete"),
        (VAULT + "dataFrom", []),
        (VAULT + "secretStoreRef.kind", "ClusterSecretStore"),
    ],
    operators.messages_outlive_their_manifest: [
        ("broker-topology/Queue/spec.deletionPolicy", GONE),
        ("broker-topology/Permission/spec.permissions.configure", ".*"),
        ("broker-topology/Binding/spec.rabbitmqClusterReference", GONE),
    ],
}


class Break(NamedTuple):
    """One change, and the policy that it breaks."""

    policy: Policy
    place: str
    value: object

    @property
    def label(self) -> str:
        """Names the policy and the place."""
        return f"{self.policy.__name__}-{self.place}"

    def spoil(self) -> Rendered:
        """Return what is rendered, with the change made."""
        name, kind, path = self.place.split("/")
        mutated = render(name).copy()
        *way, last = path.split(".")
        kind, _, number = kind.partition(":")
        place: Any = mutated.all(kind)[int(number or 0)]
        for step in way:
            place = place[_key(place, step)]
        if self.value is GONE:
            del place[_key(place, last)]
        else:
            place[_key(place, last)] = self.value
        return mutated


EVERY = [Break(policy, *change) for policy, changes in BREAKS.items() for change in changes]


def _key(place: object, step: str) -> str | int:
    return int(step) if isinstance(place, list) else step
