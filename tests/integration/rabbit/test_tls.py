"""TLS: certificates are demanded and checked, both ways, against a real listener."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiormq import Channel

from service.factories import CannotStart, address, topology
from service.rabbit.connection import Connection
from service.rabbit.inspection import BrokerInspection, visit
from service.rabbit.session import CannotConnect, NotLetIn, connect
from service.settings.tree import Rabbit
from service.telemetry.metrics import Metrics
from tests.fakes import value
from tests.support.amqp import wait_until
from tests.support.certificates import Authority, Files
from tests.support.node import RabbitNode

OURS, FOREIGN = Authority(), Authority()
CUT = "the connection was cut at once"
"""What arrives of a refusal when the broker's words are overtaken by its hanging up."""


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


def settings(node: RabbitNode, files: Files, url: str | None = None) -> Rabbit:
    """Return settings with certificates."""
    return Rabbit.model_validate(
        {
            "url": url or node.tls_url(),
            "ca_file": files.ca,
            "cert_file": files.certificate,
            "key_file": files.key,
        }
    )


async def look(rabbit: Rabbit) -> BrokerInspection:
    """Look at the broker with the certificates of some settings."""
    return await visit(address(rabbit), topology(rabbit))


async def refusal(rabbit: Rabbit) -> tuple[str, str]:
    """Return why we were not let in, and the remedy."""
    with pytest.raises(NotLetIn) as caught:
        await look(rabbit)
    return str(caught.value), caught.value.remedy


@pytest.fixture
def good(tmp_path: Path) -> Files:
    """Lend certificates that fit."""
    return Files.write(tmp_path, OURS, OURS.issue("importer@portal.example"))


async def test_both_sides_show_their_certificates(tls_node: RabbitNode, good: Files) -> None:
    """Get in, for a command and for a look around."""
    rabbit = settings(tls_node, good)
    found = await look(rabbit)
    assert found.version
    async with connect(address(rabbit), "test") as session:
        await session.channel()


async def test_a_broker_of_another_authority_is_refused(
    tls_node: RabbitNode, tmp_path: Path
) -> None:
    """Send no password to whom we do not trust."""
    files = Files.write(tmp_path, FOREIGN, OURS.issue("importer@portal.example"))
    reason, remedy = await refusal(settings(tls_node, files))
    assert "authority that is not trusted" in reason
    assert "IMPORTER_RABBIT__CA_FILE" in remedy
    with pytest.raises(CannotConnect, match=r"TLS|certificate"):
        async with connect(address(settings(tls_node, files)), "test"):
            pass


async def test_a_broker_of_another_name_is_refused(tls_node: RabbitNode, good: Files) -> None:
    """Compare the name in the certificate, 127.0.0.1, with the one in the address."""
    url = tls_node.tls_url().replace("127.0.0.1", "localhost")
    reason, remedy = await refusal(settings(tls_node, good, url))
    assert "not valid for 'localhost'" in reason
    assert "another name" in reason
    assert "IMPORTER_RABBIT__URL" in remedy


async def test_without_a_client_certificate_we_are_refused(
    tls_node: RabbitNode, good: Files
) -> None:
    """Name the settings that are missing."""
    rabbit = Rabbit.model_validate({"url": tls_node.tls_url(), "ca_file": good.ca})
    reason, remedy = await refusal(rabbit)
    assert reason in {"the broker requires a client certificate", CUT}
    assert "IMPORTER_RABBIT__CERT_FILE" in remedy


async def test_a_foreign_client_certificate_is_refused(
    tls_node: RabbitNode, tmp_path: Path
) -> None:
    """Name the certificate that the broker does not like."""
    files = Files.write(tmp_path, OURS, FOREIGN.issue("importer@portal.example"))
    reason, remedy = await refusal(settings(tls_node, files))
    assert reason in {"the broker does not trust our certificate", CUT}
    assert "IMPORTER_RABBIT__CERT_FILE" in remedy


async def test_tls_where_none_is_spoken_is_told(tls_node: RabbitNode, good: Files) -> None:
    """Tell the wrong port from a wrong certificate, both ways round."""
    plain = tls_node.url().replace("amqp://", "amqps://")
    assert "the port does not use TLS" == (await refusal(settings(tls_node, good, plain)))[0]
    unsafe = tls_node.tls_url().replace("amqps://", "amqp://")
    assert (
        "the connection was cut at once"
        == (await refusal(Rabbit.model_validate({"url": unsafe})))[0]
    )


@pytest.mark.parametrize("content", ["", "nonsense"])
def test_unusable_certificates_stop_the_start(
    tls_node: RabbitNode, good: Files, content: str
) -> None:
    """Say so before anything is connected."""
    good.key.write_text(content)
    with pytest.raises(CannotStart, match="certificates cannot be used"):
        address(settings(tls_node, good))


async def test_the_service_says_why_again_and_again(tls_node: RabbitNode, tmp_path: Path) -> None:
    """Keep trying, with the reason in every report."""
    files = Files.write(tmp_path, FOREIGN, OURS.issue("importer@portal.example"))
    reasons: list[str | None] = []

    async def nothing(_: Channel) -> None:
        """Set nothing up."""

    connection = Connection(
        "consume",
        address(settings(tls_node, files)),
        confirms=False,
        setup=nothing,
        on_change=reasons.append,
    )
    running = asyncio.ensure_future(connection.run())
    await wait_until(lambda: len(reasons) > 1, 10, what="a second try")
    running.cancel()
    assert all("certificate" in (reason or "") for reason in reasons)


async def test_certificates_that_are_exchanged_are_read_at_the_next_dial(
    tls_node: RabbitNode, tmp_path: Path
) -> None:
    """As a manager of certificates does it: no restart, and the metric follows."""
    files = Files.write(tmp_path, FOREIGN, FOREIGN.issue("importer@portal.example"))
    metrics = Metrics()
    told: list[str | None] = []

    async def nothing(_: Channel) -> None:
        """Set nothing up."""

    there = address(settings(tls_node, files), metrics)
    before = value(metrics.certificate_expiry.labels("client"))
    connection = Connection("consume", there, confirms=False, setup=nothing, on_change=told.append)
    running = asyncio.ensure_future(connection.run())
    await wait_until(lambda: len(told) > 1, 10, what="a second try")
    assert not connection.is_up
    files.certificate.write_text("half a file")
    await wait_until(
        lambda: any("certificates cannot be used" in (each or "") for each in told), 15, what="it"
    )
    Files.write(tmp_path, OURS, OURS.issue("importer@portal.example"))
    await wait_until(lambda: connection.is_up, 30, what="the connection")
    running.cancel()
    assert before > 0
    assert value(metrics.certificate_expiry.labels("authority")) > 0
