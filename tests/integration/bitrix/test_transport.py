"""Tests the transport: calls and their answers leave nothing behind, over a real socket."""

import gc
from collections.abc import Iterator

import httpx
import pytest

from service.bitrix import reasons
from service.bitrix.auth import Webhook
from service.bitrix.http import HttpClient, Way, trust
from service.bitrix.transport import Transport
from tests.support.processes import PortalProcess

CALLS = 20
WAY = Way(reasons.WEBHOOK, trust())


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Let nothing be freed but what nobody refers to any more."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def _nothing() -> None:
    """Do nothing before a repeat."""


def _responses() -> int:
    return sum(isinstance(each, httpx.Response) for each in gc.get_objects())


async def test_calls_leave_nothing_to_the_collector(no_collector: None) -> None:
    """A call may carry megabytes: they go with its answer, not with a later collection."""
    with PortalProcess() as portal:
        before = _responses()
        transport = Transport(
            Webhook(portal.webhook_url),
            http=HttpClient(WAY, connections=2),
            timeout=10.0,
            on_response=lambda *_: None,
            before_repeat=_nothing,
        )
        for _ in range(CALLS):
            await transport("profile", b'{"padding":"' + b"x" * 100_000 + b'"}')
        assert _responses() - before < CALLS / 4
        await transport.close()
