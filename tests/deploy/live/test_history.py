"""Long windows over days of history: what the rules compute is what was put in."""

import time
from collections.abc import Iterator

import pytest

from tests.deploy.live.history import Grown, backfill
from tests.deploy.live.servers import Prometheus, wait_for
from tests.deploy.rules.rulebook import FILES
from tests.deploy.tools import tool

HOUR, DAY = 3600.0, 86_400.0
GOOD, BAD, WORSE = 1.0, 0.02, 0.5
"""Items per second: imported; ambiguous all the time; and ambiguous in one hour yesterday."""


@pytest.fixture(scope="module")
def past() -> Iterator[Prometheus]:
    """Lend a Prometheus with the real rules, unscaled, and four days of history."""
    tool("promtool")
    now = time.time()

    def failing(at: float) -> float:
        return WORSE if now - 21 * HOUR < at <= now - 20 * HOUR else BAD

    families = {
        "importer_items": [
            Grown('entity_type="2",outcome="imported"', lambda _: GOOD),
            Grown('entity_type="2",outcome="failed"', failing),
        ],
        "importer_item_errors": [
            Grown('kind="ambiguous",code="CALL_TIMED_OUT"', failing),
            Grown('kind="rejected",code="100"', lambda _: 5.0),
        ],
    }
    config = {
        "global": {"evaluation_interval": "1s"},
        "rule_files": [str(path) for path in FILES],
    }
    server = Prometheus(config)
    backfill(families, now - 4 * DAY, now, server.data)
    with server:
        yield server


@pytest.mark.parametrize(
    ("window", "hours_of_trouble"),
    [("5m", 0), ("30m", 0), ("1h", 0), ("2h", 0), ("6h", 0), ("1d", 1), ("3d", 1)],
)
def test_share_of_failures_is_what_was_put_in(
    past: Prometheus, window: str, hours_of_trouble: int
) -> None:
    """Compute by hand what each window must see; upstream's mistakes do not count."""
    spans = {"5m": 1 / 12, "30m": 0.5, "1h": 1, "2h": 2, "6h": 6, "1d": 24, "3d": 72}
    hours = spans[window]
    failed = hours_of_trouble * WORSE + (hours - hours_of_trouble) * BAD
    expected = failed / (failed + hours * GOOD)
    name = f"job:importer_items_failed:ratio_rate{window}"
    wait_for(lambda: past.query(name), 15, lambda: f"{name} has no value")
    ((series),) = past.query(name)
    assert expected == pytest.approx(float(series["value"][1]), rel=0.05)


def test_slow_burn_of_days_waits_for_its_hour(past: Prometheus) -> None:
    """Two in a hundred for days is a ticket in the making, and nothing else is burning."""
    wait_for(lambda: "ImporterErrorBudgetSlowBurn" in past.alerts(), 15, lambda: "no slow burn")
    assert "pending" == past.alerts()["ImporterErrorBudgetSlowBurn"]
    assert "ImporterErrorBudgetFastBurn" not in past.alerts()


def test_week_of_a_panel_is_drawn_from_history(past: Prometheus) -> None:
    """Answer a range of days with the interval that Grafana would take for it."""
    expr = 'sum by (outcome) (rate(importer_items_total{job=~"importer"}[20m]))'
    now = time.time()
    found = past.query_range(expr, now - 3 * DAY, now, 1200)
    assert {"imported", "failed"} == {series["metric"]["outcome"] for series in found}
    assert all(len(series["values"]) > 200 for series in found)


def test_watchdog_fires_from_the_start(past: Prometheus) -> None:
    """Fire as soon as rules are evaluated, with no importer in sight."""
    wait_for(lambda: "ImporterWatchdog" in past.alerts(), 15, lambda: "no watchdog")
    assert "firing" == past.alerts()["ImporterWatchdog"]
