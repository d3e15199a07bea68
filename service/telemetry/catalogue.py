"""Lists every metric: name, meaning, and what to do when it moves."""

from service.domain.batch import ClosedBy
from service.domain.outcomes import FailureKind, PauseReason
from service.domain.values import Flaw
from service.telemetry.declared import Declared
from service.telemetry.delivery import DELIVERY
from service.telemetry.labels import (
    AGES,
    ALL_LANES,
    BUDGETED,
    CALL_RESULTS,
    ENDS,
    KNOWN_CODES,
    KNOWN_TYPES,
    LATENCIES,
    LINK_RESULTS,
    METHODS,
    OTHER,
    OUTCOMES,
    PACER_REASONS,
    PHASES,
)
from service.telemetry.waiting import WAITING

ALL = (
    Declared(
        "messages_received_total",
        "messages delivered to this process",
        "compare with items_total: received + unparked = settled + held + returned + "
        "parked + lost",
        labels={"redelivered": ("true", "false")},
    ),
    Declared(
        "items_total",
        "messages with a final outcome, by outcome",
        "a rising share of failed: read item_errors_total for the reason",
        labels={"entity_type": (*KNOWN_TYPES, OTHER), "outcome": OUTCOMES},
    ),
    Declared(
        "item_errors_total",
        "failed events, by kind and code",
        "rejected and malformed: tell the upstream team; ambiguous: look into the portal",
        labels={"kind": tuple(FailureKind), "code": (*sorted(KNOWN_CODES), OTHER)},
        sets=(*ENDS, *((kind, OTHER) for kind in FailureKind)),
    ),
    Declared(
        "batches_total",
        "batches sent, by what closed them",
        "mostly pressure: raise BATCH__PREFETCH; mostly window: traffic is light",
        labels={"closed_by": tuple(ClosedBy)},
    ),
    Declared(
        "batch_size",
        "items per batch",
        "small batches under load: many entity types share the prefetch",
        buckets=(1, 2, 3, 5, 8, 10, 12, 15, 18, 19, 20),
    ),
    Declared(
        "batch_fill_seconds",
        "time from a batch's first item until the batch was sent",
        "above the window: no slot was free, because the portal is the limit",
        buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
        labels={"closed_by": tuple(ClosedBy)},
    ),
    Declared(
        "loop_seconds_total",
        "time spent, by phase: receive messages, wait for a free slot, call the portal, settle",
        "wait_slot grows: the portal is the limit; settle: the broker; receive: the processor",
        labels={"phase": PHASES},
    ),
    Declared(
        "end_to_end_latency_seconds",
        "time from receipt of a message until its outcome was confirmed",
        "growing: compare request_duration_seconds and pacer_wait_seconds_total",
        buckets=LATENCIES,
        labels={"outcome": OUTCOMES},
    ),
    Declared(
        "event_age_seconds",
        "time from the event's own time (CloudEvents time, else the AMQP timestamp, else its "
        "receipt) until its outcome was confirmed",
        "how long upstream waits; high while the latency is low: the event waited in the queue",
        buckets=AGES,
        labels={"outcome": OUTCOMES},
    ),
    Declared(
        "events_without_id_total",
        "events without an id; a digest of the body is their id",
        "ask upstream to send ids: without ids, two equal bodies are one event",
    ),
    Declared(
        "field_complaints_total",
        "fields that the portal drops or changes silently, by flaw",
        "read the warnings of the results and tell the upstream team",
        labels={"flaw": tuple(Flaw)},
    ),
    Declared(
        "messages_returned_total",
        "unsettled deliveries returned to the queue",
        "normal at each pause and stop; rising all the time: messages are held too long",
    ),
    Declared(
        "messages_lost_with_session_total",
        "deliveries whose connection ended before they were settled; the broker delivers them "
        "again",
        "rises with each reconnect; often: look at the broker",
    ),
    Declared(
        "held_messages",
        "deliveries held and not yet settled",
        "at the prefetch for long: the portal is the limit",
    ),
    Declared(
        "oldest_held_seconds",
        "age of the oldest delivery held, without what waits in doubt or for links; 0: none",
        "near RABBIT__HOLD_SECONDS: see paused and request_duration_seconds",
    ),
    Declared(
        "hold_limit_seconds",
        "longest time a delivery is held: RABBIT__HOLD_SECONDS",
        "compare with oldest_held_seconds",
    ),
    Declared(
        "batch_max_items",
        "most items per call: BATCH__MAX_ITEMS",
        "compare with batch_size",
    ),
    Declared(
        "slots_in_use", "batches in flight", "always at BATCH__SLOTS: the portal is the limit"
    ),
    Declared(
        "duplicates_joined_total",
        "repeated messages that share the outcome of an earlier copy",
        "rises after reconnects; steadily: upstream publishes ids twice",
    ),
    Declared(
        "requests_total",
        "calls to the portal, by result",
        "throttled: another program shares the limit; refused: see paused",
        labels={"method": METHODS, "result": CALL_RESULTS},
    ),
    Declared(
        "request_duration_seconds",
        "duration of calls to the portal",
        "near 60: items are slow, lower BATCH__MAX_ITEMS",
        buckets=(0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 20, 30, 45, 60, 75),
        labels={"method": METHODS},
    ),
    Declared(
        "pacer_wait_seconds_total",
        "time that calls waited for the portal's limits",
        "normal under load: the portal is the limit",
        labels={"reason": PACER_REASONS},
    ),
    Declared(
        "operating_seconds",
        "execution seconds that the portal counted in the last 10 minutes",
        "near the limit: the portal's budget is spent",
        labels={"method": BUDGETED},
    ),
    Declared(
        "operating_limit_seconds",
        "execution seconds that the importer may use in 10 minutes",
        "set by BITRIX__OPERATING_LIMIT_SECONDS; the portal does not tell its own limit",
        labels={"method": BUDGETED},
    ),
    Declared(
        "operating_reset_timestamp_seconds",
        "when the oldest execution seconds stop counting, by our clock",
        "if operating_seconds is at the limit, imports continue at this time",
        labels={"method": BUDGETED},
    ),
    Declared(
        "request_bucket_level",
        "requests in the portal's bucket, by our own count",
        "at BITRIX__BURST: calls leave at BITRIX__REQUESTS_PER_SECOND",
    ),
    Declared(
        "request_rate_share",
        "share of BITRIX__REQUESTS_PER_SECOND that the importer uses; lower after refusals",
        "below 1 for long: another program calls the portal from our address",
    ),
    Declared(
        "item_cost_seconds",
        "learnt time that the portal needs for one item of the type",
        "near 3 and above: batches carry fewer items",
        labels={"entity_type": (*KNOWN_TYPES, OTHER)},
    ),
    Declared(
        "paused",
        "1 while intake is paused for the reason",
        "see the runbook ImporterPaused: it says for each reason who must act",
        labels={"reason": tuple(PauseReason)},
    ),
    *WAITING,
    Declared(
        "paused_seconds_total",
        "time that a lane was closed, or the whole intake (lane all) paused, by reason",
        "its rate is the share of time closed; it also shows a pause that comes and goes",
        labels={"reason": tuple(PauseReason), "lane": (ALL_LANES,)},
    ),
    Declared(
        "links_waiting",
        "events that wait for the items in their links; events that this process has not seen "
        "are not counted",
        "growing: the linked events fail or are never published; look at the dead letters",
    ),
    Declared(
        "links_total",
        "links resolved, by where the item was found; events failed for a link, by cause",
        "timed_out, impossible: tell the upstream team; mostly looked_up: check that the "
        "memory is in use",
        labels={"result": LINK_RESULTS},
    ),
    Declared(
        "ambiguous_batches_total",
        "calls whose outcome was unknown",
        "often: the portal or the network is unstable",
    ),
    Declared(
        "reconciled_items_total",
        "items looked up in the CRM, by whether they were found",
        "rises after ambiguous_batches_total and after restarts",
        labels={"found": ("yes", "no")},
    ),
    Declared(
        "portal_set_back_total",
        "times that the portal gave out an item number again, because it was set back to "
        "older data",
        "find out which items are missing, and publish their events again (runbook)",
    ),
    Declared(
        "isolation_requests_total",
        "items sent alone to find the one that breaks its call",
        "item_errors_total shows what was found",
    ),
    *DELIVERY,
)
