"""One cause calls once: the real Alertmanager, with the rules that the demo ships."""

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import httpx
import pytest
import yaml

from tests.deploy.live.servers import Alertmanager, wait_for
from tests.deploy.rules.rulebook import ROOT, alerts
from tests.deploy.tools import tool

FILE = ROOT / "deploy/compose/alertmanager.yml"


class Shipped(Alertmanager):
    """Runs with the shipped file."""

    def __init__(self) -> None:
        super().__init__("")

    def options(self) -> Sequence[str]:
        """Return its command line; it stays alone."""
        return [
            f"--config.file={FILE}",
            f"--storage.path={self.folder / 'data'}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]


@pytest.fixture(scope="module")
def manager() -> Iterator[Shipped]:
    """Lend an Alertmanager with the shipped file."""
    tool("prometheus-alertmanager")
    with Shipped() as server:
        yield server


def alert(name: str, severity: str, job: str, **labels: str) -> dict[str, dict[str, str]]:
    """Return an alert as Prometheus sends it."""
    return {"labels": {"alertname": name, "severity": severity, "job": job, **labels}}


Told: TypeAlias = tuple[str, ...]
"""The name of an alert, its severity, and the lane or the certificate that it is about, if any."""


def calls(manager: Shipped, job: str, *told: Told, about: str = "lane") -> set[Told]:
    """Return which of the alerts of a job would call somebody."""
    base = f"http://{manager.address}/api/v2/alerts"
    with httpx.Client(trust_env=False) as http:
        sent = [
            alert(name, severity, job, **dict(zip([about], more, strict=False)))
            for name, severity, *more in told
        ]
        assert http.post(base, json=sent).is_success

        def mine(states: str) -> list[dict[str, dict[str, str]]]:
            found = http.get(f"{base}?{states}&filter=job%3D{job}").json()
            return [each for each in found if each["labels"]["job"] == job]

        wait_for(lambda: len(mine("")) == len(told), 10, lambda: f"alerts: {mine('')}")
        loud = mine("inhibited=false")
        shown = ("alertname", "severity", about)
        return {
            tuple(each["labels"][label] for label in shown if label in each["labels"])
            for each in loud
        }


@pytest.mark.parametrize("cause", ["ImporterDown", "ImporterNotReady", "ImporterBrokerBlocked"])
def test_what_follows_from_a_cause_calls_nobody(manager: Shipped, cause: str) -> None:
    """A blocked broker is one page, not three."""
    follows = [("ImporterStalled", "page"), ("ImporterPublishFailing", "page")]
    loud = calls(manager, cause.lower(), (cause, "page"), *follows)
    assert {(cause, "page")} == loud


def test_a_pause_speaks_for_the_backlog_and_never_for_the_page_that_escalates_it(
    manager: Shipped,
) -> None:
    """What waits for two hours calls, whatever ticket is open."""
    told = [
        ("ImporterPaused", "ticket"),
        ("ImporterBacklogWillNotDrain", "ticket"),
        ("ImporterPausedLong", "page"),
    ]
    assert set(told) - {told[1]} == calls(manager, "paused", *told)


def test_the_page_speaks_for_the_ticket_of_its_name(manager: Shipped) -> None:
    """And no alert for one of another name."""
    told = [
        ("ImporterCertificateExpires", "page"),
        ("ImporterCertificateExpires", "ticket"),
        ("ImporterDeadLetters", "ticket"),
    ]
    assert {told[0], told[2]} == calls(manager, "names", *told)


def test_a_page_speaks_for_no_other_lane_and_no_other_certificate(manager: Shipped) -> None:
    """What is wrong with one of them says nothing of the next."""
    closed = "ImporterLaneClosed"
    lanes = [(closed, "page", "128"), (closed, "ticket", "128"), (closed, "ticket", "31")]
    assert {lanes[0], lanes[2]} == calls(manager, "lanes", *lanes)
    ends = "ImporterCertificateExpires"
    certificates = [(ends, "page", "client"), (ends, "ticket", "portal")]
    assert set(certificates) == calls(manager, "certificates", *certificates, about="which")


def test_no_portal_silences_another(manager: Shipped) -> None:
    """The other one's stalled intake calls."""
    calls(manager, "importer-acme", ("ImporterDown", "page"))
    stalled = ("ImporterStalled", "page")
    assert {stalled} == calls(manager, "importer-beta", stalled)


def test_inhibition_names_alerts_that_exist() -> None:
    """A renamed alert would call again, or silence nothing."""
    names = {each.name for each in alerts()}
    for rule in yaml.safe_load(FILE.read_text())["inhibit_rules"]:
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            label, value = re.fullmatch(r'(\w+) =~? "(.*)"', matcher).groups()  # type: ignore[union-attr]  # else it fails
            for each in value.split("|") if label == "alertname" else ():
                assert any(re.fullmatch(each, name) for name in names), each
