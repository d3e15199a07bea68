"""Alert rules: each fires, keeps silent and resolves; each says what to do."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.generate import rules as operator
from service.telemetry.catalogue import ALL
from service.telemetry.metrics import PREFIX, Metrics
from tests.deploy.rules import stories_broker, stories_importer, stories_lanes, stories_levels
from tests.deploy.rules.rulebook import (
    BROKER,
    FILES,
    IMPORTER,
    Alert,
    Use,
    alerts,
    document,
    needed,
    recorded,
    rules,
    scaled,
    uses,
)
from tests.deploy.rules.stories import EXTERNAL, Story, run, variants, write
from tests.deploy.tools import tool

STORIES = (
    *stories_levels.STORIES,
    *stories_importer.STORIES,
    *stories_lanes.STORIES,
    *stories_broker.STORIES,
)
ALWAYS = "ImporterWatchdog"
SEVERITIES = {"page", "ticket", "none"}
TARGET_LABELS = {"job", "instance", "pod", "container", "endpoint"}
PROCESS = {"process_start_time_seconds", "process_resident_memory_bytes", "up"}
BROKERS = {
    "rabbitmq_detailed_queue_messages_ready": {"queue", "vhost"},
    "rabbitmq_detailed_queue_messages_unacked": {"queue", "vhost"},
    "rabbitmq_detailed_queue_consumers": {"queue", "vhost"},
    **{
        f"rabbitmq_global_messages_dead_lettered_{reason}_total": {"dead_letter_strategy"}
        for reason in ("delivery_limit", "expired", "rejected")
    },
}
"""What RabbitMQ's exporter has; the live test meets each of them on a real node."""
SHRINKS = re.compile(r"unless on \(job, namespace\) deriv\(job:\w+:sum\[30m\]\) < 0")
"""The one use of the broker's figures in importer.rules.yml: without them it does nothing."""
CONFIG = {
    "importer_config_info": {
        *("portal", "vhost", "intake_queue", "succeeded_queue", "failed_queue"),
        *("dead_letter_queue", "parked_queue", "memory_queue"),
    }
}
RULES = {alert.key: alert for alert in alerts()}
every_alert = pytest.mark.parametrize(
    "alert", alerts(), ids=lambda alert: f"{alert.name}-{alert.labels['severity']}"
)


# ---- what they do ----


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_alert_waits_fires_resolves_and_keeps_silent(story: Story, tmp_path: Path) -> None:
    """Let promtool play the loud history, and every silent one."""
    done = run(tool("promtool"), write(story, RULES[story.key], tmp_path))
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_nothing_foreign_changes_what_an_alert_does(story: Story, tmp_path: Path) -> None:
    """Labels of a platform, missed scrapes, a second portal beside it that is well or paused."""
    path = write(story, RULES[story.key], tmp_path, told=variants(story))
    done = run(tool("promtool"), path)
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("alert", "old", "new"),
    [
        ("ImporterDuplicateActive", r"sum by \(job, namespace\)", "sum without (instance, pod)"),
        ("ImporterStalled", r"on \(vhost, queue\)", "on (queue)"),
        ("ImporterStalled", r"unless on \(job, namespace\)", "unless on ()"),
        ("ImporterPaused", r"(last|min)_over_time\((.*?)\[\w+\]\)", r"(\2)"),
    ],
)
def test_what_is_foreign_is_seen(alert: str, old: str, new: str, tmp_path: Path) -> None:
    """Prove that the variants can fail: unknown labels, mixed portals, every scrape needed."""
    story = next(each for each in STORIES if each.alert == alert)
    file = changed(story, tmp_path, old, new)
    done = run(
        tool("promtool"), write(story, RULES[story.key], tmp_path, file, told=variants(story))
    )
    assert 0 != done.returncode


