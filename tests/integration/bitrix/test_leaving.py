"""The last question before a call is asked as it leaves: over real sockets."""

import pytest

from service.bitrix import reasons
from service.bitrix.http import HttpClient, Way, trust
from service.domain.leave import NotOurs, asked_before_sending
from tests.support.processes import PortalProcess

WAY = Way(reasons.WEBHOOK, trust())


async def test_a_call_that_is_not_ours_any_more_sends_no_byte() -> None:
    """Neither over a new connection nor over one that is open; the next call goes through."""
    with PortalProcess() as portal:
        async with HttpClient(WAY, connections=1) as client:
            url = f"{portal.webhook_url}profile"
            for _ in range(2):
                with pytest.raises(NotOurs), asked_before_sending(lambda: False):
                    await client.post(url, b"{}", seconds=5)
                with asked_before_sending(lambda: True):
                    reply = await client.post(url, b"{}", seconds=5)
                assert 200 == reply.status
        assert 2 == len(portal.ledger()["calls"])


async def test_a_long_body_stops_leaving_once_its_call_is_not_ours() -> None:
    """The portal gets a part of it, runs nothing, and the next call goes through."""
    asked = 0

    def at_first() -> bool:
        nonlocal asked
        asked += 1
        return asked < 10

    body = b'{"padding":"' + b"x" * 2_000_000 + b'"}'
    with PortalProcess() as portal:
        async with HttpClient(WAY, connections=1) as client:
            url = f"{portal.webhook_url}profile"
            with pytest.raises(NotOurs), asked_before_sending(at_first):
                await client.post(url, body, seconds=5)
            with asked_before_sending(lambda: True):
                reply = await client.post(url, body, seconds=5)
            assert 200 == reply.status
        calls = portal.ledger()["calls"]
    assert (10, ["profile"]) == (asked, [each["method"] for each in calls if each["status"]])
