"""Check: what a user sees, in good and broken environments, and what it leaves alone."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.broker import Broker
from tests.support.environment import Environment, deals
from tests.support.patience import patient
from tests.support.ports import free_port
from tests.support.processes import PortalProcess, ServiceProcess

SECRETS = ("hook5ecretzq81", "br0kerpasswordzq82", "manag3mentzq83")


@pytest.fixture
def portal() -> Iterator[PortalProcess]:
    """Lend a simulated portal."""
    with PortalProcess({"secret": SECRETS[0]}) as portal:
        yield portal


def checked(*options: str, **named: str) -> tuple[int, str, str]:
    """Run the check to its end; return exit code, output and complaints."""
    settings = {f"IMPORTER_{name}": value for name, value in named.items()}
    with ServiceProcess(settings, ["check", *options]) as process:
        code = process.wait(60)
        return code, process.stdout(), process.stderr()


def rows(output: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of the JSON by check and subject."""
    return {(row["check"], row["subject"]): row for row in json.loads(output)["rows"]}


def test_a_fresh_environment_is_fit(amqp_url: str, portal: PortalProcess) -> None:
    """Exit 0 with a line for each row: nothing is there yet, and `run` would create it."""
    code, output, errors = checked(RABBIT__URL=amqp_url, BITRIX__WEBHOOK_URL=portal.webhook_url)
    assert (0, "") == (code, errors)
    lines = output.splitlines()
    assert (
        "ok       queue crm.items.import: missing; `run` would create it, if the user may" in lines
    )
    assert "ok       type 2, deals: readable, external id in originId" in lines
    assert lines[-1].startswith("fit: ")
    assert "\x1b" not in output


async def test_a_running_environment_is_fit_and_left_alone(broker: Broker, vhost: str) -> None:
    """Everything `run` declared passes, the service works on, few calls are made."""
    async with Environment(broker, vhost) as environment:
        service = await environment.start_service()
        before = environment.portal.summary()["calls"]
        code, output, errors = await asyncio.to_thread(
            checked,
            "--json",
            RABBIT__URL=broker.url(vhost),
            RABBIT__MANAGEMENT_URL=broker.management_url,
            BITRIX__WEBHOOK_URL=environment.portal.webhook_url,
            CONSOLE__STATUS_URL=f"{service.url}status",
        )
        assert (0, "") == (code, errors)
        bad = [row for row in rows(output).values() if row["status"] in {"fail", "unknown"}]
        assert [] == bad
        intake = "queue crm.items.import"
        found = rows(output)
        assert "on; 1 consumer now" == found["queue.single_active_consumer", intake]["found"]
        assert "1000 deliveries" == found["queue.delivery_limit", intake]["found"]
        assert "none is closed" in found["importer.lanes", "lanes"]["found"]
        after = environment.portal.summary()["calls"]
        made = {name: count - before.get(name, 0) for name, count in after.items()}
        # The running service's own question, once after it has started.
        made.pop("crm.type.list", None)
        assert {"profile", "scope", "crm.item.fields"} == {name for name in made if made[name]}
        assert 15 > sum(made.values())
        await environment.publish(deals("after"))
        await environment.settle(["after"])
        environment.assert_effectively_once(["after"])


def test_what_must_not_be_created_fails(amqp_url: str, portal: PortalProcess) -> None:
    """Exit 1 where a definitions file should have been imported."""
    code, output, _ = checked(
        "--json",
        RABBIT__URL=amqp_url,
        RABBIT__TOPOLOGY="check",
        BITRIX__WEBHOOK_URL=portal.webhook_url,
    )
    assert 1 == code
    found = [row for row in rows(output).values() if row["check"].startswith("topology.")]
    assert ({"fail"}, 7) == ({row["status"] for row in found}, len(found))


@pytest.mark.parametrize("state", ["credentials", "scope", "plan", "deleted", "html503"])
def test_a_portal_that_bars_us_fails(amqp_url: str, portal: PortalProcess, state: str) -> None:
    """Exit 1 and say what to do."""
    webhook = portal.webhook_url
    portal.settings({"state": state})
    code, output, errors = checked(RABBIT__URL=amqp_url, BITRIX__WEBHOOK_URL=webhook)
    assert (1, "") == (code, errors)
    lines = output.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("fail     portal")]
    assert lines[at + 1].startswith("         -> ")
    assert lines[-1].startswith("not fit: ")