def test_watchdog_always_fires(tmp_path: Path) -> None:
    """Fire with nothing to see: that is its whole meaning."""
    rule = RULES[ALWAYS, "none"]
    story = Story(
        alert=ALWAYS,
        severity="none",
        series={},
        fires="1m",
        resolves="2m",
        silent={},
        labels={},
    )
    path = write(story, rule, tmp_path)
    made = document(path)
    told = made["tests"][0]["alert_rule_test"]
    told[1]["exp_alerts"] = told[0]["exp_alerts"]
    path.write_text(yaml.safe_dump(made))
    done = run(tool("promtool"), path)
    assert 0 == done.returncode, done.stdout + done.stderr


def test_every_alert_has_a_story() -> None:
    """Leave no alert that nobody has seen fire, keep silent and resolve."""
    told = {story.key for story in STORIES if story.fires and story.resolves and story.silent}
    assert set(RULES) - {(ALWAYS, "none")} == told


def test_alert_that_waits_has_a_story_that_waits() -> None:
    """See for each `for` that it holds the alert back."""
    hasty = {story.key for story in STORIES if story.waits is None}
    assert [] == [alert.key for alert in alerts() if alert.wait != "0s" and alert.key in hasty]


def changed(story: Story, folder: Path, old: str, new: str) -> Path:
    """Return the rules of a story, changed."""
    text = yaml.safe_dump(
        {"groups": [{"name": "mutated", "rules": needed(story.alert)}]}, width=999
    )
    other = re.sub(old, new, text)
    assert text != other
    path = folder / "mutated.yml"
    path.write_text(other)
    return path


def mutated(story: Story, folder: Path, old: str, new: str) -> Path:
    """Return promtool's file for a story whose rules were changed."""
    return write(story, RULES[story.key], folder, changed(story, folder, old, new))


def test_story_fails_when_a_threshold_is_wrong(tmp_path: Path) -> None:
    """Prove that the histories can fail: halve a threshold and one is no longer silent."""
    story = next(each for each in STORIES if each.alert == "ImporterOldestHeldTooOld")
    done = run(tool("promtool"), mutated(story, tmp_path, r"\[3m\]\) / 2", "[3m]) / 4"))
    assert 0 != done.returncode


