"""Proves the OAuth application and the renamed portal: tokens cost nothing, secrets stay home."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import Environment, deals
from tests.support.patience import patient
from tests.support.ports import free_port
from tests.support.processes import PortalProcess, ServiceProcess

REFRESH = "oauth.token"
SECRETS = ("app-secret", "access-", "refresh-")
EXPIRED = {"expire": True}


class OAuthEnvironment(Environment):
    """An environment whose services are OAuth applications, with their token file in a folder."""

    def __init__(self, broker: Broker, vhost: str, folder: Path, **portal: object) -> None:
        super().__init__(broker, vhost, portal=portal)
        self.token_file = folder / "tokens.json"

    def prepare_service(self, **settings: str) -> ServiceProcess:
        """Start a service without waiting for it."""
        names = {
            "RABBIT__URL": self.broker.url(self.vhost),
            "BITRIX__CLIENT_ENDPOINT": f"{self.portal.url}rest/",
            "BITRIX__CLIENT_ID": "app.sandbox",
            "BITRIX__CLIENT_SECRET": "app-secret",
            "BITRIX__OAUTH_URL": f"{self.portal.url}oauth/token/",
            "BITRIX__TOKEN_FILE": str(self.token_file),
            "BITRIX__REFRESH_TOKEN": "refresh-0",
            **settings,
        }
        given = {f"IMPORTER_{name}": value for name, value in names.items() if value}
        service = ServiceProcess({**self._settings, **given}, fresh=True)
        self._stack.enter_context(service)
        self._services.append(service)
        return service

    def kept(self) -> dict[str, Any]:
        """Return what the token file holds."""
        kept: dict[str, Any] = json.loads(self.token_file.read_text())
        return kept

    def put(self, **pair: object) -> None:
        """Replace the token file, as an operator does."""
        fresh = self.token_file.with_name("fresh")
        fresh.write_text(json.dumps(pair))
        fresh.replace(self.token_file)

    def expire(self) -> None:
        """Let every access token issued so far end."""
        self.portal.control("POST", "tokens", EXPIRED)

    def renewals(self, status: int = 200) -> int:
        """Count the calls of the authorisation server that were answered so."""
        calls = self.portal.ledger()["calls"]
        return sum(call["method"] == REFRESH and call["status"] == status for call in calls)

    def assert_silent(self) -> None:
        """See that no secret was told, anywhere."""
        service = self.service
        left = {
            "log": self.logs() + service.stdout(),
            "metrics": service.get("metrics").text,
            "readyz": service.get("readyz").text,
            "title": Path(f"/proc/{service.pid}/cmdline").read_text(),
            "results": json.dumps([self.books.succeeded, self.books.failed]),
        }
        assert left["title"].endswith("service\0run\0")
        assert [] == [
            (place, secret) for place, text in left.items() for secret in SECRETS if secret in text
        ]


@pytest.fixture
def moved() -> Iterator[PortalProcess]:
    """Lend the portal at its new address."""
    with PortalProcess() as portal:
        yield portal


@pytest.fixture
async def wrong() -> AsyncIterator[dict[str, str]]:
    """Lend hosts that are no portal: one shows a page to everybody, one is not there."""

    async def show(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(show, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield {
            "page": f"http://127.0.0.1:{port}/",
            "dead": f"http://127.0.0.1:{free_port()}/",
        }


async def test_the_main_job_runs_through_several_expiries(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """By time and by the portal's word; no item and no attempt is the price."""
    ids, lasts = [f"e{n}" for n in range(100)], patient(1.0)
    async with OAuthEnvironment(broker, vhost, tmp_path, token_seconds=lasts) as environment:
        service = await environment.start_service(LOG__LEVEL="DEBUG")
        for start in range(0, len(ids), 20):
            await environment.publish(deals(*ids[start : start + 20]))
            await environment.settle(ids[: start + 20])
            if start in {40, 60}:
                environment.expire()
            else:
                await asyncio.sleep(lasts + 0.1)
        environment.assert_effectively_once(ids)
        assert {1} == {event["data"]["attempts"] for event in environment.books.succeeded}
        assert [] == environment.books.dead
        calls = [c for c in environment.portal.ledger()["calls"] if c["method"] != REFRESH]
        assert 4 <= environment.renewals() <= len(calls) + 1
        assert 0 == environment.renewals(400)
        assert f"refresh-0-{environment.renewals()}" == environment.kept()["refresh_token"]
        assert 0o600 == stat.S_IMODE(environment.token_file.stat().st_mode)
        assert [] == service.logs(event="intake paused")
        host = urlsplit(environment.portal.url).netloc
        assert {f"/crm-importer/{host}"} == {
            event["source"] for event in environment.books.succeeded
        }
        environment.assert_silent()


