"""Puts the dashboard together: rows, choices, annotations, links."""

from deploy.generate.flow import FLOW, STATE
from deploy.generate.inside import DELIVERY, PROCESS
from deploy.generate.lanes import LANES
from deploy.generate.panels import Dashboard, Variable
from deploy.generate.portal import PORTAL
from deploy.generate.promql import JOB

DASHBOARD = Dashboard(
    uid="crm-importer",
    title="CRM importer",
    description="Item events from RabbitMQ into one Bitrix24 portal. Made by "
    "`python -m deploy.generate`.",
    rows=[STATE, FLOW, LANES, PORTAL, DELIVERY, PROCESS],
    variables=[
        Variable("job", "Job", "label_values(importer_build_info, job)"),
        # Outside a cluster no series has this label: then "all" must fit none, too.
        Variable(
            "namespace",
            "Namespace",
            'label_values(importer_build_info{job=~"$job"}, namespace)',
            every=".*",
        ),
        Variable(
            "entity_type",
            "Entity type",
            f"label_values(importer_items_total{{{JOB}}}, entity_type)",
        ),
    ],
    annotations={
        "New version": f"count by (version, revision) (importer_build_info{{{JOB}}}) "
        f"unless count by (version, revision) (importer_build_info{{{JOB}}} offset 5m)",
        "Paused": f"max by (job, reason) (importer_paused{{{JOB}}}) == 1",
    },
    links=[
        {
            "title": "Runbooks",
            "type": "link",
            "icon": "doc",
            "url": "${docs_url}deploy/runbooks/README.md",
            "targetBlank": True,
        },
        {
            "title": "RabbitMQ",
            "type": "dashboards",
            "tags": ["rabbitmq-prometheus"],
            "asDropdown": True,
            "includeVars": False,
            "keepTime": True,
        },
    ],
)
