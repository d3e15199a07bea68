"""The demo for Docker and Podman: it says what it means, and every part it names is there."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.commands.check.arithmetic import settings_rows
from service.commands.check.rows import RowStatus
from service.settings import environment
from tests.deploy.rules.rulebook import FILES
from tests.deploy.static.pods import CREDENTIALS
from tests.deploy.tools import tool

DEPLOY = Path(__file__).parents[3] / "deploy"
FILE = DEPLOY / "compose.yaml"
COMPOSE = DEPLOY / "compose"
DOCKERFILE = DEPLOY.parent / "Dockerfile"
STAND_INS = DEPLOY.parent / "tests/tools/containers.sh"
OURS = ("console", "importer", "sandbox", "traffic", "where-to-look")
FOREIGN = ("alertmanager", "grafana", "prometheus", "rabbitmq")
PINNED = re.compile(r"^(docker\.io|localhost)/[\w./-]+:(?!latest$)[\w.-]+$")
HEADER = re.compile(r"^#   http://localhost:(\d+) ", re.MULTILINE)
SAMPLES = 700
KEYS = {
    "build", "cap_drop", "command", "depends_on", "entrypoint", "environment", "healthcheck",
    "hostname", "image", "mem_limit", "ports", "read_only", "restart", "secrets", "security_opt",
    "stop_grace_period", "tmpfs", "ulimits", "user", "volumes",
}  # fmt: skip
"""Of a service, by the compose specification; only those that we use."""


@cache
def compose() -> dict[str, Any]:
    """Return the file with its anchors resolved."""
    document: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return document


def services() -> dict[str, dict[str, Any]]:
    """Return every service by its name."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def mounts(service: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield what a service mounts, and where."""
    for volume in service.get("volumes", []):
        source, target, mode = volume.split(":")
        assert "ro" == mode, volume
        yield (FILE.parent / source).resolve(), target


def config(path: Path) -> dict[str, Any]:
    """Return one of the demo's own files."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def test_compose_reads_the_file(tmp_path: Path) -> None:
    """A program made for such files understands it, and knows all the services.

    It asks podman for its version and nothing else, so a podman that can say that will do.
    """
    (tmp_path / "podman").write_text("#!/bin/sh\necho podman version 4.3.1\n")
    (tmp_path / "podman").chmod(0o755)
    run = subprocess.run(
        [Path(sys.executable).parent / "podman-compose", "-f", FILE, "config"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert 0 == run.returncode, run.stderr
    assert set(services()) == set(yaml.safe_load(run.stdout)["services"])


def test_every_key_is_one_of_the_specification() -> None:
    """Podman's program overlooks what it does not know, and Docker's refuses it."""
    assert set() == {key for service in services().values() for key in service} - KEYS


@pytest.mark.parametrize("name", list(services()))
def test_images_are_pinned(name: str) -> None:
    """The same parts today and next year, from a place that is named."""
    assert PINNED.match(services()[name]["image"])


@pytest.mark.parametrize("name", sorted(set(services()) - {*OURS, "grafana"}))
def test_what_stands_in_has_the_name_of_what_it_stands_for(name: str) -> None:
    """A new tag here would otherwise be asked from a registry by `make deploy-test`."""
    assert services()[name]["image"] in STAND_INS.read_text()


def test_base_image_has_its_stand_in() -> None:
    """The same for the Dockerfile."""
    (base,) = re.findall(
        r"^ARG PYTHON_IMAGE=(\S+)@sha256:[0-9a-f]{64}$", DOCKERFILE.read_text(), re.MULTILINE
    )
    assert f"docker.io/library/{base}\n" in STAND_INS.read_text()


@pytest.mark.parametrize("name", OURS)
def test_our_parts_run_as_strictly_as_in_a_cluster(name: str) -> None:
    """A user of no rights, and nothing to write to."""
    expected = {
        "user": "10001:10001",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }
    assert expected == {key: services()[name].get(key) for key in expected}


@pytest.mark.parametrize("name", ["console", "importer", "traffic"])
def test_settings_are_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service would start with what it is given; addresses come as files."""
    given = dict(services()[name]["environment"])
    assert [] == [key for key, value in given.items() if CREDENTIALS.search(value)]
    for key, value in given.items():
        if key.endswith("_FILE"):
            secret = compose()["secrets"][Path(value).name]
            given[key] = str(FILE.parent / secret["file"])
            assert Path(value).name in services()[name]["secrets"]
    settings = environment.load(given, portal="importer" == name)
    assert "rabbitmq" in settings.rabbit.url.get_secret_value()


def test_sample_traffic_has_the_rights_of_an_upstream_team_and_no_more() -> None:
    """It publishes as its own user, and is not given the portal's address."""
    assert ["upstream_url"] == services()["traffic"]["secrets"]
    assert "//shop:" in (COMPOSE / "secrets/upstream_url").read_text()
    assert "//crm-importer:" in (COMPOSE / "secrets/rabbit_url").read_text()


