"""Proves that a form that never ends keeps nothing, and nobody."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.commands.console import safety
from service.commands.console.guard import Door, Seals
from service.commands.console.safety import Rules, Safety

HOST = b"127.0.0.1:8081"


async def asked(receive: Receive) -> tuple[int, bytes]:
    """Send a form in parts; return the answer's code and text."""
    seals, answer = Seals(), list[Any]()
    cookie = f"console_8081={seals.write(seals.new(time.time()))}".encode()
    kind = b"application/x-www-form-urlencoded"
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/tasks",
        "query_string": b"",
        "headers": [(b"host", HOST), (b"cookie", cookie), (b"content-type", kind)],
    }

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        answer.append(message)

    async def page(_: Scope, __: Receive, ___: Send) -> None:
        raise AssertionError("a form that is not whole came to a page")

    await Safety(page, Rules(seals, Door(None), "127.0.0.1"))(scope, receive, send)
    start, body = answer
    return start["status"], body["body"]


async def test_a_form_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says that nothing was done."""
    monkeypatch.setattr(safety, "FORM_SECONDS", 0.01)

    async def receive() -> Message:
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never

    code, text = await asked(receive)
    assert 408 == code
    assert b"nothing was done" in text


async def test_a_form_whose_sender_has_gone_is_given_up() -> None:
    """No page sees a part of one."""
    parts: Iterator[Message] = iter(
        [
            {"type": "http.request", "body": b"action=remove&", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Message:
        await asyncio.sleep(0)
        return next(parts)

    assert 408 == (await asked(receive))[0]
