"""An item that alone is too large for the portal's server: refused with its size and a remedy."""

import asyncio

import pytest

from tests.support.broker import Broker
from tests.support.commands import Commands
from tests.support.environment import Environment, deals

LARGE = 700_000


@pytest.mark.parametrize(("way", "code"), [("413", "HTTP_413"), ("dropped", "100")])
async def test_an_item_too_large_for_the_portal_is_told_so(
    broker: Broker, vhost: str, way: str, code: str
) -> None:
    """Whether the server refuses the body or PHP gets none; its neighbours are imported."""
    async with Environment(broker, vhost) as environment:
        environment.portal.settings({"most_body_bytes": LARGE // 2, "too_large": way})
        await environment.start_service()
        large = {"entityTypeId": 2, "id": "large", "fields": {"title": "x" * LARGE}}
        await environment.publish([*deals("one", "two"), large, *deals("three")])
        commands = Commands(broker.url(vhost))
        shown = await commands.run("dlq", "show", "large")
        for _ in range(60):
            if shown.code == 0:
                break
            await asyncio.sleep(0.5)
            shown = await commands.run("dlq", "show", "large")
        assert "too large for the portal's server" in shown.out
        assert "send less (long texts, files)" in shown.out
        assert "correct the value" not in shown.out
        books = await environment.settle(["one", "two", "large", "three"])
        error = next(e["data"]["error"] for e in books.failed)
        assert ("rejected", code) == (error["kind"], error["code"])
        assert "too large for the portal's server: it has 700" in error["message"]
        assert "post_max_size" in error["message"]
