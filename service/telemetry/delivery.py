"""Lists the metrics of publishing, of the broker, and of the process itself."""

from service.domain.outcomes import FailureKind
from service.telemetry.declared import Declared
from service.telemetry.labels import PUBLISH_RESULTS, TARGETS

DELIVERY = (
    Declared(
        "published_total",
        "publishes, by target and the broker's answer",
        "returned: a queue or binding is missing; nacked: a queue is full",
        labels={"target": TARGETS, "result": PUBLISH_RESULTS},
    ),
    Declared(
        "publish_confirm_seconds",
        "time until the broker confirmed a publish",
        "slow: look at the broker's disk",
        buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
        labels={"target": TARGETS},
    ),
    Declared(
        "dead_letters_total",
        "original messages put into the dead-letter queue",
        "crm-importer dlq list shows the reasons",
        labels={"kind": tuple(FailureKind)},
    ),
    Declared(
        "broker_connected",
        "1 while both broker connections are up",
        "0: look at the broker and the network",
    ),
    Declared(
        "broker_blocked",
        "1 while the broker blocks publishers: a memory or disk alarm",
        "free memory or disk on the broker; until then results wait, and so does the intake",
    ),
    Declared(
        "certificate_expiry_timestamp_seconds",
        "when a certificate expires: the portal's, or ours for the broker (client, authority)",
        "renew it before; the importer reads a new file when it connects next",
        labels={"which": ()},
    ),
    Declared(
        "consumer_alive",
        "1 while the consumer is registered at the intake queue",
        "0 while not paused: the importer reconnects by itself; see consumer_restarts_total",
    ),
    Declared(
        "consumer_active",
        "1 when the consumer has received a message since it attached; a stand-by shows 0",
        "0 on every replica while the queue fills: the single active consumer hangs",
    ),
    Declared(
        "consumer_restarts_total",
        "broker connections made again, by reason",
        "cancelled: the queue was deleted or moved; lost: network or broker",
        labels={"reason": ("lost", "cancelled", "silent")},
    ),
    Declared(
        "stale_acks_total",
        "acknowledgements not sent because their connection had ended",
        "normal after a reconnect: the redelivered copy gets the same outcome",
    ),
    Declared(
        "last_delivery_timestamp_seconds",
        "when the last message was delivered",
        "old while the queue fills: the consumer is not active",
    ),
    Declared(
        "last_success_timestamp_seconds",
        "when the last item was imported",
        "old while messages wait: see paused and requests_total",
    ),
    Declared(
        "memory_written_timestamp_seconds",
        "when this process last wrote a note to the memory",
        "old while items are imported: the memory is missing or refused; the log says why",
    ),
    Declared(
        "loop_heartbeat_timestamp_seconds",
        "when the main loop last ran",
        "old: the process hangs, /livez fails and Kubernetes restarts it",
    ),
    Declared(
        "loop_lag_seconds",
        "how late the main loop ran",
        "above 0.1: the processor is too small",
        buckets=(0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5),
    ),
    Declared(
        "unexpected_errors_total",
        "unexpected exceptions (bugs)",
        "report it with the traceback from the log; the events in that work are returned or "
        "tried again alone",
    ),
    Declared(
        "log_lines_total",
        "log lines written, by level",
        "compare before and after a release",
        labels={"level": ("debug", "info", "warning", "error", "critical")},
    ),
    Declared(
        "shutdown_seconds",
        "how long the last drain took",
        "near SHUTDOWN__DEADLINE_SECONDS: work was returned",
    ),
    Declared("returned_on_drain_total", "deliveries given back at a stop", "nothing to do"),
    Declared("memory_limit_bytes", "memory limit of the container; 0: none", "raise it near 85 %"),
)