def test_importer_is_given_time_to_drain() -> None:
    """Longer than its deadline; and the memory holds the worst that its settings admit."""
    importer = services()["importer"]
    assert "120s" == importer["stop_grace_period"]
    given = dict(importer["environment"])
    for key in [key for key in given if key.endswith("_FILE")]:
        given[key] = str(FILE.parent / compose()["secrets"][Path(given[key]).name]["file"])
    limit = int(importer["mem_limit"].removesuffix("m")) * 2**20
    rows = settings_rows(environment.load(given), limit)
    assert [] == [row for row in rows if row.status is not RowStatus.OK]


@pytest.mark.parametrize("name", FOREIGN)
def test_parts_of_others_are_bounded_and_gain_no_right(name: str) -> None:
    """Memory has an end, nothing becomes root, and somebody looks whether they are well."""
    service = services()[name]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert {"mem_limit", "healthcheck"} <= service.keys()
    assert "rabbitmq" == name or ["ALL"] == service["cap_drop"]


def test_parts_are_ours_or_of_others() -> None:
    """A new one is in one of the two lists."""
    assert {*OURS, *FOREIGN} == set(services())


@pytest.mark.parametrize("name", list(services()))
def test_what_is_mounted_is_there(name: str) -> None:
    """No file that compose would make a folder of."""
    assert [] == [str(source) for source, _ in mounts(services()[name]) if not source.exists()]


@pytest.mark.parametrize("name", list(services()))
def test_only_this_machine_can_reach_it(name: str) -> None:
    """Everything published is published on loopback."""
    ports = services()[name].get("ports", [])
    assert [] == [port for port in ports if not port.startswith("127.0.0.1:")]


def test_who_waits_for_health_is_told_of_it() -> None:
    """Whoever must be healthy has a check; whoever is waited for exists."""
    for service in services().values():
        awaited = service.get("depends_on", {})
        for name in awaited:
            assert name in services()
            if isinstance(awaited, dict) and awaited[name]["condition"] == "service_healthy":
                assert "healthcheck" in services()[name], name


def test_addresses_of_the_header_are_published() -> None:
    """Every address that people are told leads somewhere, and none is forgotten."""
    published = {
        port.split(":")[1] for service in services().values() for port in service.get("ports", [])
    }
    assert published - {"5672"} == set(HEADER.findall(FILE.read_text()))


def test_prometheus_accepts_its_file(tmp_path: Path) -> None:
    """Its own checker reads it, with our rules in it."""
    rules = dict(mounts(services()["prometheus"]))[DEPLOY / "alerts"]
    text = (COMPOSE / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(text.replace(rules, str(DEPLOY / "alerts")))
    run = subprocess.run(
        [tool("promtool"), "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert 0 == run.returncode, run.stderr
    assert len(FILES) == (run.stdout + run.stderr).count("rules found")


def test_prometheus_scrapes_what_the_rules_need() -> None:
    """The jobs of the rules, at the ports of the services."""
    jobs = {job["job_name"]: job for job in config(COMPOSE / "prometheus.yml")["scrape_configs"]}
    targets = {
        name: job["static_configs"][0]["targets"][0].split(":")[0] for name, job in jobs.items()
    }
    expected = {"importer": "importer", "rabbitmq": "rabbitmq", "rabbitmq-queues": "rabbitmq"}
    assert expected == targets
    assert "rabbitmq_prometheus" in (COMPOSE / "enabled_plugins").read_text()


def test_grafana_finds_data_and_dashboard() -> None:
    """Data source and dashboard are provisioned; what is shown first is ours."""
    grafana = services()["grafana"]
    places = {target: source for source, target in mounts(grafana)}
    (source,) = config(COMPOSE / "grafana/datasource.yml")["datasources"]
    assert ("prometheus", "http://prometheus:9090") == (source["type"], source["url"])
    (provider,) = config(COMPOSE / "grafana/dashboards.yml")["providers"]
    shown = (
        places[provider["options"]["path"]]
        / Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).name
    )
    assert "crm-importer" == json.loads(shown.read_text())["uid"]


def test_sample_traffic_is_what_it_says() -> None:
    """Different ids, three types that every portal has, some that none has, and a rush."""
    with subprocess.Popen(
        [sys.executable, "-Bc", QUICK_TRAFFIC, COMPOSE], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        events = [json.loads(program.stdout.readline()) for _ in range(SAMPLES)]
        program.kill()
    assert SAMPLES == len({event["id"] for event in events})
    assert {1, 2, 3, 1044} == {event["entityTypeId"] for event in events}


QUICK_TRAFFIC = """
import sys; sys.path.insert(0, sys.argv[1]); import traffic
traffic.PAUSE_SECONDS = 0; traffic.main()
"""