@pytest.mark.parametrize(
    "story",
    [each for each in STORIES if RULES[each.key].wait != "0s"],
    ids=lambda story: story.name,
)
def test_story_fails_when_its_alert_does_not_wait(story: Story, tmp_path: Path) -> None:
    """Prove for each `for` that its history misses it."""
    done = run(tool("promtool"), mutated(story, tmp_path, r"for: \w+", "for: 0s"))
    assert 0 != done.returncode


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_promtool_accepts_the_file(path: Path) -> None:
    """Check syntax, templates and duplicate rules."""
    command = [tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


# ---- what they say ----


@every_alert
def test_alert_says_what_to_do(alert: Alert) -> None:
    """Carry everything an on-call person needs, and where to read on."""
    assert {"summary", "description", "runbook_url", "dashboard_url"} == set(alert.annotations)
    assert {"severity", "team"} == set(alert.labels)
    assert alert.labels["severity"] in SEVERITIES
    assert re.fullmatch(r"Importer([A-Z][a-z]+)+", alert.name)
    page = "deploy/runbooks/README.md"
    expected = f"{{{{ $externalLabels.docs_url }}}}{page}#{alert.name.lower()}"
    assert expected == alert.annotations["runbook_url"]


def test_links_of_alerts_have_one_base() -> None:
    """Build every link from the two external labels, and name them where they are used."""
    links = {
        name
        for alert in alerts()
        for text in alert.annotations.values()
        for name in re.findall(r"\$externalLabels\.(\w+)", text)
    }
    assert set(EXTERNAL) == links


# ---- what they are made of ----


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_rules_ask_only_for_what_there_is(path: Path) -> None:
    """Name metrics of the catalogue with their labels, or recording rules."""
    asked = {use for rule in rules(path) for use in uses(str(rule["expr"]))}
    assert [] == [use for use in asked if not _exists(use)]


def test_importer_rules_work_without_the_broker() -> None:
    """Keep what needs RabbitMQ's exporter in its own file."""
    exprs = [SHRINKS.sub("", str(rule["expr"])) for rule in rules(IMPORTER)]
    asked = {use.metric for expr in exprs for use in uses(expr)}
    brokers = {rule["record"] for rule in rules(BROKER) if "record" in rule}
    assert set() == {name for name in asked if name.startswith("rabbitmq_") or name in brokers}


def test_rates_are_taken_of_counters_only() -> None:
    """A rate of a gauge is nonsense that looks like a number."""
    wrong = [
        name
        for path in FILES
        for rule in rules(path)
        for name in re.findall(r"(?:rate|increase)\(\s*(\w+)", str(rule["expr"]))
        if not name.endswith(("_total", "_count", "_sum", "_bucket"))
    ]
    assert [] == wrong


def test_only_certificates_are_compared_with_prometheus_clock() -> None:
    """Else a clock that is an hour off pages, or keeps silent."""
    asking = {
        rule.get("alert", rule.get("record"))
        for path in FILES
        for rule in rules(path)
        if re.search(r"\b(time|timestamp|hour|day_of_\w+|minute)\(", str(rule["expr"]))
    }
    assert {"ImporterCertificateExpires"} == asking


def test_unknown_metrics_are_noticed() -> None:
    """Prove that the check above can fail."""
    made_up = (
        "importer_nothing_total",
        'importer_paused{reason="mood"}',
        "importer_paused{why='x'}",
    )
    assert [False] * 3 == [_exists(use) for text in made_up for use in uses(text)]


def test_operator_resource_is_made_from_the_files() -> None:
    """Remake it with `python -m deploy.generate`."""
    assert operator.render() == operator.TARGET.read_text()
    groups = yaml.load(operator.render(), yaml.CSafeLoader)["spec"]["groups"]
    plain = [group for path in FILES for group in document(path)["groups"]]
    assert plain == groups


def test_scaling_changes_times_only() -> None:
    """Divide windows and waits; leave thresholds and everything else."""
    alert = next(r for r in rules(IMPORTER) if r.get("alert") == "ImporterDeadLetters")
    short = next(
        rule
        for group in scaled(IMPORTER, 100)["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "ImporterDeadLetters"
    )
    assert alert["expr"].replace("[10m]", "[6000ms]") == short["expr"]
    assert alert["annotations"] == short["annotations"]
    moved = next(
        str(rule["expr"])
        for group in scaled(BROKER, 100)["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "ImporterDeadLettersWaiting"
    )
    assert "[36000ms] offset 828000ms" in moved


def _exists(use: Use) -> bool:
    if use.metric in PROCESS or use.metric in recorded():
        return True
    labels = {name for name, _, _ in use.matchers} - TARGET_LABELS
    if use.metric in BROKERS | CONFIG:
        return labels <= (BROKERS | CONFIG)[use.metric]
    return _declared(use.metric, labels, use.matchers)


def _declared(metric: str, labels: set[str], matchers: tuple[tuple[str, str, str], ...]) -> bool:
    plain = metric.removeprefix(PREFIX)
    names = {plain, *(plain.removesuffix(end) for end in ("_bucket", "_count", "_sum"))}
    for declared in ALL:
        if declared.name in names and metric in _exposed():
            known = {**declared.labels, "le": [str(float(each)) for each in declared.buckets]}
            given = {name: value.split("|") for name, _, value in matchers if name in labels}
            return all(
                name in known and set(values) <= {str(each) for each in known[name]}
                for name, values in given.items()
            )
    return False


def _exposed() -> set[str]:
    families = list(Metrics().registry.collect())
    return {family.name for family in families} | {s.name for f in families for s in f.samples}
