"""Rekeying: a secret that changed is used, one that cannot be is told of, and nothing is shown."""

import asyncio
import logging
from pathlib import Path

import pytest

from service import secret_rotation
from service.bitrix.auth import Webhook
from service.rabbit.address import Address
from service.secret_rotation import BROKER, CLIENT_SECRET, WEBHOOK, Rekeying
from service.settings.secret_files import SecretFiles

OLD = "https://portal.example/rest/1/old-secret-1/"


class Bench:
    """A webhook and a broker's address, both of files, with what was told."""

    def __init__(self, folder: Path) -> None:
        self.hook, self.url = folder / "hook", folder / "url"
        self.hook.write_text(OLD)
        self.url.write_text("amqp://u:old-pass-1@one/v,amqp://u:old-pass-1@two:5672/v")
        self.webhook = Webhook(OLD)
        self.address = Address(self.url.read_text().split(","), 15.0)
        self.taken = 0
        environ = {f"{WEBHOOK}_FILE": str(self.hook), f"{BROKER}_FILE": str(self.url)}
        self.rekeying = Rekeying(
            SecretFiles((WEBHOOK, CLIENT_SECRET, BROKER), environ),
            {WEBHOOK: self.webhook.rekey, BROKER: self.address.rekey},
            on_taken=self._count,
        )

    def _count(self) -> None:
        self.taken += 1

    async def watch(self, *changes: tuple[Path, str]) -> None:
        """Let it see what is there, then each change."""
        task = asyncio.create_task(self.rekeying.run())
        for file, text in changes:
            await asyncio.sleep(0.1)
            file.write_text(text)
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Lend a bench that looks often."""
    monkeypatch.setattr(secret_rotation, "POLL_SECONDS", 0.02)
    return Bench(tmp_path)


async def test_a_new_webhook_is_used_and_a_pause_told(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """What was there at the start is no news."""
    caplog.set_level(logging.INFO)
    await bench.watch((bench.hook, "https://portal.example/rest/7/new-secret-2/\r\n"))
    assert bench.webhook.endpoint.url == "https://portal.example/rest/7/new-secret-2/"
    assert bench.taken == 1
    assert "secret read again" in caplog.text
    assert "secret-" not in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "https://other.example/rest/1/new-secret-2/",
        "http://portal.example/rest/1/new-secret-2/",
        "https://portal.example:8443/rest/1/new-secret-2/",
        "https://portal.example/new-secret-2/",
        "new-secret-2",
        "",
        "two\nlines",
    ],
)
async def test_a_webhook_of_another_host_or_none_is_refused_with_one_line(
    bench: Bench, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """The one before it stays in force; nothing of it is shown."""
    await bench.watch((bench.hook, text))
    assert (OLD, 0) == (bench.webhook.endpoint.url, bench.taken)
    assert [each.message for each in caplog.records] == [
        "secret file not used: the previous secret stays in use"
    ]
    assert "new-secret-2" not in str([each.__dict__ for each in caplog.records])


async def test_a_portal_that_moved_keeps_its_place_with_the_new_secret(bench: Bench) -> None:
    """Only the secret changed, not where the portal was found."""
    bench.webhook.endpoint.found("https://moved.example/rest/1/old-secret-1/")
    await bench.watch((bench.hook, "https://portal.example/rest/1/new-secret-2/"))
    assert bench.webhook.endpoint.url == "https://moved.example/rest/1/new-secret-2/"
    assert bench.webhook.endpoint.configured == "https://portal.example/rest/1/new-secret-2/"


async def test_a_new_password_of_the_broker_is_for_the_next_dial(bench: Bench) -> None:
    """Other nodes or another virtual host are not: the two links must not part."""
    await bench.watch((bench.url, "amqp://u:new%2Fpass@two/v,amqp://u:new%2Fpass@one:5672/v"))
    assert {bench.address.turn(each).password for each in range(2)} == {"new/pass"}
    assert bench.taken == 1
    for other in ("amqp://u:p4ssword@one/v", "amqp://u:p4ssword@one/w,amqp://u:p4ssword@two/w"):
        await bench.watch((bench.url, other))
        assert {bench.address.turn(each).password for each in range(2)} == {"new/pass"}
