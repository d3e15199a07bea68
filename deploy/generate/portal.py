"""Says what the row on the portal shows."""

from deploy.generate.panels import Panel, Query, Row
from deploy.generate.promql import ITEMS, JOB, TYPES, rate, top

PORTAL = Row(
    "Portal",
    [
        Panel(
            title="Calls by result",
            description="Calls to the portal. throttled: another program shares the limit; "
            "refused: see paused; ambiguous: unknown outcome.",
            unit="reqps",
            stacked=True,
            queries=[Query(rate("requests_total", "method, result"), "{{method}} {{result}}")],
        ),
        Panel(
            title="Duration of imports",
            description="How long import calls took. The cloud cuts them at 60 s.",
            unit="s",
            kind="heatmap",
            queries=[
                Query(
                    rate("request_duration_seconds_bucket", "le", f'{JOB}, method="import"'),
                    "{{le}}",
                )
            ],
        ),
        Panel(
            title="Waiting for the portal's limits",
            description="Seconds per second that calls waited. Above 0 under load is normal: the "
            "portal is the limit.",
            unit="s",
            queries=[Query(rate("pacer_wait_seconds_total", "reason"), "{{reason}}")],
        ),
        Panel(
            title="Execution budget",
            description="Execution seconds that the portal has counted in ten minutes, and "
            "what the importer may use. At the limit, calls are only as fast as the budget "
            "allows.",
            unit="s",
            queries=[
                Query(top("operating_seconds", "method"), "{{job}} {{method}}"),
                Query(top("operating_limit_seconds", "method"), "{{job}} {{method}} limit"),
            ],
        ),
        Panel(
            title="Until the portal forgets",
            description="Time until the oldest execution seconds stop counting.",
            unit="s",
            queries=[
                Query(
                    "max by (job, method) (clamp_min("
                    f"importer_operating_reset_timestamp_seconds{{{JOB}}} - on (job, instance) "
                    f"group_left () importer_loop_heartbeat_timestamp_seconds{{{JOB}}}, 0))",
                    "{{job}} {{method}}",
                ),
            ],
        ),
        Panel(
            title="Requests in the bucket",
            description="Requests in the portal's bucket, by our own count. At BITRIX__BURST "
            "calls "
            "leave at BITRIX__REQUESTS_PER_SECOND.",
            queries=[Query(top("request_bucket_level"), "{{job}}")],
        ),
        Panel(
            title="Share of the request rate",
            description="Share of the configured request rate in use. Below 100 % for long: "
            "another program calls the portal from our address.",
            unit="percentunit",
            most=1,
            queries=[Query(f"min by (job) (importer_request_rate_share{{{JOB}}})", "{{job}}")],
        ),
        Panel(
            title="Slots in use",
            description="Batches in flight. Always at BATCH__SLOTS (below, in the table of "
            "settings): the portal is the limit.",
            queries=[Query(top("slots_in_use"), "{{job}}")],
        ),
        Panel(
            title="Cost of one item",
            description="Learnt time that the portal needs for one item of a type. When a "
            "full batch comes near 60 s, batches carry fewer items.",
            unit="s",
            queries=[
                Query(
                    top("item_cost_seconds", "entity_type", TYPES) + " > 0",
                    "{{job}}, type {{entity_type}}",
                )
            ],
        ),
        Panel(
            title="Failures and warnings",
            description="Failed events. rejected, malformed: upstream must act; unsupported: the "
            "portal's settings; ambiguous: a person must decide. Warned: fields that the portal "
            "drops or changes silently; the item itself is imported.",
            unit=ITEMS,
            stacked=True,
            queries=[
                Query(rate("item_errors_total", "kind, code") + " > 0", "{{kind}} {{code}}"),
                Query(rate("field_complaints_total", "flaw") + " > 0", "warned: {{flaw}}"),
            ],
        ),
        Panel(
            title="Doubt",
            description="Calls with an unknown outcome, items looked up because of them, and "
            "items sent alone to find the one that breaks its call.",
            unit=ITEMS,
            queries=[
                Query(rate("ambiguous_batches_total"), "ambiguous calls"),
                Query(rate("reconciled_items_total", "found"), "looked up, found: {{found}}"),
                Query(rate("isolation_requests_total"), "isolated"),
            ],
        ),
        Panel(
            title="Paused",
            description="1 while the intake is paused for the reason. The runbook of "
            "ImporterPaused says what to do for each.",
            stacked=True,
            queries=[Query(top("paused", "reason") + " == 1", "{{job}}: {{reason}}")],
        ),
    ],
)
