"""The dashboard: made from code, built as Grafana's linter asks, about metrics that exist."""

import json
import re
import tomllib
from itertools import chain, pairwise
from typing import Any

import pytest

from deploy.generate.products import DASHBOARD_FILE, ROOT, dashboard
from service.telemetry.catalogue import ALL
from service.telemetry.metrics import PREFIX, Metrics
from tests.deploy.rules.rulebook import FILES, MATCHER, recorded, rules, uses

SHOWN = json.loads(dashboard())
PANELS = [panel for panel in SHOWN["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
TEMPLATES = {each["name"]: each for each in SHOWN["templating"]["list"]}
BY = re.compile(r"\bby \(([^)]*)\)")
FAMILIES = list(Metrics().registry.collect())
EXPOSED = (
    {f.name for f in FAMILIES}
    | {s.name for f in FAMILIES for s in f.samples}
    | {PREFIX + each.name for each in ALL}
)
PROCESS = {
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_start_time_seconds",
}
LABELS = {each.name: set(each.labels) for each in ALL} | {
    "build_info": {"version", "revision", "python"},
    "config_info": {
        *("batch_max_items", "window_seconds", "prefetch", "slots", "portal", "vhost"),
        *("intake_queue", "succeeded_queue", "failed_queue", "dead_letter_queue"),
        *("parked_queue", "memory_queue"),
    },
}
RECORDED = {"queue", "outcome", "method", "waits_for"}
TARGET_LABELS = {"job", "instance", "namespace"}
UNSHOWN: dict[str, str] = {}
"""Metrics without panel or alert, each with its reason."""
every_query = pytest.mark.parametrize(("panel", "expr"), QUERIES)


def test_committed_dashboard_is_the_one_the_code_makes() -> None:
    """Remake it with `python -m deploy.generate`."""
    assert dashboard() == DASHBOARD_FILE.read_text()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """Title, description, unit, the chosen data source, and at least one query."""
    assert panel["title"]
    assert panel["description"].endswith(".") or ":" in panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert "${datasource}" == panel["datasource"]["uid"]
    assert {"${datasource}"} == {target["datasource"]["uid"] for target in panel["targets"]}


def test_panels_do_not_overlap() -> None:
    """Every cell of the grid belongs to one panel at most, and all of them fit."""
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in SHOWN["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert 24 > max(x for x, _ in cells)


def test_panels_are_told_apart() -> None:
    """No id and no title twice; queries of a panel have letters of their own."""
    for values in (
        [panel["id"] for panel in SHOWN["panels"]],
        [panel["title"] for panel in SHOWN["panels"]],
        *([target["refId"] for target in panel["targets"]] for panel in PANELS),
    ):
        assert len(values) == len(set(values))


def test_rows_are_the_six_questions() -> None:
    """Read from top to bottom: is it all right, and if not, where."""
    rows = [panel["title"] for panel in SHOWN["panels"] if panel["type"] == "row"]
    assert ["Is it all right?", "Flow", "Lanes and age", "Portal", "Delivery", "Process"] == rows
    heights = [panel["gridPos"]["y"] for panel in SHOWN["panels"]]
    assert [] == [pair for pair in pairwise(heights) if pair[0] > pair[1]]


def test_variables_are_those_of_the_linter() -> None:
    """One data source, job, namespace, entity type, read anew when the time changes."""
    assert ["datasource", "job", "namespace", "entity_type", "docs_url"] == list(TEMPLATES)
    assert "prometheus" == TEMPLATES["datasource"]["query"]
    for name in ("job", "entity_type"):
        found = TEMPLATES[name]
        assert (2, True, ".+") == (found["refresh"], found["multi"], found["allValue"])
    assert ".*" == TEMPLATES["namespace"]["allValue"]


def test_links_lead_somewhere_by_default() -> None:
    """At night nobody fills in an address first: the page of the project itself is there."""
    there = TEMPLATES["docs_url"]["current"]["value"]
    assert re.fullmatch(r"https://\S+/", there)
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert there.startswith(tomllib.load(file)["project"]["urls"]["Source"])


@every_query
def test_no_query_holds_a_setting(panel: str, expr: str) -> None:
    """A number that somebody may set is asked for, never written down."""
    plain = re.sub(r"histogram_quantile\([\d.]+|\[[^\]]*\]|\{[^}]*\}|ratio_rate\w+", "", expr)
    assert {"0", "1"} >= set(re.findall(r"(?<![\w.])\d+(?:\.\d+)?", plain)), panel


def test_dashboard_is_not_edited_by_hand() -> None:
    """Whoever changes it changes the code."""
    assert False is SHOWN["editable"]
    assert "crm-importer" == SHOWN["uid"]


@every_query
def test_query_keeps_to_the_chosen_importer(panel: str, expr: str) -> None:
    """Every series is asked for by job and namespace; the objectives have neither."""
    chosen = {("job", "=~", "$job"), ("namespace", "=~", "$namespace")}
    for use in uses(expr):
        if not use.metric.startswith("importer:"):
            assert chosen <= set(use.matchers), f"{panel}: {use.metric}"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_has_one_scale(panel: dict[str, Any]) -> None:
    """A rate beside a number of waiting messages is a flat line that nobody can read."""
    exprs = [target["expr"] for target in panel["targets"]]
    per_second = [expr.startswith(("sum", "rate")) and "rate(" in expr for expr in exprs]
    assert panel["type"] == "stat" or len(set(per_second)) == 1
    days = ["process_start_time" in expr or "expiry" in expr for expr in exprs]
    assert len(set(days)) == 1


@every_query
def test_rates_use_grafanas_interval(panel: str, expr: str) -> None:
    """A fixed window shows holes when zoomed out, and nothing when zoomed in."""
    windows = re.findall(r"\[([^\]]*)\]", expr)
    assert {"$__rate_interval"} >= set(windows), panel


@every_query
def test_query_asks_for_what_there_is(panel: str, expr: str) -> None:
    """Metrics of the catalogue or recording rules, with labels they have."""
    for use in uses(expr):
        known = _labels(use.metric)
        assert known is not None, f"{panel}: {use.metric} does not exist"
        asked = {name for name, _, _ in use.matchers}
        assert asked <= known | TARGET_LABELS, f"{panel}: {use.metric} has no {asked - known}"
    grouped = {name.strip() for names in BY.findall(expr) for name in names.split(",")}
    have = set(chain.from_iterable(_labels(use.metric) or () for use in uses(expr)))
    assert grouped <= have | TARGET_LABELS | {"le"}, f"{panel}: {grouped - have}"


@every_query
def test_portals_are_not_mixed_into_one_highest_value(panel: str, expr: str) -> None:
    """With all portals chosen, the fullest budget says nothing while nobody knows whose it is."""
    of_importers = re.findall(r"\b(?:max|min)\b *(?:by \(([^)]*)\))? *\((?!importer:)", expr)
    assert all("job" in by.split(", ") for by in of_importers), panel


@every_query
def test_legend_names_labels_that_survive(panel: str, expr: str) -> None:
    """A legend with a label that the sum dropped is empty."""
    for shown in PANELS:
        for target in shown["targets"]:
            if (shown["title"], target["expr"]) == (panel, expr):
                named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                kept = {n.strip() for names in BY.findall(expr) for n in names.split(",")}
                plain = not expr.startswith(("sum", "max", "min", "histogram", "clamp"))
                assert named <= kept | (TARGET_LABELS | RECORDED if plain else set())


def test_every_metric_has_a_panel_or_an_alert() -> None:
    """Export nothing that nobody looks at."""
    exprs = [expr for _, expr in QUERIES]
    exprs += [str(rule["expr"]) for path in FILES for rule in rules(path)]
    asked = {_base(use.metric) for expr in exprs for use in uses(expr)}
    exported = {PREFIX + each.name for each in ALL} | {
        "importer_build_info",
        "importer_config_info",
    }
    assert sorted(UNSHOWN) == sorted(exported - asked)


def test_links_lead_to_the_runbooks_and_the_broker() -> None:
    """Everything else one needs at night is one click away."""
    assert ["Runbooks", "RabbitMQ"] == [link["title"] for link in SHOWN["links"]]


def _base(name: str) -> str:
    """Return the name that the catalogue has for a series."""
    for ending in ("_bucket", "_count", "_sum"):
        if (short := name.removesuffix(ending)) != name and short.removeprefix(PREFIX) in LABELS:
            return short
    return name


def _labels(metric: str) -> set[str] | None:
    if metric in PROCESS or metric.startswith("importer:"):
        return set()
    if metric in recorded():
        return RECORDED
    if metric not in EXPOSED and metric not in {"importer_build_info", "importer_config_info"}:
        return None
    return LABELS.get(_base(metric).removeprefix(PREFIX))


def test_matchers_are_read_as_promql_reads_them() -> None:
    """Prove that the reader of queries sees what it checks."""
    (use,) = uses('sum (rate(importer_items_total{job=~"$job", outcome!="x"}[5m]))')
    assert (("job", "=~", "$job"), ("outcome", "!=", "x")) == use.matchers
    assert [("a", "=", "b")] == MATCHER.findall('a="b"')
