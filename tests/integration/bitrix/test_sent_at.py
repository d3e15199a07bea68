"""When a call's body had wholly left: over real sockets, past a reader that is slow."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.bitrix import reasons
from service.bitrix.auth import Webhook
from service.bitrix.http import HttpClient, Way, trust
from service.bitrix.transport import Transport
from service.domain.outcomes import CallFailed, Fault

BODY = b'{"padding":"' + b"x" * 3_000_000 + b'"}'
ROOM = 32_768
"""What the portal's system takes in before the portal reads it."""
NEAR = 0.4
WAY = Way(reasons.WEBHOOK, trust())


class SlowReader:
    """A portal that reads so many bytes a second, and then says what it is told to, or nothing."""

    def __init__(self, *, rate: float, answer: bytes = b"") -> None:
        self.rate, self.answer = rate, answer
        self.read_at = 0.0
        self.url = ""
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["SlowReader"]:
        """Listen on loopback; little of what is sent fits into the system's own buffer."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/rest/1/secret-word/"
        server = await asyncio.start_server(self._serve, sock=listener, limit=ROOM)
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        left = len(BODY)
        while left:
            piece = await reader.read(ROOM)
            if not piece:
                return
            left -= len(piece)
            await asyncio.sleep(len(piece) / self.rate)
        self.read_at = asyncio.get_running_loop().time()
        writer.write(self.answer)
        await (writer.drain() if self.answer else reader.read())


async def _nothing() -> None:
    """Do nothing before a repeat."""


async def failing(url: str, *, seconds: float) -> Fault:
    """Return how a call fails."""
    http = HttpClient(WAY, connections=1)
    transport = Transport(
        Webhook(url),
        http=http,
        timeout=seconds,
        on_response=lambda *_: None,
        before_repeat=_nothing,
    )
    with pytest.raises(CallFailed) as failed:
        await transport("crm.item.batchImport", BODY)
    await transport.close()
    return failed.value.fault


async def test_a_slow_upload_counts_from_its_end() -> None:
    """The portal begins when it has the whole body: what waits in our system has not left."""
    async with SlowReader(rate=2_000_000).listening() as portal:
        fault = await failing(portal.url, seconds=4.0)
    assert fault.code == "CALL_TIMED_OUT"
    assert portal.read_at
    assert abs(fault.sent_at - portal.read_at) < NEAR


async def test_a_gateways_answer_after_a_slow_upload_counts_from_the_uploads_end() -> None:
    """The portal behind the gateway may work on, and began when it had the body."""
    answer = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"
    async with SlowReader(rate=2_000_000, answer=answer).listening() as portal:
        fault = await failing(portal.url, seconds=10.0)
    assert fault.code == "HTTP_504"
    assert abs(fault.sent_at - portal.read_at) < NEAR


async def test_a_body_that_never_left_in_full_counts_from_the_end_of_the_call() -> None:
    """Nobody knows when the rest arrives: the later moment is the safe one."""
    async with SlowReader(rate=500_000).listening() as portal:
        fault = await failing(portal.url, seconds=1.0)
        ended = asyncio.get_running_loop().time()
    assert fault.code == "CALL_TIMED_OUT"
    assert not portal.read_at
    assert abs(ended - fault.sent_at) < NEAR
    assert fault.lasted == pytest.approx(1.0, abs=NEAR)
