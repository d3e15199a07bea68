"""Says what the row on lanes and age shows."""

from deploy.generate.panels import Panel, Query, Row
from deploy.generate.promql import ITEMS, JOB, quantile, rate, top

LANES = Row(
    "Lanes and age",
    [
        Panel(
            title="Age of an event",
            description="Time from the event's own time (else from its receipt) until its outcome "
            "was confirmed. Far above receipt to outcome: the event waited in a queue.",
            unit="s",
            queries=[
                Query(quantile("0.5", "event_age_seconds"), "half within"),
                Query(quantile("0.95", "event_age_seconds"), "95 % within"),
                Query(quantile("0.99", "event_age_seconds"), "99 % within"),
            ],
        ),
        Panel(
            title="Closed lanes",
            description="1 while the events of an entity type wait, by reason; the others "
            "flow. The runbook of ImporterLaneClosed says who must act.",
            stacked=True,
            queries=[
                Query(
                    top("lane_closed", "entity_type, reason") + " == 1",
                    "{{job}}, type {{entity_type}}: {{reason}}",
                )
            ],
        ),
        Panel(
            title="Share of the time shut",
            description="Share of the time that a lane, or the whole intake (lane all), was "
            "closed, by reason. A pause that comes and goes counts like one that stays.",
            unit="percentunit",
            most=1,
            queries=[
                Query(
                    "max by (job, lane, reason) (rate(importer_paused_seconds_total"
                    f"{{{JOB}}}[$__rate_interval])) > 0",
                    "{{job}}, lane {{lane}}: {{reason}}",
                )
            ],
        ),
        Panel(
            title="Events that wait",
            description="Events in inner queues, by entity type and what they wait for. all: "
            "for linked items (link), or for a proof (doubt).",
            stacked=True,
            queries=[
                Query(
                    top("parked_messages", "entity_type, reason") + " > 0",
                    "{{job}}, type {{entity_type}}: {{reason}}",
                ),
            ],
        ),
        Panel(
            title="Oldest that waits",
            description="How long the oldest event of a type has waited in an inner queue. "
            "Above six hours: ImporterParkedTooLong.",
            unit="s",
            queries=[
                Query(
                    top("oldest_parked_seconds", "entity_type"),
                    "{{job}}, type {{entity_type}}",
                )
            ],
        ),
        Panel(
            title="Into and out of inner queues",
            description="Messages that were parked and taken out, by what they wait for. Both "
            "high for long: the same events are taken out and parked again.",
            unit=ITEMS,
            queries=[
                Query(rate("messages_parked_total", "reason"), "parked: {{reason}}"),
                Query(rate("messages_unparked_total", "reason"), "taken out: {{reason}}"),
            ],
        ),
        Panel(
            title="In the inner queues",
            description="Messages ready in the queues of lanes and of links, from RabbitMQ's "
            "exporter: also while no importer runs.",
            queries=[
                Query(f"job:importer_parked_ready:sum{{{JOB}}}", "{{job}}: {{waits_for}}"),
            ],
        ),
        Panel(
            title="Links",
            description="Links resolved, by where the item was found; timed_out and impossible "
            "failed. Events that still wait for links: panel Events that wait.",
            unit="suffix: links/s",
            queries=[Query(rate("links_total", "result") + " > 0", "{{result}}")],
        ),
    ],
)
