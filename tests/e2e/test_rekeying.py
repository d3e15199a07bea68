"""Secrets that change on the disk, as Kubernetes mounts them: used without a restart."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import Environment, deals
from tests.support.processes import ServiceProcess

FAR = {"IMPORTER_PAUSE__PROBE_SECONDS": "600", "IMPORTER_PAUSE__PROBE_CAP_SECONDS": "600"}


class Mounted:
    """A secret in a volume: the file is a link into a folder, and a link to that is swapped."""

    def __init__(self, folder: Path, value: str) -> None:
        self._folder = folder
        folder.mkdir()
        self.path = folder / "value"
        self.path.symlink_to("..data/value")
        self.change(value)

    def change(self, value: str) -> None:
        """Put another value into its place, at once."""
        version = self._folder / f"..{uuid.uuid4().hex}"
        version.mkdir()
        (version / "value").write_text(value)
        (self._folder / "..new").symlink_to(version.name)
        (self._folder / "..new").replace(self._folder / "..data")


async def said(service: ServiceProcess, text: str, seconds: float = 30.0) -> None:
    """Wait until the log says something."""
    await asyncio.to_thread(service.until, lambda: text in service.stderr(), text, seconds)


async def test_a_pause_for_credentials_tries_a_new_webhook_at_once(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """No restart, no wait for the next probe; one of another host is refused with a line."""
    async with Environment(broker, vhost, settings=FAR) as environment:
        good = environment.portal.webhook_url
        secret = Mounted(tmp_path / "hook", good.replace("sandbox-secret", "renewed-away"))
        service = environment.prepare_service(BITRIX__WEBHOOK_URL_FILE=str(secret.path))
        await asyncio.to_thread(service.wait_ready)
        await environment.publish(deals("one", "two"))
        await said(service, "intake paused")
        secret.change("https://other.example/rest/1/stolen-by-others/")
        await said(service, "leads to another host")
        secret.change(f"\ufeff{good}\r\n")
        await environment.settle(["one", "two"], 30)
        environment.assert_effectively_once(["one", "two"])
        assert service.alive
        assert not [w for w in ("renewed-away", "stolen-by-others") if w in service.stderr()]


@pytest.fixture
def own_user(broker: Broker, vhost: str) -> Iterator[str]:
    """Lend a user of the broker whose password may be changed."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    broker.api("PUT", f"users/{name}", {"password": "first-password", "tags": ""})
    rights = dict.fromkeys(("configure", "write", "read"), ".*")
    broker.api("PUT", f"permissions/{vhost}/{name}", rights)
    yield name
    broker.api("DELETE", f"users/{name}")


async def test_a_new_password_of_the_broker_is_used_at_the_next_dial(
    broker: Broker, vhost: str, own_user: str, tmp_path: Path
) -> None:
    """The connections that stand are left alone."""
    at = urlsplit(broker.url(vhost))

    def url(password: str) -> str:
        return at._replace(netloc=f"{own_user}:{password}@{at.hostname}:{at.port}").geturl()

    secret = Mounted(tmp_path / "broker", url("first-password"))
    async with Environment(broker, vhost) as environment:
        service = await environment.start_service(RABBIT__URL_FILE=str(secret.path))
        broker.api("PUT", f"users/{own_user}", {"password": "second-password", "tags": ""})
        await environment.publish(deals("one"))
        await environment.settle(["one"])

        def is_cut() -> bool:
            broker.close_connections(vhost)
            return "broker connection lost" in service.stderr()

        await wait_until(is_cut, what="the loss of the broker's connection")
        secret.change(url("second-password") + "\n")
        await environment.publish(deals("two"))
        await environment.settle(["one", "two"], 40)
        assert "password" not in service.stderr().replace("user or password refused", "")
