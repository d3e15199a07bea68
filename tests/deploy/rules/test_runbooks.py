"""Runbooks: one entry per alert, with commands that exist."""

import re
import shlex
from urllib.parse import parse_qsl, urlsplit

import pytest

from service.commands.arguments import parser
from service.commands.console import filters
from service.commands.console.overview_pages import LABELS
from tests.deploy.rules.rulebook import RUNBOOKS, alerts

TEXT = RUNBOOKS.read_text()
NAMES = sorted({alert.name for alert in alerts()})
SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation")
COMMANDS = sorted(
    set(re.findall(r"`crm-importer ([^`…]+)`", TEXT))
    | set(re.findall(r"-- python -m service ([^#`…\n]+)", TEXT))
)


@pytest.mark.parametrize("name", NAMES)
def test_alert_has_a_runbook_entry(name: str) -> None:
    """Stand under its name, with all four parts, in their order."""
    entries = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    (entry,) = (each for each in entries if each.split("\n", 1)[0] == name)
    found = re.findall(r"^\*\*(\w+)\.\*\*\s", entry, re.MULTILINE)
    assert list(SECTIONS) == found


def test_runbook_knows_no_other_alerts() -> None:
    """Forget an alert's entry together with the alert."""
    assert set(NAMES) == set(re.findall(r"^## (Importer\w+)", TEXT, re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_runbook_exist(command: str) -> None:
    """At night nobody wants to look up an option."""
    parser().parse_args(["128" if word == "N" else word for word in shlex.split(command)])


def test_commands_of_the_runbook_were_found() -> None:
    """Notice when the page is written so that the test above finds nothing."""
    assert {"check", "dlq list", "dlq show ID"} <= {command.strip() for command in COMMANDS}


def test_no_command_of_the_runbook_destroys_what_somebody_may_want() -> None:
    """Results, queues and definitions stay; letters are removed only by a filter."""
    told = [span for span in re.findall(r"`([^`\n]+)`", TEXT) if " " in span]
    destroying = re.compile(
        r"purge_queue|delete_\w+|\breset\b|clear_\w+|kubectl .*\bdelete\b|--yes|purge$"
    )
    assert [] == [span for span in told if destroying.search(span)]


def test_no_command_of_the_runbook_names_one_queue_of_several() -> None:
    """Which queue it is says a label of the alert, never the page."""
    told = re.findall(r"`((?:rabbitmqctl|kubectl|curl) [^`\n]+)`", TEXT)
    assert told
    assert [] == [span for span in told if "crm.items" in span]


def test_commands_are_about_the_importer_of_the_alert() -> None:
    """Whose namespace, deployment, virtual host or lane it is, the alert says; never the page."""
    spans = re.findall(r"`([^`\n]+)`", TEXT) + re.findall(
        r"^kubectl .*|^rabbitmqctl .*", TEXT, re.MULTILINE
    )
    kubectl = [
        span for span in spans if span.startswith("kubectl ") and "get deployments" not in span
    ]
    assert kubectl
    assert [] == [span for span in kubectl if not span.startswith('kubectl -n "$NS" ')]
    assert [] == [span for span in kubectl if "crm-importer" in span]
    # Of a Deployment, `logs` shows one pod: perhaps the one that stands by and has done nothing.
    assert [] == [span for span in kubectl if " logs " in span and '-l "$PODS"' not in span]
    assert [] == [span for span in spans if re.search(r"-p (?!\"\$VHOST\")|--type (?!N\b)", span)]


def test_addresses_of_the_console_in_an_alert_are_pages_whatever_the_label() -> None:
    """A lane may be called `all` or `other`; filters are those of the page."""
    told = {
        address.replace("{{ $labels.lane }}", lane)
        for alert in alerts()
        for address in re.findall(r"Console: `([^`]+)`", alert.annotations["description"])
        for lane in ("128", "all", "other")
    }
    assert {"/lanes/128", "/lanes/all", "/lanes/other"} < told
    lanes = {f"/lanes/{each}" for each in ("128", *LABELS)}
    for address in map(urlsplit, told):
        asked = dict(parse_qsl(address.query))
        assert address.path in {"/parked", "/dead-letters", *lanes}
        assert {*asked} <= {*filters.NAMES}
        assert () == filters.read_filters(asked).mistakes


def test_words_to_fill_in_stand_in_quotes_where_a_shell_would_stumble() -> None:
    """A pid of the broker is `<rabbit@node.1.2.3>`: without quotes the shell reads a file."""
    closing = re.findall(r"`rabbitmqctl close_connection ([^`]+)`", TEXT)
    assert closing
    assert all(each.startswith("'PID' '") for each in closing)


def test_descriptions_name_commands_that_exist() -> None:
    """What an alert itself tells people to type works, too."""
    told = [
        command
        for alert in alerts()
        for command in re.findall(r"`crm-importer ([^`]+)`", alert.annotations["description"])
    ]
    assert told
    for command in told:
        parser().parse_args(shlex.split(command))
