"""Draws the dashboard's main queries from a run of two minutes.

`python -m tests.deploy.live.picture` writes .github/pictures/dashboard.svg.
"""

import asyncio
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from deploy.generate.dashboard import DASHBOARD
from deploy.generate.panels import Panel
from tests.deploy.live.chart import Chart, Line, Span, draw
from tests.deploy.live.monitoring import Monitoring, open_monitoring
from tests.deploy.rules.rulebook import ROOT
from tests.support.amqp import wait_until
from tests.support.environment import Environment, deals

TARGET = ROOT / ".github/pictures/dashboard.svg"
SHOWN = (
    "Outcomes",
    "Waiting and held",
    "Receipt to outcome",
    "Calls by result",
    "Batches by what closed them",
    "Execution budget",
)
HIDDEN = ("until some is forgotten", "list", "99 %")
INTERVAL = "8s"
FACTOR = 30
QUIET, OUTAGE, AFTER = 45.0, 30.0, 40.0
SETTINGS = {
    "IMPORTER_BATCH__WINDOW_SECONDS": "1",
    "IMPORTER_BITRIX__REQUESTS_PER_SECOND": "2",
    "IMPORTER_BITRIX__BURST": "20",
    "IMPORTER_BITRIX__OPERATING_LIMIT_SECONDS": "60",
    "IMPORTER_PAUSE__PROBE_CAP_SECONDS": "2",
}
PORTAL = {"required": {"1": ["comments"]}, "default_item_seconds": 0.012, "rate": 2, "burst": 50}


async def run(monitoring: Monitoring) -> tuple[float, float, float]:
    """Import at an even pace, lose the credentials, get them back; return three instants."""
    async with monitoring.environment(SETTINGS, PORTAL) as environment:
        await environment.start_service()
        traffic = asyncio.create_task(_publish(environment), name="traffic")
        start = time.time()
        await asyncio.sleep(QUIET)
        environment.portal.settings({"state": "credentials"})
        revoked = time.time()
        await asyncio.sleep(OUTAGE)
        environment.portal.settings({"state": "ok"})
        await asyncio.sleep(AFTER)
        traffic.cancel()
        with suppress(asyncio.CancelledError):
            await traffic
        await wait_until(lambda: environment.flow().held == 0, 60, what="the end")
        await asyncio.sleep(5)
        return start, revoked, time.time()


async def _publish(environment: Environment) -> None:
    """Publish deals and leads, a few of them refused."""
    turn = 0
    while True:
        bodies = deals(*[f"deal-{turn}-{n}" for n in range(8)])
        leads = deals(*[f"lead-{turn}-{n}" for n in range(4)], entity_type=1)
        for lead in leads[turn % 2 :]:
            lead["fields"]["comments"] = "complete"
        await environment.publish([*bodies, *leads])
        await environment.read()
        turn += 1
        await asyncio.sleep(0.5)


def charts(monitoring: Monitoring, start: float, end: float) -> Iterator[Chart]:
    """Ask Prometheus the chosen panels' own queries."""
    panels = {panel.title: panel for row in DASHBOARD.rows for panel in row.panels}
    for title in SHOWN:
        panel = panels[title]
        unit = {"s": " s", "reqps": "/s"}.get(panel.unit, "")
        unit = "/s" if panel.unit.startswith("suffix:") else unit
        yield Chart(title, unit, list(_lines(monitoring, panel, start, end)))


def _lines(monitoring: Monitoring, panel: Panel, start: float, end: float) -> Iterator[Line]:
    for query in panel.queries:
        expr = query.expr.replace("$__rate_interval", INTERVAL)
        for name, value in (("$job", "importer"), ("$namespace", ".*"), ("$entity_type", ".+")):
            expr = expr.replace(name, value)
        for series in monitoring.prometheus.query_range(expr, start, end, 1.0):
            name = re.sub(r"\{\{(\w+)\}\}", lambda m: series["metric"].get(m[1], ""), query.legend)  # noqa: B023 - used at once
            points = [(float(at), float(value)) for at, value in series["values"]]
            points = [(at, value) for at, value in points if math.isfinite(value)]
            if any(value for _, value in points) and not any(word in name for word in HIDDEN):
                yield Line(name, points)


def _span(monitoring: Monitoring, expr: str, start: float, end: float) -> tuple[float, float]:
    """Return the first and last instant at which a query has a value."""
    found = monitoring.prometheus.query_range(expr, start, end, 0.5)
    times = [float(at) for series in found for at, _ in series["values"]]
    return min(times), max(times)


def main() -> None:
    """Run, ask, draw."""
    with open_monitoring(FACTOR) as monitoring:
        start, _, end = asyncio.run(run(monitoring))
        paused = _span(monitoring, "importer_paused == 1", start, end)
        firing = _span(
            monitoring, 'ALERTS{alertname="ImporterPaused",alertstate="firing"}', start, end
        )
        spans = [
            Span("paused: credentials revoked", *paused, "#fde9c8"),
            Span("alert ImporterPaused fires", *firing, "#f6c3bd"),
        ]
        heading = "Two minutes of the dashboard, from a real run"
        picture = draw(list(charts(monitoring, start, end)), spans, start, end, heading)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(picture)
    sys.stdout.write(f"written: {TARGET.relative_to(ROOT)}, {len(picture) // 1000} kB\n")


if __name__ == "__main__":
    main()
