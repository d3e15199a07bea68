"""The way to the portal, as `check` and the log tell of it: certificates, proxies, ports."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.integration.bitrix.peers import Authority, Proxy, answers, listening
from tests.support.commands import Commands
from tests.support.ports import free_port
from tests.support.processes import ServiceProcess

NO_BROKER = "amqp://127.0.0.1:1/"
PROFILE = b'{"result":{"ADMIN":true}}'
ADMIN = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(PROFILE), PROFILE)
REFUSING = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Lend an authority that the system does not know."""
    return Authority()


async def row(port: int, **settings: str) -> tuple[str, str]:
    """Return what `check` finds of the portal on a port, and its remedy."""
    env = {"IMPORTER_BITRIX__WEBHOOK_URL": f"https://127.0.0.1:{port}/rest/1/hook5ecret/"}
    env |= {name if "SSL" in name else f"IMPORTER_{name}": each for name, each in settings.items()}
    done = await Commands(NO_BROKER, env).run("check", "--json")
    assert done.err == ""
    assert "hook5ecret" not in done.out
    rows = [each for each in json.loads(done.out)["rows"] if each["check"] == "portal.connection"]
    return rows[0]["found"], rows[0]["remedy"] or ""


async def test_check_tells_authority_name_age_and_port_apart(
    authority: Authority, tmp_path: Path
) -> None:
    """Each with what to do; with the authority given, by either way, all is well."""
    file = str(authority.file(tmp_path))
    async with listening(answers(ADMIN), authority.server("127.0.0.1")) as port:
        unknown = await row(port)
        known = await row(port, BITRIX__CA_FILE=file)
        system = await row(port, SSL_CERT_FILE=file)
    assert "authority that is not trusted" in unknown[0]
    assert "IMPORTER_BITRIX__CA_FILE" in unknown[1]
    assert "answers; the credentials belong to an administrator" in known[0]
    assert known == system
    async with listening(answers(ADMIN), authority.server("other.example")) as port:
        assert "another name" in (await row(port, BITRIX__CA_FILE=file))[0]
    async with listening(answers(ADMIN), authority.server("127.0.0.1", age="past")) as port:
        assert "has expired" in (await row(port, BITRIX__CA_FILE=file))[0]
    found, remedy = await row(free_port())
    assert ("the portal cannot be reached: nothing listens there", True) == (
        found,
        "port" in remedy,
    )


async def test_check_tells_that_it_is_the_proxy_that_refuses() -> None:
    """With the setting that a person must look at, and without its password."""
    async with listening(Proxy(REFUSING)) as at:
        found, remedy = await row(1, BITRIX__PROXY_URL=f"http://u:pr0xypass@127.0.0.1:{at}")
    assert "the proxy refuses the connection to the portal (HTTP 407)" == found
    assert "IMPORTER_BITRIX__PROXY_URL" in remedy
    assert "pr0xypass" not in found + remedy


async def test_check_tells_the_same_of_the_authorisation_server(
    authority: Authority, tmp_path: Path
) -> None:
    """It is named, so that nobody looks at the portal."""
    async with listening(answers(ADMIN), authority.server("127.0.0.1")) as port:
        env = {
            "IMPORTER_BITRIX__CLIENT_ENDPOINT": "https://portal.example/rest/",
            "IMPORTER_BITRIX__CLIENT_ID": "app",
            "IMPORTER_BITRIX__CLIENT_SECRET": "app-secret",
            "IMPORTER_BITRIX__REFRESH_TOKEN": "first-token",
            "IMPORTER_BITRIX__TOKEN_FILE": str(tmp_path / "pair.json"),
            "IMPORTER_BITRIX__OAUTH_URL": f"https://127.0.0.1:{port}/oauth/token/",
        }
        done = await Commands(NO_BROKER, env).run("check", "--json")
    found = {each["check"]: each for each in json.loads(done.out)["rows"]}["portal.connection"]
    assert "the authorisation server cannot be reached: its certificate" in found["found"]
    assert "IMPORTER_BITRIX__CA_FILE" in found["remedy"]


async def test_the_pause_says_why_the_portal_cannot_be_reached(
    authority: Authority, amqp_url: str
) -> None:
    """One line: the reason, the cause, what to do, when the next try is."""
    async with listening(answers(ADMIN), authority.server("127.0.0.1")) as port:
        settings = {
            "IMPORTER_RABBIT__URL": amqp_url,
            "IMPORTER_BITRIX__WEBHOOK_URL": f"https://127.0.0.1:{port}/rest/1/hook5ecret/",
            "IMPORTER_BATCH__WINDOW_SECONDS": "0",
            "IMPORTER_PAUSE__AFTER_SECONDS": "0",
            "IMPORTER_PAUSE__PROBE_SECONDS": "600",
            "IMPORTER_PAUSE__PROBE_CAP_SECONDS": "600",
        }
        with ServiceProcess(settings) as service:
            await asyncio.to_thread(service.wait_ready)
            published = await Commands(amqp_url).run("publish", stdin=EVENT)
            assert published.code == 0, published.err
            await asyncio.to_thread(
                service.until, lambda: "intake paused" in service.stderr(), "pause", 40.0
            )
            lines = [json.loads(line) for line in service.stderr().splitlines()]
    told = next(line for line in lines if line["event"] == "intake paused")
    assert told["reason"] == "unavailable"
    assert "authority that is not trusted" in told["cause"]
    assert "IMPORTER_BITRIX__CA_FILE" in told["remedy"]
    assert 590 < told["next_try_in"] <= 600


EVENT = b'{"entityTypeId": 2, "fields": {"title": "x"}, "id": "one"}\n'
