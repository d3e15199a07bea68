"""Says what the rows on state and flow show."""

from deploy.generate.panels import Panel, Query, Row
from deploy.generate.promql import ITEMS, JOB, TYPES, quantile, rate, top

STATE = Row(
    "Is it all right?",
    [
        Panel(
            title="State",
            description="Connected to the broker, getting messages, paused on purpose, "
            "blocked by an alarm of the broker. Normal: connected 1, active 1, paused 0, "
            "blocked 0; a quiet stand-by shows active 0.",
            kind="stat",
            width=6,
            height=5,
            queries=[
                Query(top("broker_connected"), "{{job}} connected"),
                Query(f"sum by (job) (importer_consumer_active{{{JOB}}})", "{{job}} active"),
                Query(top("consumer_alive"), "{{job}} attached"),
                Query(
                    f"max by (job) (sum by (job, instance) (importer_paused{{{JOB}}}))",
                    "{{job}} paused",
                ),
                Query(top("broker_blocked"), "{{job}} blocked"),
            ],
        ),
        Panel(
            title="Oldest held",
            description="Age of the oldest unsettled message, as a share of "
            "RABBIT__HOLD_SECONDS: at 100 % it goes back to the queue.",
            kind="stat",
            unit="percentunit",
            width=3,
            height=5,
            bad=0.2,
            worse=0.5,
            queries=[
                Query(
                    f"max by (job) (importer_oldest_held_seconds{{{JOB}}} / on (job, instance) "
                    f"importer_hold_limit_seconds{{{JOB}}})",
                    "{{job}}",
                )
            ],
        ),
        Panel(
            title="Success rate",
            description="Share of settled items that reached the CRM.",
            kind="stat",
            unit="percentunit",
            width=3,
            height=5,
            bad=0.99,
            worse=0.9,
            rising=False,
            nothing="idle",
            queries=[
                Query(
                    rate("items_total", labels=f'{TYPES}, outcome=~"imported|duplicate"')
                    + " / ("
                    + rate("items_total", labels=TYPES)
                    + " > 0)"
                )
            ],
        ),
        Panel(
            title="Items per second",
            description="Messages settled, whatever their outcome.",
            kind="stat",
            unit=ITEMS,
            width=3,
            height=5,
            queries=[Query(rate("items_total", labels=TYPES))],
        ),
        Panel(
            title="Age at the outcome",
            description="95 % of the items had their outcome this long after their own time, "
            "or sooner: how long upstream waits.",
            kind="stat",
            unit="s",
            width=3,
            height=5,
            nothing="idle",
            queries=[Query(quantile("0.95", "event_age_seconds") + " >= 0")],
        ),
        Panel(
            title="Dead letters waiting",
            description="Messages in the dead-letter queue (from RabbitMQ's exporter). They wait "
            "for a person: crm-importer dlq list.",
            kind="stat",
            width=3,
            height=5,
            bad=1,
            queries=[Query(f"sum (job:importer_dead_letters_ready:sum{{{JOB}}})")],
        ),
        Panel(
            title="Error budget left",
            description="How much of the error budget of the settlement objective is left, at "
            "the rate of the last three days.",
            kind="stat",
            unit="percentunit",
            width=3,
            height=5,
            bad=0.5,
            worse=0.1,
            rising=False,
            nothing="idle",
            queries=[
                Query(
                    f"1 - max by (job) (job:importer_items_failed:ratio_rate3d{{{JOB}}}) "
                    "/ (1 - scalar(importer:settlement_objective:ratio))",
                    "{{job}}",
                )
            ],
        ),
    ],
)
FLOW = Row(
    "Flow",
    [
        Panel(
            title="Received and settled",
            description="Every received message is settled, held, returned or lost. Returned "
            "rises at each pause and stop, lost at each reconnect.",
            unit=ITEMS,
            queries=[
                Query(rate("messages_received_total"), "received"),
                Query(rate("items_total"), "settled"),
                Query(rate("messages_returned_total"), "returned"),
                Query(rate("messages_lost_with_session_total"), "lost with a session"),
                Query(rate("returned_on_drain_total"), "returned at a stop"),
            ],
        ),
        Panel(
            title="Outcomes",
            description="How items ended, of the entity types chosen above.",
            unit=ITEMS,
            stacked=True,
            queries=[Query(rate("items_total", "outcome", TYPES), "{{outcome}}")],
        ),
        Panel(
            title="Receipt to outcome",
            description="Time from receipt until the outcome was confirmed by the broker. The "
            "freshness objective is about the age: next row.",
            unit="s",
            queries=[
                Query(quantile("0.5", "end_to_end_latency_seconds"), "half within"),
                Query(quantile("0.95", "end_to_end_latency_seconds"), "95 % within"),
                Query(quantile("0.99", "end_to_end_latency_seconds"), "99 % within"),
                Query(quantile("0.95", "batch_fill_seconds"), "of it filling the batch, 95 %"),
            ],
        ),
        Panel(
            title="Waiting and held",
            description="Messages ready in the intake, delivered but not acknowledged (both from "
            "RabbitMQ's exporter), and held by the importer.",
            queries=[
                Query(f"sum (job:importer_intake_ready:sum{{{JOB}}})", "ready"),
                Query(f"sum (job:importer_intake_unacked:sum{{{JOB}}})", "unacknowledged"),
                Query(f"sum (importer_held_messages{{{JOB}}})", "held"),
            ],
        ),
        Panel(
            title="Time to drain",
            description="Time until the intake is empty at the present rate.",
            unit="s",
            queries=[Query(f"max by (job) (job:importer_drain:seconds{{{JOB}}})", "{{job}}")],
        ),
        Panel(
            title="Batches by what closed them",
            description="Mostly window: traffic is light. Mostly size: normal under load. "
            "Mostly pressure: many entity types share the prefetch.",
            unit="suffix: batches/s",
            stacked=True,
            queries=[Query(rate("batches_total", "closed_by"), "{{closed_by}}")],
        ),
        Panel(
            title="Batch fill",
            description="Items per batch, as a share of BATCH__MAX_ITEMS. Low while messages "
            "wait: the prefetch is small or the types are many.",
            unit="percentunit",
            most=1,
            queries=[
                Query(
                    f"{rate('batch_size_sum', 'job')} / {rate('batch_size_count', 'job')} / "
                    f"{top('batch_max_items')}",
                    "{{job}}",
                )
            ],
        ),
        Panel(
            title="Service levels",
            description="Share of items that failed by a fault of ours, and that took more "
            "than 60 s, over an hour, and what the objectives allow.",
            unit="percentunit",
            queries=[
                Query(
                    f"max by (job) (job:importer_items_failed:ratio_rate1h{{{JOB}}})",
                    "{{job}} failed",
                ),
                Query(
                    f"max by (job) (job:importer_event_age_slow:ratio_rate1h{{{JOB}}})",
                    "{{job}} slow",
                ),
                Query("1 - max (importer:settlement_objective:ratio)", "allowed to fail"),
                Query("1 - max (importer:freshness_objective:ratio)", "allowed to be slow"),
            ],
        ),
    ],
)
