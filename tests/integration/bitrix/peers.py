"""Others on real sockets: portals with all kinds of certificates, and a proxy that may refuse."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from service.bitrix.auth import Webhook
from service.bitrix.http import HttpClient, Way
from service.bitrix.transport import Transport
from service.domain.outcomes import CallFailed, Fault

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"result":1}'
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_OLD = datetime.now(UTC) - timedelta(days=30)
_NEW = datetime.now(UTC) + timedelta(days=30)


class Authority:
    """Issues certificates, and can be written into a file for those who shall trust it."""

    def __init__(self) -> None:
        self.ca = trustme.CA()

    def file(self, folder: Path, name: str = "authority.pem") -> Path:
        """Write its certificate down."""
        path = folder / name
        path.write_bytes(self.ca.cert_pem.bytes())
        return path

    def server(self, *names: str, age: str = "") -> ssl.SSLContext:
        """Return what a server for the names shows; `age`: past or future, if not valid today."""
        before = {"past": _OLD, "future": _NEW}.get(age)
        issued = self.ca.issue_cert(
            *names,
            not_before=before,
            not_after=before + timedelta(days=1) if before else None,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        return context


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listen on a free port of loopback, and yield it."""
    writers: list[asyncio.StreamWriter] = []

    async def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    server = await asyncio.start_server(kept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


def answers(*replies: bytes) -> Serve:
    """Return a server that answers each call with the next of these, the last one for ever."""
    left = list(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
            await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()

    return serve


async def cuts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset the connection at the first byte."""
    await reader.read(1)
    writer.transport.abort()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read, and say nothing."""
    await reader.read()


class Proxy:
    """A proxy that opens ways, and keeps what it was asked; or gives one answer to everybody."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.asked: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        if self.answer:
            writer.write(self.answer)
            await writer.drain()
            return
        host, port = head.split()[1].split(b":")
        there, back = await asyncio.open_connection(host.decode(), int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pass_on(reader, back))
                tasks.create_task(_pass_on(there, writer))
        finally:
            back.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.transport.abort()


async def call(url: str, way: Way, *, seconds: float = 5.0) -> Fault | None:
    """Call the portal of a webhook once; return how it fails, None if it does not."""
    http = HttpClient(way, connections=1)
    transport = Transport(
        Webhook(url, allow_http=True),
        http=http,
        timeout=seconds,
        on_response=_nothing,
        before_repeat=_no_toll,
    )
    try:
        await transport("profile", b"{}")
    except CallFailed as failed:
        return failed.fault
    finally:
        await transport.close()
    return None


def _nothing(method: str, fault: Fault | None, seconds: float) -> None:
    """Count nothing."""


async def _no_toll() -> None:
    """Pay nothing."""