def test_nothing_reachable_fails_soon_and_shows_no_secret() -> None:
    """Exit 1 in seconds, with a row for each broken thing."""
    dead = free_port()
    _, password, management = SECRETS
    started = time.monotonic()
    code, output, errors = checked(
        RABBIT__URL=f"amqp://u:{password}@127.0.0.1:{dead}/,amqp://u:{password}@127.0.0.2:{dead}/",
        RABBIT__MANAGEMENT_URL=f"http://u:{management}@127.0.0.1:{dead}/",
        BITRIX__WEBHOOK_URL=f"http://127.0.0.1:{dead}/rest/1/{SECRETS[0]}/",
    )
    assert (1, "") == (code, errors)
    assert 3 == output.count("fail ")
    assert [] == [secret for secret in SECRETS if secret in output]
    assert patient(30) > time.monotonic() - started


async def test_silence_ends(amqp_url: str) -> None:
    """Exit 1 in bounded time when broker and portal accept connections and say nothing."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        code, output, errors = await asyncio.to_thread(
            checked,
            "--json",
            RABBIT__URL=f"amqp://127.0.0.1:{port}/",
            BITRIX__WEBHOOK_URL=f"http://127.0.0.1:{port}/rest/1/x/",
            BITRIX__TIMEOUT_SECONDS="5",
        )
    assert (1, "") == (code, errors)
    found = {row["check"]: row["found"] for row in rows(output).values()}
    assert "no answer within 10 s" == found["broker.connection"]
    assert "did not answer within" in found["portal.connection"]


def test_a_management_api_that_refuses_us_fails(
    broker: Broker, amqp_url: str, portal: PortalProcess
) -> None:
    """Whoever names one wants it asked."""
    url = urlsplit(broker.management_url)
    wrong = url._replace(netloc=f"u:{SECRETS[2]}@{url.netloc.rpartition('@')[2]}").geturl()
    code, output, _ = checked(
        RABBIT__URL=amqp_url,
        RABBIT__MANAGEMENT_URL=wrong,
        BITRIX__WEBHOOK_URL=portal.webhook_url,
    )
    assert (1, True) == (code, "fail     management API: user or password refused" in output)
    assert SECRETS[2] not in output


def test_what_could_go_wrong_later_is_warned_of(
    broker: Broker, amqp_url: str, portal: PortalProcess
) -> None:
    """A long hold before there is a queue to ask, and names that Kubernetes injected."""
    for management in ({}, {"RABBIT__MANAGEMENT_URL": broker.management_url}):
        code, output, errors = checked(
            "--json",
            RABBIT__URL=amqp_url,
            RABBIT__HOLD_SECONDS="1800",
            BITRIX__WEBHOOK_URL=f"{portal.webhook_url}\n",
            SERVICE_PORT="8080",
            PORT="tcp://10.0.0.1:8080",
            **management,
        )
        assert (0, "") == (code, errors)
        found = rows(output)
        warned = {key for key, row in found.items() if row["status"] == "warn"}
        assert {
            ("queue.ack_timeout", "queue crm.items.import"),
            ("settings.ignored", "settings"),
        } == warned
        assert (
            "IMPORTER_PORT, IMPORTER_SERVICE_PORT"
            in found["settings.ignored", "settings"]["found"]
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RABBIT__MANAGEMENT_URL", f"http://u:{SECRETS[2]}@[::1/"),
        ("RABBIT__MANAGEMENT_URL", f"http://u:{SECRETS[2]}@broker:abc/"),
        ("RABBIT__URL", f"amqp://u:{SECRETS[1]}@.svc/"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run", "publish"])
def test_addresses_that_can_be_none_exit_2(command: str, name: str, value: str) -> None:
    """One line, whatever the command, and never a traceback."""
    webhook = {"IMPORTER_BITRIX__WEBHOOK_URL": "https://portal.example/rest/1/x/"}
    with ServiceProcess({**webhook, f"IMPORTER_{name}": value}, [command]) as process:
        assert 2 == process.wait(30)
        (line,) = process.stderr().splitlines()
    assert line.startswith(f"error: IMPORTER_{name} is wrong: must be ")
    assert [] == [secret for secret in SECRETS if secret in line]


def test_bad_settings_exit_2() -> None:
    """Say so on standard error, a line each, and check nothing."""
    code, output, errors = checked(RABBIT__URL="nonsense")
    assert (2, "") == (code, output)
    assert ["IMPORTER_RABBIT__URL", "IMPORTER_BITRIX__WEBHOOK_URL"] == [
        line.split()[1] for line in errors.splitlines()
    ]
