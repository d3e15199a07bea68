"""Proves that addresses lead where they should, and that errors of ours keep the headers."""

from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from starlette.requests import Request
from starlette.routing import Match

from service.commands.console import task_pages
from service.commands.console.application import ROUTES, application
from service.commands.console.filters import letter_address
from service.commands.console.guard import Door, Seals
from service.commands.console.safety import HEADERS, Rules
from service.settings.environment import load


def led_to(path: str) -> dict[str, Any] | None:
    """Return what the first page that has an address takes from it."""
    scope = {"type": "http", "method": "GET", "path": path}
    for route in ROUTES:
        match, child = route.matches(scope)
        if match is Match.FULL:
            return dict(child["path_params"])
    return None


@pytest.mark.parametrize("event_id", ["ends", "ends\n", "\n", "\na", "a\nb", "a\r\n\n", "a/b\n"])
def test_an_event_id_is_taken_whole_from_its_address(event_id: str) -> None:
    """Line ends, too, at any place."""
    assert {"event_id": event_id} == led_to(unquote(letter_address(event_id)))


def test_a_number_of_an_address_can_be_read() -> None:
    """Any that is longer, or has a line end, has no page of a number."""
    assert {"number": 2_147_483_647} == led_to("/lanes/2147483647")
    assert {"number": 7} == led_to("/tasks/7")
    for wrong in ("9" * 5_000, "7\n"):
        assert led_to(f"/tasks/{wrong}") is None
        assert {"word": wrong} == led_to(f"/lanes/{wrong}")


@pytest.mark.error_logs
async def test_an_error_of_ours_has_the_headers_of_every_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the cookie of the session whose page it is."""

    def broken(_: Request) -> None:
        raise RuntimeError

    monkeypatch.setattr(task_pages, "parts_of", broken)
    app = application(load({}, portal=False), Rules(Seals(), Door(None), "127.0.0.1"))
    way = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=way, base_url="http://127.0.0.1:8081") as client:
        answer = await client.get("/history")
    assert 500 == answer.status_code
    assert "An unexpected error of ours" in answer.text
    assert HEADERS == {name: answer.headers.get(name) for name in HEADERS}
    assert "set-cookie" in answer.headers
