"""Says what the rows on delivery and the process show."""

from deploy.generate.panels import Panel, Query, Row
from deploy.generate.promql import ITEMS, JOB, quantile, rate, top

DELIVERY = Row(
    "Delivery",
    [
        Panel(
            title="Publishes",
            description="Results and dead letters. returned: a queue or binding is missing; "
            "nacked: a queue is full; lost: the connection ended first.",
            unit=ITEMS,
            width=6,
            queries=[Query(rate("published_total", "target, result"), "{{target}} {{result}}")],
        ),
        Panel(
            title="Confirmed by the broker",
            description="Time until a publish was confirmed. Slow: look at the broker's disk.",
            unit="s",
            width=6,
            queries=[
                Query(quantile("0.95", "publish_confirm_seconds", "target"), "{{target}}, 95 %")
            ],
        ),
        Panel(
            title="Repeats",
            description="Redelivered messages, acknowledgements that were too late, copies that "
            "joined an event in flight: all rise after a reconnect. "
            "Without an id, two equal bodies are one event.",
            unit=ITEMS,
            width=6,
            queries=[
                Query(
                    rate("messages_received_total", labels=f'{JOB}, redelivered="true"'),
                    "redelivered",
                ),
                Query(rate("stale_acks_total"), "late acknowledgements"),
                Query(rate("duplicates_joined_total"), "copies joined"),
                Query(rate("events_without_id_total"), "without an id"),
            ],
        ),
        Panel(
            title="Connections made again",
            description="How often the importer connected to the broker again, by the end of "
            "the last connection. The runbook of ImporterLinkFlapping says what each word "
            "means.",
            unit="suffix: connections/s",
            width=6,
            queries=[Query(rate("consumer_restarts_total", "reason"), "{{reason}}")],
        ),
        Panel(
            title="Into the dead letters",
            description="Original messages put into the dead-letter queue, by kind of failure.",
            unit=ITEMS,
            width=6,
            queries=[Query(rate("dead_letters_total", "kind") + " > 0", "{{kind}}")],
        ),
        Panel(
            title="Results waiting to be read",
            description="Messages in the result queues. A line that only rises: nothing reads "
            "them.",
            width=6,
            queries=[Query(f"job:importer_results_ready:sum{{{JOB}}}", "{{queue}}")],
        ),
    ],
)
PROCESS = Row(
    "Process",
    [
        Panel(
            title="Memory",
            description="Resident memory of each process, and the container's limit if any.",
            unit="bytes",
            queries=[
                Query(f"process_resident_memory_bytes{{{JOB}}}", "{{instance}}"),
                Query(top("memory_limit_bytes") + " > 0", "{{job}} limit"),
            ],
        ),
        Panel(
            title="Processor",
            description="Cores used. The importer uses one at most.",
            queries=[
                Query(
                    f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])", "{{instance}}"
                )
            ],
        ),
        Panel(
            title="Main loop",
            description="How late the loop ran, and how long ago it last did. Above 0.1 s: the "
            "processor is too small; above 30 s it is restarted.",
            unit="s",
            queries=[
                Query(quantile("0.99", "loop_lag_seconds"), "late, 99 %"),
                Query(
                    f"time() - importer_loop_heartbeat_timestamp_seconds{{{JOB}}}",
                    "{{instance}}, since it last ran",
                ),
            ],
        ),
        Panel(
            title="Where the time goes",
            description="Seconds per second by phase, over all slots. wait_slot: batches are due "
            "and the portal is the limit; settle: the broker is; receive: the processor is.",
            unit="s",
            queries=[Query(rate("loop_seconds_total", "phase"), "{{phase}}")],
        ),
        Panel(
            title="Last delivery and last success",
            description="How long ago. Both old: no messages come. Only the success is old: "
            "no item gets into the CRM.",
            unit="s",
            queries=[
                Query(
                    f"time() - ({top('last_delivery_timestamp_seconds')} > 0)",
                    "{{job}}, last delivery",
                ),
                Query(
                    f"time() - ({top('last_success_timestamp_seconds')} > 0)",
                    "{{job}}, last success",
                ),
                Query(
                    f"time() - ({top('memory_written_timestamp_seconds')} > 0)",
                    "{{job}}, last note in the memory",
                ),
            ],
        ),
        Panel(
            title="Uptime",
            description="Since when each process runs.",
            unit="s",
            queries=[Query(f"time() - process_start_time_seconds{{{JOB}}}", "{{instance}}")],
        ),
        Panel(
            title="Length of the last stop",
            description="How long the last stop took, of SHUTDOWN__DEADLINE_SECONDS (if it was "
            "seen: the log has it always).",
            unit="s",
            queries=[Query(top("shutdown_seconds"), "{{job}}")],
        ),
        Panel(
            title="Log lines",
            description="Lines written by level. Compare before and after a release.",
            unit="suffix: lines/s",
            queries=[Query(rate("log_lines_total", "level"), "{{level}}")],
        ),
        Panel(
            title="Certificates",
            description="Time until a certificate expires: the portal's, ours for the broker, "
            "the broker's authority. As of the last connection.",
            unit="s",
            queries=[
                Query(
                    f"min by (job, which) (importer_certificate_expiry_timestamp_seconds{{{JOB}}})"
                    " - time()",
                    "{{job}}: {{which}}",
                )
            ],
        ),
        Panel(
            title="Versions and settings",
            description="What runs, for which portal, on which queue, with the batch settings "
            "in use.",
            kind="table",
            width=24,
            height=5,
            queries=[
                Query(
                    f"importer_build_info{{{JOB}}} * on (job, instance) group_left (portal, "
                    "vhost, intake_queue, batch_max_items, window_seconds, prefetch, slots) "
                    f"importer_config_info{{{JOB}}}",
                    instant=True,
                )
            ],
        ),
    ],
)
