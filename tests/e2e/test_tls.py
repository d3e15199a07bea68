"""TLS: the whole service over amqps, and what it says when it must not trust the broker."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.amqp import wait_until
from tests.support.certificates import Authority, Files
from tests.support.environment import Environment, deals
from tests.support.node import RabbitNode
from tests.support.processes import ServiceProcess

OURS, FOREIGN = Authority(), Authority()


@pytest.fixture(scope="module")
def tls_node() -> Iterator[RabbitNode]:
    """Lend a node that listens for TLS and demands a certificate."""
    if os.environ.get("TEST_RABBIT_URL"):
        pytest.skip("needs a broker with certificates of ours, and TEST_RABBIT_URL names another")
    node = RabbitNode(tls=OURS)
    try:
        yield node.start()
    finally:
        node.stop()


def certified(files: Files) -> dict[str, str]:
    """Return the settings that name certificates."""
    return {f"IMPORTER_{name}": value for name, value in files.settings.items()}


def _encrypted(node: RabbitNode) -> list[bool]:
    """Tell of each connection to the virtual host whether it is encrypted."""
    lines = node.ctl("list_connections", "vhost", "ssl").splitlines()
    return [line.endswith("true") for line in lines if line.startswith("tls\t")]


async def test_events_are_imported_over_tls(tls_node: RabbitNode, tmp_path: Path) -> None:
    """Declare, consume, publish and check with certificates, through a lost connection."""
    files = Files.write(tmp_path, OURS, OURS.issue("importer@portal.example"))
    tls_node.create_vhost("tls")
    url = tls_node.tls_url("tls")
    ids = [f"deal-{number}" for number in range(60)]
    async with Environment(
        tls_node, "tls", settings=certified(files), amqp_url=url
    ) as environment:
        await environment.start_service()
        await environment.publish(deals(*ids[:30]))
        await environment.settle(ids[:30])
        await asyncio.to_thread(tls_node.close_connections, "tls")
        await environment.publish(deals(*ids[30:]))
        await environment.settle(ids)
        environment.assert_effectively_once(ids)
        await wait_until(
            lambda: _encrypted(tls_node) == [True] * 3, what="three connections, all with TLS"
        )
        settings = {
            "IMPORTER_RABBIT__URL": url,
            "IMPORTER_BITRIX__WEBHOOK_URL": environment.portal.webhook_url,
            **certified(files),
        }
        with ServiceProcess(settings, ["check"]) as check:
            assert 0 == await asyncio.to_thread(check.wait, 60)
            assert f"amqps://127.0.0.1:{tls_node.tls_port}: connected" in check.stdout()


async def test_a_broker_that_is_not_trusted_is_complained_of(
    tls_node: RabbitNode, tmp_path: Path
) -> None:
    """Say why in the log, again and again, stay unready, and go on when told to trust."""
    files = Files.write(tmp_path, FOREIGN, OURS.issue("importer@portal.example"))
    url = tls_node.tls_url()
    async with Environment(tls_node, "/", settings=certified(files), amqp_url=url) as environment:
        service = environment.prepare_service()

        def reasons() -> list[str]:
            return [str(line["reason"]) for line in service.logs(event="broker connection lost")]

        await asyncio.to_thread(service.until, lambda: len(reasons()) > 3, "complaints", 30)
        assert [] == [reason for reason in reasons() if "certificate" not in reason]
        assert 503 == service.probe("readyz")[0]
        assert "Traceback" not in service.stderr()
        assert "guest:guest" not in service.stderr()
