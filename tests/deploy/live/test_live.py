"""A real Prometheus sees a real run: every query answers, every alert takes its way."""

import math
import re
import shlex
import subprocess
from datetime import datetime

import pytest

from deploy.generate.dashboard import DASHBOARD
from deploy.generate.lanes import LANES
from deploy.generate.products import dashboard as dashboard_text
from tests.deploy.live.conftest import Seen
from tests.deploy.live.monitoring import VHOST
from tests.deploy.rules.rulebook import FILES, RUNBOOKS, alerts, rules
from tests.deploy.tools import tool

# The hour waits for every alert to fire and to end: ten minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)
INTERVAL = "4s"
STEP = 1.0
QUERIES = [
    (panel.title, query.legend or "value", query.expr)
    for row in DASHBOARD.rows
    if row is not LANES  # told by test_alerts.py, where lanes close
    for panel in row.panels
    for query in panel.queries
]
EMPTY = {
    ("Memory", "{{job}} limit"): "this machine may set no limit; then there is nothing to draw",
    ("Certificates", "{{job}}: {{which}}"): "neither portal nor broker has TLS in the play",
}
"""Queries that may find nothing, each with its reason."""
QUIET = {
    ("Service levels", "{{job}} slow"): "nobody waits a minute in a play of half a minute",
    ("State", "{{job}} blocked"): "the broker has no alarm in the play",
    ("Length of the last stop", "{{job}}"): "who has drained is gone before the next scrape",
    ("Received and settled", "returned at a stop"): "as above; the log has both",
}
"""Queries that see nothing but 0, each with its reason."""
WAYS = ("ImporterPaused", "ImporterDown")
BOOKS = (
    "sum(importer_messages_received_total) - sum(importer_items_total)"
    " - sum(importer_held_messages) - sum(importer_messages_returned_total)"
    " - sum(importer_messages_lost_with_session_total)"
)


def filled(expr: str, job: str = "importer") -> str:
    """Return a panel's query as Grafana would send it."""
    chosen = {"$__rate_interval": INTERVAL, "$job": job, "$namespace": ".*"}
    chosen["$entity_type"] = ".+"
    for name, value in chosen.items():
        expr = expr.replace(name, value)
    return expr


def points(seen: Seen, expr: str) -> list[float]:
    """Return every value that a query has over the whole scenario."""
    found = seen.monitoring.prometheus.query_range(filled(expr), seen.start, seen.end, STEP)
    values = [float(value) for series in found for _, value in series["values"]]
    return [value for value in values if not math.isnan(value)]


@pytest.mark.parametrize(("panel", "legend", "expr"), QUERIES)
def test_every_panel_shows_something(seen: Seen, panel: str, legend: str, expr: str) -> None:
    """Find data, and something to see in it, or a reason why not."""
    values = points(seen, expr)
    if (panel, legend) in EMPTY:
        return
    assert values, f"{panel}: nothing for {filled(expr)}"
    assert any(values) or (panel, legend) in QUIET, f"{panel}, {legend}: only zeros"


@pytest.mark.parametrize("name", DASHBOARD.annotations)
def test_annotations_mark_what_happened(seen: Seen, name: str) -> None:
    """See the start of a version and the pause."""
    assert points(seen, DASHBOARD.annotations[name])


def test_variables_offer_what_there_is(seen: Seen) -> None:
    """Fill the choices at the top of the dashboard."""
    found = seen.monitoring.prometheus.query("count by (job) (importer_build_info)", seen.end)
    assert [{"job": "importer"}] == [series["metric"] for series in found]
    types = seen.monitoring.prometheus.query(
        "count by (entity_type) (importer_items_total)", seen.end
    )
    assert {"1", "2", "7"} <= {series["metric"]["entity_type"] for series in types}


@pytest.mark.parametrize("name", WAYS)
def test_alert_reaches_the_pager_and_resolves(seen: Seen, name: str) -> None:
    """Take the whole way: process, scrape, rule, Alertmanager, pager; and back."""
    (rule, *_) = (alert for alert in alerts() if alert.name == name)
    fired, resolved = (
        seen.monitoring.pager.got(name, "firing"),
        seen.monitoring.pager.got(name, "resolved"),
    )
    assert fired[0]["labels"] == resolved[0]["labels"]
    assert rule.labels.items() <= fired[0]["labels"].items()
    assert set(rule.annotations) == set(fired[0]["annotations"])
    assert (
        f"https://docs.example/deploy/runbooks/README.md#{name.lower()}"
        == (fired[0]["annotations"]["runbook_url"])
    )


def test_pause_is_paged_with_its_reason(seen: Seen) -> None:
    """Say at once what a person must mend."""
    (alert, *_) = seen.monitoring.pager.got("ImporterPaused", "firing")
    assert ("credentials", "page", "importer") == (
        alert["labels"]["reason"],
        alert["labels"]["severity"],
        alert["labels"]["job"],
    )


def test_message_that_the_broker_dead_lettered_is_told(seen: Seen) -> None:
    """See in RabbitMQ's own counter what the importer cannot see."""
    (alert, *_) = seen.monitoring.pager.got("ImporterUndelivered", "firing")
    assert "The broker moved 1 messages" in alert["annotations"]["description"]


def test_external_labels_do_not_reach_the_pager(seen: Seen) -> None:
    """Use them for links only."""
    labels = {name for alert in seen.monitoring.pager.alerts for name in alert["labels"]}
    assert set() == labels & {"docs_url", "grafana_url"}


def test_nobody_is_paged_for_nothing(seen: Seen) -> None:
    """Bad items, lost answers and cut lines are no reason to wake anybody."""
    start, end = seen.played.seen_at, seen.played.outage_at
    paged = [
        (alert["labels"]["alertname"], began - start)
        for alert in seen.monitoring.pager.alerts
        if alert["labels"]["severity"] == "page"
        and start < (began := datetime.fromisoformat(alert["startsAt"]).timestamp()) < end
    ]
    assert [] == paged


def test_books_balance_in_promql(seen: Seen) -> None:
    """Prove received = settled + held + returned + lost, as an operator can ask."""
    ((series),) = seen.monitoring.prometheus.query(BOOKS, seen.end)
    assert "0" == series["value"][1]


def test_recording_rules_all_record(seen: Seen) -> None:
    """Find every recorded series at least once."""
    names = {rule["record"] for path in FILES for rule in rules(path) if "record" in rule}
    assert [] == [name for name in sorted(names) if not points(seen, name)]


def test_exposition_is_as_prometheus_wants_it(seen: Seen) -> None:
    """Let promtool check names, units and help of every metric."""
    done = subprocess.run(
        [tool("promtool"), "check", "metrics"],
        input=seen.played.exposition,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stdout + done.stderr)


def test_broker_commands_of_the_runbook_work(seen: Seen) -> None:
    """Type every listing command that the runbooks name; none is refused."""
    commands = set(re.findall(r"rabbitmqctl (list_[^`\n]+)", RUNBOOKS.read_text()))
    assert len(commands) > 5
    for command in commands:
        words = shlex.split(command.replace("$VHOST", VHOST))
        assert seen.monitoring.node.ctl(*words) is not None


def test_stop_in_the_scenario_was_clean(seen: Seen) -> None:
    """Drain before the end."""
    assert 0 == seen.played.stopped_well


def test_committed_dashboard_is_what_was_asked(seen: Seen) -> None:
    """Ask the queries of the file that people import, not of a draft."""
    assert [] == [
        expr for _, _, expr in QUERIES if expr.replace('"', '\\"') not in dashboard_text()
    ]
