"""Every alert fires for its fault: real importers, a real broker, a real Prometheus.

Each fault strikes an importer of its own, all at the same time, and is held until its alerts
fire. The rules are the shipped ones with shorter times (`shorter.py`).
"""

import math
import re
from collections.abc import Iterator, Mapping

import pytest

from deploy.generate.lanes import LANES
from tests.deploy.live.play import Played, job, play
from tests.deploy.live.test_live import STEP, filled
from tests.deploy.live.watched import any_of
from tests.deploy.rules.rulebook import RUNBOOKS, alerts
from tests.deploy.tools import tool
from tests.e2e.test_lanes import LANE

# It takes a minute and a half on an idle machine; a busy one makes every wait longer.
pytestmark = pytest.mark.timeout(900)
LANE_ONLY = {"lane": str(LANE)}
CASES: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
    ("lane", "ImporterPausedShare", "page", {**LANE_ONLY}),
    ("lane", "ImporterLaneClosed", "page", {**LANE_ONLY, "reason": "scope"}),
    ("lane", "ImporterParkedTooLong", "ticket", {**LANE_ONLY}),
    ("credentials", "ImporterPaused", "page", {"reason": "credentials"}),
    ("credentials", "ImporterPausedLong", "page", {}),
    ("set-back", "ImporterPortalSetBack", "page", {}),
    ("set-back", "ImporterErrorsLogged", "ticket", {}),
    ("late", "ImporterAmbiguousLetters", "ticket", {}),
    ("late", "ImporterDeadLetters", "ticket", {}),
    ("late", "ImporterDeadLettersWaiting", "ticket", {}),
    ("late", "ImporterErrorBudgetFastBurn", "page", {}),
    ("late", "ImporterErrorBudgetSlowBurn", "ticket", {}),
    ("late", "ImporterFreshnessBurn", "ticket", {}),
    ("late", "ImporterFreshnessSlowBurn", "ticket", {}),
    ("late", "ImporterLinksTimedOut", "ticket", {}),
    ("late", "ImporterResultsUnread", "ticket", {"queue": "crm.items.succeeded"}),
    ("doubtful", "ImporterAmbiguousUnresolved", "page", {}),
    ("backlog", "ImporterBacklogWillNotDrain", "ticket", {}),
    ("backlog", "ImporterBatchesUnderfilled", "ticket", {}),
    ("budget", "ImporterOperatingBudgetNearLimit", "ticket", {}),
    ("stuck", "ImporterParkedStuck", "ticket", {}),
    ("stuck", "ImporterPortalShared", "ticket", {"job": ""}),
    ("memory", "ImporterMemoryUnwritten", "ticket", {}),
    ("twins", "ImporterDuplicateActive", "ticket", {}),
    ("twins", "ImporterQueueShared", "ticket", {"job": "", "vhost": job("twins")}),
    ("twins", "ImporterReplicaMissing", "ticket", {}),
    ("line", "ImporterLinkFlapping", "ticket", {}),
    ("line", "ImporterNotReady", "page", {}),
    ("starts", "ImporterRestarting", "ticket", {}),
    ("foreign", "ImporterNoActiveConsumer", "page", {}),
    ("foreign", "ImporterStalled", "page", {}),
    ("full", "ImporterPublishFailing", "page", {"target": "failed", "result": "nacked"}),
    ("full", "ImporterOldestHeldTooOld", "page", {}),
    ("hurt", "ImporterUnexpectedErrors", "ticket", {}),
    ("hurt", "ImporterMemoryNearLimit", "ticket", {}),
    ("certificate", "ImporterCertificateExpires", "ticket", {"which": "client"}),
    ("certificate", "ImporterCertificateExpires", "page", {"which": "client"}),
    ("node", "ImporterBrokerBlocked", "page", {}),
    ("node", "ImporterBrokerMetricsMissing", "ticket", {}),
)
"""The fault, and the alert that it brings: name, severity, labels besides `job` (empty: none)."""
SAID = (
    ("credentials", "ImporterPaused", "check", "INVALID_CREDENTIALS"),
    # While a batch of it is tried, it is on trial for a moment; the cause is the same.
    ("lane", "ImporterLaneClosed", "lanes", rf"{LANE} +(closed|trial) +scope"),
    ("late", "ImporterDeadLetters", "dlq list --since 30m", "unsupported"),
    (
        "stuck",
        "ImporterParkedStuck",
        "check",
        rf"parked\.{LANE}, queues: \d waiting, some for another",
    ),
    ("memory", "ImporterMemoryUnwritten", "check", "memory: missing, although an importer runs"),
    ("line", "ImporterNotReady", "check", "nothing listens there"),
    ("full", "ImporterPublishFailing", "check", "queue crm.items.failed, full"),
    ("certificate", "ImporterCertificateExpires", "check", "that we show the broker: good until"),
)
"""The fault, its alert, a command that the runbook names for it, and what that says."""
LOGGED = (
    ("lane", "ImporterPausedShare", "intake|lane"),
    ("lane", "ImporterLaneClosed", "lane closed"),
    ("line", "ImporterLinkFlapping", "broker connection lost"),
    ("doubtful", "ImporterAmbiguousUnresolved", "an event waits"),
    ("memory", "ImporterMemoryUnwritten", "memory unavailable"),
    ("set-back", "ImporterPortalSetBack", "the portal was set back"),
    ("set-back", "ImporterErrorsLogged", '"level": ?"error"'),
    ("hurt", "ImporterUnexpectedErrors", "unexpected error"),
)
"""The fault, its alert, and the words of the log that the runbook names for it."""
ELSEWHERE = {"ImporterDown", "ImporterUndelivered", "ImporterWatchdog"}
"""Fire in test_live.py; the last one always."""


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """Lend what was seen; skip, or fail in CI, without the programs."""
    for program in ("prometheus", "prometheus-alertmanager"):
        tool(program)
    tool("rabbitmqctl", "tests/tools/rabbitmq.sh")
    with play() as seen:
        yield seen


