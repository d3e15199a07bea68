"""Lists every metric: name, meaning, and what to do when it moves."""

from service.domain.batch import ClosedBy
from service.domain.outcomes import FailureKind, PauseReason
from service.domain.values import Flaw
from service.telemetry.declared import Declared
from service.telemetry.delivery import DELIVERY
from service.telemetry.labels import (
    AGES,
    ALL_LANES,
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
        "messages settled, by outcome",
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
        "batches that left, by what closed them",
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
        "time from a batch's first item until it left",
        "above the window: no slot was free, the portal is the limit",
        buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
        labels={"closed_by": tuple(ClosedBy)},
    ),
    Declared(
        "loop_seconds_total",
        "time spent by phase: messages received, due batches without a slot, calls, settling",
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
        "what upstream waits for: high while latency is low, it waited in the queue",
        buckets=AGES,
        labels={"outcome": OUTCOMES},
    ),
    Declared(
        "events_without_id_total",
        "events identified by a digest of their body",
        "ask upstream to send an id: two equal bodies without one are one event",
    ),
    Declared(
        "field_complaints_total",
        "fields that the portal would drop or change without a word, by flaw",
        "read the warnings of the results and tell the upstream team",
        labels={"flaw": tuple(Flaw)},
    ),
    Declared(
        "messages_returned_total",
        "deliveries given back to the queue unsettled",
        "rises once per pause and at each stop; steadily: something holds too long",
    ),
    Declared(
        "messages_lost_with_session_total",
        "deliveries whose broker connection ended first; they are redelivered",
        "rises with each reconnect; often: look at the broker",
    ),
    Declared(
        "held_messages",
        "deliveries held unsettled",
        "at the prefetch for long: the portal is the limit",
    ),
    Declared(
        "oldest_held_seconds",
        "age of the oldest delivery held; 0 when none is",
        "near RABBIT__HOLD_SECONDS: see paused and request_duration_seconds",
    ),
    Declared(
        "hold_limit_seconds",
        "longest time a delivery is held: RABBIT__HOLD_SECONDS",
        "what oldest_held_seconds is compared with",
    ),
    Declared(
        "batch_max_items",
        "most items per call: BATCH__MAX_ITEMS",
        "what batch_size is compared with",
    ),
    Declared(
        "slots_in_use", "batches in flight", "always at BATCH__SLOTS: the portal is the limit"
    ),
    Declared(
        "duplicates_joined_total",
        "messages that joined a copy in flight or one settled before",
        "rises after reconnects; steadily: upstream publishes ids twice",
    ),
    Declared(
        "requests_total",
        "calls to the portal, by what came of them",
        "throttled: somebody shares the limit; barred: see paused",
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
        "execution seconds the portal has counted in the last 10 minutes",
        "near the limit: the portal's budget is spent",
        labels={"method": ("import", "list")},
    ),
    Declared(
        "operating_limit_seconds",
        "execution seconds that we allow ourselves per 10 minutes",
        "set by BITRIX__OPERATING_LIMIT_SECONDS; the portal never tells its own",
    ),
    Declared(
        "operating_reset_timestamp_seconds",
        "when the portal forgets the oldest part of what it counted, by our clock",
        "work goes on then, if operating_seconds is at the limit",
        labels={"method": ("import", "list")},
    ),
    Declared(
        "request_bucket_level",
        "requests in the portal's bucket, as we count them",
        "at BITRIX__BURST: calls leave at BITRIX__REQUESTS_PER_SECOND",
    ),
    Declared(
        "request_rate_share",
        "the share of the nominal request rate that we use; lower after refusals",
        "below 1 for long: somebody else calls the portal from our address",
    ),
    Declared(
        "item_cost_seconds",
        "what one item of the type costs the portal, learnt",
        "batches carry fewer items when this times 20 comes near 60",
        labels={"entity_type": (*KNOWN_TYPES, OTHER)},
    ),
    Declared(
        "paused",
        "1 while intake is paused for the reason",
        "credentials, scope, plan, blocked: mend it in the portal; the rest passes",
        labels={"reason": tuple(PauseReason)},
    ),
    *WAITING,
    Declared(
        "paused_seconds_total",
        "time that intake was shut for the reason; the lane is an entity type, or all",
        "its rate is the share of time shut, also of a pause that comes and goes",
        labels={"reason": tuple(PauseReason), "lane": (ALL_LANES,)},
    ),
    Declared(
        "links_waiting",
        "events that wait for the items that they refer to, as far as this process has seen them",
        "grows: the events that they name fail or are never published; look at the dead letters",
    ),
    Declared(
        "links_total",
        "references resolved, by how the item was found; events given up for one, by why",
        "timed_out, impossible: tell the upstream team; mostly looked_up: is the memory in use?",
        labels={"result": LINK_RESULTS},
    ),
    Declared(
        "ambiguous_batches_total",
        "calls whose outcome was unknown",
        "often: the portal or the way to it is unstable",
    ),
    Declared(
        "reconciled_items_total",
        "items looked up, by whether they were in the CRM",
        "follows ambiguous_batches_total and restarts",
        labels={"found": ("yes", "no")},
    ),
    Declared(
        "portal_set_back_total",
        "times that the portal gave out an item number again: it has older data than we",
        "find out which items are missing, and publish their events again (runbook)",
    ),
    Declared(
        "isolation_requests_total",
        "items sent alone to find out which one breaks its call",
        "see item_errors_total for what was found",
    ),
    *DELIVERY,
)
