"""Builds Grafana's JSON from panels that are a line or two each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

PAGES = "https://github.com/crm-importer/crm-importer/blob/main/"
"""Where the runbooks are unless the dashboard's variable says otherwise."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
Kind = Literal["stat", "timeseries", "heatmap", "table"]


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query and how its series are called."""

    expr: str
    legend: str = ""
    instant: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel; `bad` and `worse` colour a stat, `rising` says which end is the bad one.

    `nothing` is shown where there is no value.
    """

    title: str
    description: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 7
    stacked: bool = False
    bad: float | None = None
    worse: float | None = None
    rising: bool = True
    most: float | None = None
    nothing: str = "no data"


@dataclass(frozen=True, slots=True)
class Row:
    """A headline and the panels below it."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the dashboard, filled by a query."""

    name: str
    label: str
    query: str
    every: str = ".+"
    """What stands for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Everything Grafana shows."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable]
    annotations: Mapping[str, str] = field(default_factory=dict)
    links: Sequence[Mapping[str, Any]] = ()

    def render(self) -> dict[str, Any]:
        """Return the JSON that Grafana imports."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["crm-importer"],
            "schemaVersion": 39,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "timezone": "browser",
            "links": list(self.links),
            "annotations": {"list": [_annotation(*each) for each in self.annotations.items()]},
            "templating": {"list": [_source(), *map(_variable, self.variables), _docs()]},
            "panels": _placed(self.rows),
        }


def _placed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Give every panel its place: left to right, then down."""
    made: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        made.append(
            {
                "id": len(made) + 1,
                "type": "row",
                "title": row.title,
                "gridPos": place,
                "collapsed": False,
                "panels": [],
            }
        )
        x, y, lowest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, lowest = 0, y + lowest, 0
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            made.append({"id": len(made) + 1, "gridPos": place, **_panel(panel)})
            x, lowest = x + panel.width, max(lowest, panel.height)
        y += lowest
    return made


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "custom": {}}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 25 if panel.stacked else 5,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
        defaults["min"] = 0
    if panel.most is not None:
        defaults["max"] = panel.most
    if panel.kind == "stat":
        defaults["thresholds"] = _thresholds(panel)
        defaults["noValue"] = panel.nothing
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "targets": [
            _target(position, query, panel) for position, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel.kind),
    }


def _target(position: int, query: Query, panel: Panel) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + position),
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend,
        "instant": query.instant,
        "range": not query.instant,
        "format": {"heatmap": "heatmap", "table": "table"}.get(panel.kind, "time_series"),
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    first, last = ("green", "red") if panel.rising else ("red", "green")
    steps: list[dict[str, Any]] = [{"color": first, "value": None}]
    if panel.bad is None:
        return {"mode": "absolute", "steps": [{"color": "blue", "value": None}]}
    if panel.worse is not None:
        low, high = sorted((panel.bad, panel.worse))
        steps += [{"color": "orange", "value": low}, {"color": last, "value": high}]
    else:
        steps.append({"color": last, "value": panel.bad})
    return {"mode": "absolute", "steps": steps}


def _options(kind: Kind) -> dict[str, Any]:
    match kind:
        case "stat":
            return {
                "colorMode": "background",
                "graphMode": "area",
                "textMode": "auto",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            }
        case "timeseries":
            return {
                "legend": {"displayMode": "list", "placement": "bottom"},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case "heatmap":
            return {
                "calculate": False,
                "color": {"mode": "scheme", "scheme": "Spectral", "steps": 64},
                "yAxis": {"unit": "s"},
                "cellGap": 1,
                "filterValues": {"le": 1e-9},
                "legend": {"show": True},
                "tooltip": {"show": True, "yHistogram": False},
            }
        case "table":
            return {"showHeader": True}


def _source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
        "refresh": 1,
    }


def _docs() -> dict[str, Any]:
    return {
        "name": "docs_url",
        "label": "Where the runbooks are, with a slash at the end",
        "type": "textbox",
        "query": PAGES,
        "current": {"text": PAGES, "value": PAGES},
        "hide": 0,
    }


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": variable.query, "refId": variable.name},
        "definition": variable.query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": variable.every,
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def _annotation(name: str, expr: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": True,
        "expr": expr,
        "iconColor": "blue",
        "step": "60s",
        "titleFormat": name,
        "textFormat": "{{version}} {{revision}} {{reason}}",
    }
