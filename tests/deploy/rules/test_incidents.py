"""Whole incidents under all rules at once: who is called, and that nobody else is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.deploy.rules.rulebook import FILES
from tests.deploy.rules.series import ALL, HELD, IMPORTED, QUICK, READY, USED, mine, queue
from tests.deploy.rules.stories import run
from tests.deploy.rules.variants import Series, labelled
from tests.deploy.tools import tool

FIRING = 'count by (alertname, severity) (ALERTS{alertstate="firing",severity!="none"})'
LONG = 140
"""Minutes of the longest history."""


@dataclass(frozen=True, slots=True)
class Incident:
    """What is different from a good day, and who is told at which minute."""

    name: str
    series: Series
    told: Mapping[str, set[str]] = field(default_factory=dict)


def both(name: str, active: str, other: str, **labels: str) -> dict[str, str]:
    """Return a series of the active process and of the one that stands by."""
    return {mine(name, **labels): active, mine(name, instance="b", **labels): other}


def flat(value: float, minutes: int = LONG) -> str:
    """Return a level that stays."""
    return f"{value:g}x{minutes}"


def grows(by: float, minutes: int = LONG, start: float = 0) -> str:
    """Return a counter, minute by minute; or, with less than nothing, what is left."""
    return f"{start:g}{by:+g}x{minutes}"


CALLS = mine("importer_requests_total", method="import", result="ok")
WRITTEN = mine("importer_memory_written_timestamp_seconds")
SHUT = {"lane": "all"}
LETTERS = mine("importer_dead_letters_total", kind="rejected")
NAMES = {
    "portal": "shop.example",
    "vhost": "/",
    "intake_queue": "crm.items.import",
    "succeeded_queue": "crm.items.succeeded",
    "failed_queue": "crm.items.failed",
    "dead_letter_queue": "crm.items.dlq",
    "parked_queue": "crm.items.parked",
    "memory_queue": "crm.items.memory",
}
GOOD_DAY: Series = {
    **both("up", flat(1), flat(1)),
    **both("importer_consumer_alive", flat(1), flat(1)),
    **both("importer_consumer_active", flat(1), flat(0)),
    **both("importer_config_info", flat(1), flat(1), **NAMES),
    **both("importer_loop_heartbeat_timestamp_seconds", grows(60), grows(60)),
    **both("importer_oldest_held_seconds", flat(2), flat(0)),
    **both("importer_hold_limit_seconds", flat(600), flat(600)),
    **both("importer_batch_max_items", flat(20), flat(20)),
    **both("importer_request_rate_share", flat(1), flat(1)),
    **both("importer_broker_blocked", flat(0), flat(0)),
    **both("importer_unexpected_errors_total", flat(0), flat(0)),
    **both("importer_log_lines_total", flat(1), flat(1), level="error"),
    **both("importer_consumer_restarts_total", flat(0), flat(0), reason="lost"),
    **both("importer_paused", flat(0), flat(0), reason="unavailable"),
    **both("importer_paused", flat(0), flat(0), reason="credentials"),
    **both("importer_paused_seconds_total", flat(0), flat(0), reason="unavailable", **SHUT),
    **both("importer_operating_limit_seconds", flat(420), flat(420), method="import"),
    **both("process_start_time_seconds", flat(1), flat(1)),
    **both("process_resident_memory_bytes", flat(9e7), flat(6e7)),
    **both("importer_memory_limit_bytes", flat(6.7e8), flat(6.7e8)),
    **both("importer_portal_set_back_total", flat(0), flat(0)),
    IMPORTED: grows(60),
    CALLS: grows(4),
    QUICK: grows(60),
    ALL: grows(60),
    mine("importer_batch_size_sum"): grows(60),
    mine("importer_batch_size_count"): grows(4),
    WRITTEN: grows(60),
    USED: flat(100),
    mine("importer_operating_reset_timestamp_seconds", method="import"): grows(60, start=300),
    LETTERS: flat(0),
    mine("importer_dead_letters_total", kind="ambiguous"): flat(0),
    mine("importer_ambiguous_batches_total"): flat(0),
    mine("importer_links_waiting"): flat(0),
    mine("importer_links_total", result="timed_out"): flat(0),
    mine("importer_published_total", target="succeeded", result="timeout"): flat(0),
    READY: flat(0),
    queue("crm.items.import", "messages_unacked"): flat(20),
    queue("crm.items.dlq"): flat(0),
    queue("crm.items.succeeded"): flat(3),
    queue("crm.items.succeeded", "consumers"): flat(1),
    queue("crm.items.failed"): flat(0),
    queue("crm.items.failed", "consumers"): flat(1),
    queue("crm.items.parked.links"): flat(0),
    queue("crm.items.parked.doubtful"): flat(0),
}
NOTHING_FLOWS = {
    IMPORTED: flat(0),
    CALLS: flat(0),
    QUICK: flat(0),
    ALL: flat(0),
    WRITTEN: flat(0),
    mine("importer_batch_size_sum"): flat(0),
    mine("importer_batch_size_count"): flat(0),
}
STOPS = {name: f"0+{4 if name == CALLS else 60}x10 {flat(600)}" for name in NOTHING_FLOWS}
AWAY = {
    **STOPS,
    **both(
        "importer_paused", f"{flat(0, 10)} 1x130", f"{flat(0, 14)} 1x130", reason="unavailable"
    ),
    mine("importer_paused_seconds_total", reason="unavailable", **SHUT): f"{flat(0, 10)} 0+60x130",
    # Who stands by is given the messages, and has to let go of them, too.
    **both("importer_consumer_alive", f"{flat(1, 10)} 0x130", f"{flat(1, 14)} 0x130"),
    **both("importer_consumer_active", f"{flat(1, 10)} 0x130", f"{flat(0, 10)} 1x4 0x130"),
    READY: f"{flat(0, 10)} 0+60x130",
}
INCIDENTS = (
    Incident("a good day", {}, {"60m": set()}),
    Incident("nobody publishes for hours", NOTHING_FLOWS, {"60m": set()}),
    Incident(
        "the portal is away for hours, and messages wait",
        AWAY,
        {
            "20m": set(),
            "50m": {"ImporterPaused ticket", "ImporterPausedShare ticket"},
            "136m": {
                "ImporterPaused ticket",
                "ImporterPausedShare ticket",
                "ImporterPausedLong page",
            },
        },
    ),
    Incident(
        "a planned import, whose backlog shrinks at the pace of the portal's budget",
        {READY: grows(-60, start=50000), QUICK: flat(0), USED: flat(415)},
        {"60m": set()},
    ),
    Incident(
        "one item whose call hangs until it is returned, and others pass",
        {HELD: "2x20 0+60x10 2x100"},
        {"29m": set(), "32m": set()},
    ),
    Incident(
        "the stand-by is dead from the first day",
        {mine("up", instance="b"): flat(0)},
        {"45m": {"ImporterReplicaMissing ticket"}},
    ),
    Incident(
        "a memory alarm of the broker",
        {
            **STOPS,
            mine("importer_broker_blocked"): f"{flat(0, 10)} {flat(1)}",
            HELD: f"{flat(2, 10)} 0+60x130",
            READY: f"{flat(0, 10)} 0+60x130",
            mine("importer_published_total", target="succeeded", result="timeout"): (
                f"{flat(0, 10)} {flat(40)}"
            ),
        },
        {
            "12m": set(),
            "15m": {"ImporterBrokerBlocked page"},
            "24m": {"ImporterBrokerBlocked page", "ImporterOldestHeldTooOld page"},
        },
    ),
    Incident(
        "the link to the broker breaks every other minute",
        {mine("importer_consumer_restarts_total", reason="lost"): grows(0.5)},
        {"45m": {"ImporterLinkFlapping ticket"}},
    ),
    Incident(
        "a quarter of the items is rejected",
        {
            LETTERS: grows(15),
            mine("importer_items_total", entity_type="2", outcome="failed"): grows(15),
            mine("importer_item_errors_total", kind="rejected", code="100"): grows(15),
        },
        {"45m": {"ImporterDeadLetters ticket"}},
    ),
    Incident(
        "a bug in every minute",
        {
            mine("importer_unexpected_errors_total"): grows(1),
            mine("importer_log_lines_total", level="error"): grows(1),
        },
        {"45m": {"ImporterUnexpectedErrors ticket"}},
    ),
    Incident(
        "one lane is denied, its events wait, the others flow",
        {
            mine("importer_lane_closed", entity_type="128", reason="scope"): flat(1),
            mine("importer_paused_seconds_total", reason="scope", lane="128"): grows(60),
            mine("importer_oldest_parked_seconds", entity_type="128"): grows(60),
            queue("crm.items.parked.128"): grows(3),
        },
        {"10m": set(), "45m": {"ImporterLaneClosed page"}},
    ),
    Incident(
        "a copy with the portal of the first, in another namespace",
        {
            mine("importer_config_info", job="importer-copy", namespace="two", **NAMES): flat(1),
            mine("importer_consumer_active", job="importer-copy", namespace="two"): flat(1),
            mine("up", job="importer-copy", namespace="two"): flat(1),
        },
        {"45m": {"ImporterPortalShared ticket"}},
    ),
    Incident(
        "a rollout: the stand-by is replaced, then the active one",
        {
            mine("up", instance="b"): "1x30 stale",
            mine("up", instance="c"): "_x31 0 1x100",
            mine("importer_consumer_alive", instance="b"): "1x30 stale",
            mine("importer_consumer_active", instance="b"): "0x30 stale",
            mine("importer_consumer_alive", instance="c"): "_x32 1x100",
            mine("importer_consumer_active", instance="c"): "_x32 0x4 1x100",
            mine("up"): "1x34 stale",
            mine("importer_consumer_alive"): "1x34 stale",
            mine("importer_consumer_active"): "1x34 stale",
            mine("up", instance="d"): "_x35 0 1x100",
        },
        {"33m": set(), "37m": set(), "60m": set()},
    ),
)


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda incident: incident.name)
def test_those_are_called_who_can_help_and_nobody_else(incident: Incident, tmp_path: Path) -> None:
    """Every rule sees a full set of series, with the labels of a cluster."""
    series = labelled({**GOOD_DAY, **incident.series})
    group = {
        "name": incident.name,
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [
            {
                "expr": FIRING,
                "eval_time": at,
                "exp_samples": [
                    {"labels": _labels(*each.split()), "value": 1} for each in sorted(told)
                ],
            }
            for at, told in incident.told.items()
        ],
    }
    path = tmp_path / "incident.test.yml"
    document = {
        "rule_files": [str(each) for each in FILES],
        "evaluation_interval": "2m",
        "tests": [group],
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    done = run(tool("promtool"), path)
    assert 0 == done.returncode, done.stdout + done.stderr


def _labels(alert: str, severity: str) -> str:
    return f'{{alertname="{alert}",severity="{severity}"}}'