async def test_an_unreachable_auth_server_pauses_and_costs_nothing(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """The intake waits as `auth_server` and goes on by itself."""
    ids = [f"e{n}" for n in range(30)]
    async with OAuthEnvironment(broker, vhost, tmp_path) as environment:
        service = await environment.start_service(PAUSE__AFTER_SECONDS="1")
        await environment.publish(deals("first"))
        await environment.settle(["first"])
        environment.portal.settings({"oauth_outage": True})
        environment.expire()
        await environment.publish(deals(*ids))
        await _paused(service, "auth_server")
        environment.portal.settings({"oauth_outage": False})
        await environment.settle(ids)
        environment.assert_effectively_once(ids)
        assert [] == environment.books.dead
        assert {1} == {event["data"]["attempts"] for event in environment.books.succeeded}
        await _flowing(service)
        environment.assert_silent()


async def test_a_revoked_application_waits_for_a_new_pair(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """The intake pauses as `credentials`; a token file put there by a person ends it."""
    ids = [f"e{n}" for n in range(30)]
    async with OAuthEnvironment(broker, vhost, tmp_path) as environment:
        service = await environment.start_service()
        await environment.publish(deals("first"))
        await environment.settle(["first"])
        environment.portal.control("POST", "tokens", {"revoke": True, **EXPIRED})
        await environment.publish(deals(*ids))
        await _paused(service, "credentials")
        environment.portal.settings({"access_token": "access-9", "refresh_token": "refresh-9"})
        environment.put(refresh_token="refresh-9")
        await environment.settle(ids)
        environment.assert_effectively_once(ids)
        assert [] == environment.books.dead
        await _flowing(service)
        assert "refresh-9-1" == environment.kept()["refresh_token"]
        environment.assert_silent()


async def test_a_damaged_token_file_waits_for_a_person(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """It is never written over; the log says what to do."""
    async with OAuthEnvironment(broker, vhost, tmp_path) as environment:
        service = await environment.start_service()
        await environment.publish(deals("first"))
        await environment.settle(["first"])
        pair = environment.kept()
        environment.token_file.write_text('{"refresh_token"')
        environment.expire()
        await environment.publish(deals("second"))
        await _paused(service, "credentials")
        assert '{"refresh_token"' == environment.token_file.read_text()
        (line, *_) = service.logs(event="token file cannot be used")
        assert "IMPORTER_BITRIX__REFRESH_TOKEN" in line["reason"]
        environment.put(**pair)
        await environment.settle(["second"])
        environment.assert_effectively_once(["first", "second"])
        environment.assert_silent()


async def test_two_services_share_one_pair(broker: Broker, vhost: str, tmp_path: Path) -> None:
    """The stand-by takes over with the pair that the dead process has left."""
    ids, lasts = [f"e{n}" for n in range(60)], patient(1.0)
    async with OAuthEnvironment(broker, vhost, tmp_path, token_seconds=lasts) as environment:
        first = await environment.start_service()
        await environment.start_service()
        await environment.publish(deals(*ids[:30]))
        await environment.settle(ids[:1])
        await asyncio.sleep(lasts + 0.2)
        await environment.publish(deals(*ids[30:]))
        first.kill()
        await environment.settle(ids)
        environment.assert_effectively_once(ids)
        assert 0 == environment.renewals(400)


@pytest.mark.parametrize("kind", ["webhook", "application"])
async def test_a_renamed_portal_is_followed(
    broker: Broker, vhost: str, tmp_path: Path, moved: PortalProcess, kind: str
) -> None:
    """The same call goes to the new host at once; events keep the configured name."""
    ids = [f"e{n}" for n in range(40)]
    webhook = kind == "webhook"
    environment = (
        Environment(broker, vhost) if webhook else OAuthEnvironment(broker, vhost, tmp_path)
    )
    async with environment:
        service = await environment.start_service()
        old = environment.portal
        old.faults([_redirect("profile", moved.url), _redirect("crm.item.batchimport", moved.url)])
        if not webhook:
            moved.settings({"access_token": "access-0-1"})
        await environment.publish(deals(*ids))
        await environment.settle(ids)
        host = urlsplit(old.url).netloc
        assert {f"/crm-importer/{host}"} == {
            event["source"] for event in environment.books.succeeded
        }
        assert {1} == {event["data"]["attempts"] for event in environment.books.succeeded}
        assert [] == environment.books.dead
        (line,) = service.logs(event="portal has moved: put its new address into the settings")
        assert (urlsplit(moved.url).netloc, host) == (line["host"], line["was"])
        assert 1 <= len(environment.import_calls()) <= 2
        environment.portal = moved
        environment.assert_effectively_once(ids)


async def test_a_restart_remembers_where_the_portal_is(
    broker: Broker, vhost: str, tmp_path: Path, moved: PortalProcess
) -> None:
    """An application notes the new host beside its tokens: the old name may end."""
    async with OAuthEnvironment(broker, vhost, tmp_path) as environment:
        service = await environment.start_service()
        await environment.publish(deals("first"))
        await environment.settle(["first"])
        environment.portal.faults([_redirect("crm.item.batchimport", moved.url)])
        moved.settings({"access_token": "access-0-1"})
        await environment.publish(deals("second"))
        await environment.settle(["second"])
        await wait_until(
            lambda: environment.kept()["found_endpoint"] == f"{moved.url}rest/", what="the note"
        )
        calls = len(environment.import_calls())
        service.kill()
        await environment.start_service()
        await environment.publish(deals("third"))
        await environment.settle(["third"])
        assert calls == len(environment.import_calls())


@pytest.mark.parametrize("kind", ["webhook", "application"])
@pytest.mark.parametrize("place", ["page", "dead"])
async def test_a_redirect_to_a_wrong_place_costs_nothing(
    broker: Broker, vhost: str, tmp_path: Path, wrong: dict[str, str], kind: str, place: str
) -> None:
    """Not even items without external id: no more than a question was asked there."""
    ids = [f"e{n}" for n in range(5)]
    webhook = kind == "webhook"
    environment = (
        Environment(broker, vhost) if webhook else OAuthEnvironment(broker, vhost, tmp_path)
    )
    async with environment:
        service = await environment.start_service()
        portal = environment.portal
        portal.faults([{**_redirect("crm.item.batchimport", wrong[place]), "times": 1}])
        await environment.publish(deals(*ids, entity_type=7))
        await environment.settle(ids)
        assert {("succeeded",)} == {
            tuple(found) for found in environment.books.outcomes().values()
        }
        assert len(ids) == len(portal.ledger()["items"])
        assert [] == environment.books.dead
        assert [] == service.logs(event="portal has moved: put its new address into the settings")
        (line,) = service.logs(event="redirect not followed: the host gave no result")
        assert urlsplit(wrong[place]).netloc == line["host"]
        if isinstance(environment, OAuthEnvironment):
            assert f"{portal.url}rest/" == environment.kept()["found_endpoint"]


async def test_a_place_that_was_noted_and_is_gone_is_given_up(
    broker: Broker, vhost: str, tmp_path: Path, wrong: dict[str, str]
) -> None:
    """The portal is asked where it was configured, and that is noted."""
    async with OAuthEnvironment(broker, vhost, tmp_path) as environment:
        configured = f"{environment.portal.url}rest/"
        environment.put(
            refresh_token="refresh-0",
            configured_endpoint=configured,
            found_endpoint=f"{wrong['dead']}rest/",
        )
        service = await environment.start_service()
        await environment.publish(deals("first", "second"))
        await environment.settle(["first", "second"])
        environment.assert_effectively_once(["first", "second"])
        assert [] != service.logs(event="portal is back at its configured address")
        await wait_until(
            lambda: environment.kept()["found_endpoint"] == configured, what="the new note"
        )


async def test_a_redirect_to_a_stranger_is_refused(broker: Broker, vhost: str) -> None:
    """The secret stays; the intake waits, says why, and nothing is lost or failed."""
    ids = [f"e{n}" for n in range(30)]
    async with Environment(broker, vhost) as environment:
        service = await environment.start_service()
        stranger = "https://stranger.example/rest/"
        environment.portal.faults([_redirect("*", stranger)])
        await environment.publish(deals(*ids))
        await _paused(service, "unavailable")
        (line, *_) = service.logs(event="redirect refused: the host is not trusted")
        assert "stranger.example" == line["host"]
        environment.portal.faults([])
        await environment.settle(ids)
        environment.assert_effectively_once(ids)
        assert [] == environment.books.dead
        await _flowing(service)


@pytest.mark.parametrize(
    ("file", "settings", "says"),
    [
        ("absent/tokens.json", {}, "cannot be written: No such file or directory"),
        ("tokens.json", {"BITRIX__REFRESH_TOKEN": ""}, "does not exist"),
        ("damaged", {}, "holds no refresh_token"),
        ("folder", {}, "is a folder"),
    ],
)
async def test_a_token_file_that_cannot_be_used_stops_the_start(
    broker: Broker,
    vhost: str,
    tmp_path: Path,
    file: str,
    settings: Mapping[str, str],
    says: str,
) -> None:
    """One line, with the file and the remedy."""
    (tmp_path / "damaged").write_text("{}")
    (tmp_path / "folder").mkdir()
    async with OAuthEnvironment(broker, vhost, tmp_path) as environment:
        path = str(tmp_path / file)
        service = environment.prepare_service(**{"BITRIX__TOKEN_FILE": path, **settings})
        assert 1 == await asyncio.to_thread(service.wait)
        (line,) = [line for line in service.stderr().splitlines() if line[:1] != "{"]
        assert line.startswith(f"error: the token file {path} ")
        assert says in line


def _redirect(method: str, to: str) -> dict[str, Any]:
    return {"kind": "redirect", "method": method, "times": -1, "location": to}


async def _paused(service: ServiceProcess, reason: str) -> None:
    """Wait until the service says that it is paused, and why."""
    await wait_until(lambda: service.probe("readyz")[1].get("paused") == reason, what=reason)
    assert [] != service.logs(event="intake paused", reason=reason)


async def _flowing(service: ServiceProcess) -> None:
    """Wait until the service is no longer paused."""
    await wait_until(lambda: service.probe("readyz")[1].get("paused") is None, what="the flow")