@pytest.mark.parametrize(("fault", "name", "severity", "labels"), CASES)
def test_a_fault_brings_its_alert(
    played: Played, fault: str, name: str, severity: str, labels: Mapping[str, str]
) -> None:
    """With its severity and labels."""
    wanted = {"job": job(fault), "severity": severity, **labels}
    fired = any_of(played.watch.fired(), name, wanted)
    assert fired, played.errors.get(fault, "the fault ended well")


def test_every_alert_fires_in_a_live_play() -> None:
    """A new one needs its fault here."""
    assert {each.name for each in alerts()} == {name for _, name, *_ in CASES} | ELSEWHERE


@pytest.mark.parametrize(("fault", "name", "command", "says"), SAID)
def test_the_command_of_the_runbook_names_the_cause(
    played: Played, fault: str, name: str, command: str, says: str
) -> None:
    """Amid the fault, with the settings of its importer."""
    assert f"`crm-importer {command}`" in entry(name)
    said = played.watch.said.get(f"{fault} {command}", "")
    assert re.search(says, said), said or played.errors.get(fault)


@pytest.mark.parametrize(("fault", "name", "words"), LOGGED)
def test_the_log_has_the_words_that_the_runbook_names(
    played: Played, fault: str, name: str, words: str
) -> None:
    """Whoever searches for them finds a line."""
    assert words in entry(name)
    assert re.search(words, played.watch.said.get(f"{fault} log", ""))


def entry(name: str) -> str:
    """Return what the runbooks say about an alert."""
    return RUNBOOKS.read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_every_fault_was_held_to_its_end(played: Played) -> None:
    """Its importer did what it should, besides the alerts."""
    assert {} == played.errors


def test_a_lane_that_flaps_never_pauses_the_intake(played: Played) -> None:
    """Deals have nothing to do with it."""
    assert not any_of(played.watch.fired(), "ImporterPaused", {"job": job("lane")})


@pytest.mark.parametrize(
    ("panel", "legend", "expr"),
    [(panel.title, q.legend, q.expr) for panel in LANES.panels for q in panel.queries],
)
def test_every_panel_on_lanes_shows_something(
    played: Played, panel: str, legend: str, expr: str
) -> None:
    """Find data, and something to see in it, or a reason why not."""
    asked = filled(expr, job("lane"))
    found = played.watch.prometheus.query_range(asked, played.start, played.end, STEP)
    values = [float(value) for series in found for _, value in series["values"]]
    values = [value for value in values if not math.isnan(value)]
    assert values, f"{panel}: nothing for {asked}"
    assert any(values), f"{panel}, {legend}: only zeros"
