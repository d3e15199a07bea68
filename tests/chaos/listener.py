"""Forwards a port to the portal; can refuse connections, and hold back requests."""

import asyncio
import math
import socket
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536
ROOM = 32_768
LINGER_SECONDS = 1.0
END_SECONDS = 5.0


class Listener:
    """A TCP forwarder on one port of loopback; closed, it refuses connections."""

    def __init__(self, url: str, *, rate: float = math.inf) -> None:
        """Lead to the host and port of a URL; `rate`: bytes a second that it takes in."""
        self._rate = rate
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._port = 0
        self._flows = asyncio.Event()
        self._flows.set()
        self.held = 0

    def hold(self) -> None:
        """Keep what comes from now on, and tell nobody."""
        self._flows.clear()

    def release(self) -> None:
        """Let it go on, whether or not its sender still waits."""
        self._flows.set()

    @property
    def url(self) -> str:
        """Return the URL of the portal by way of this listener."""
        return urlunsplit(self._parts._replace(netloc=f"127.0.0.1:{self._port}"))

    async def open(self) -> None:
        """Listen, each time on the same port."""
        listener = socket.create_server(("127.0.0.1", self._port))
        if math.isfinite(self._rate):
            # What waits in the system's own buffer has left, as far as its sender can tell.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=ROOM)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and abort what is under way."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        """Open it."""
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()
        if self._serving:
            await asyncio.wait(self._serving, timeout=END_SECONDS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        try:
            there, back = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, back))
                tasks.create_task(self._pass_on(there, writer))
        finally:
            self._writers -= {writer, back}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward until either side ends, then end the other; what is held is not forgotten."""
        chunks: asyncio.Queue[bytes] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._give(chunks, writer))
            with suppress(OSError):
                while chunk := await reader.read(CHUNK):
                    self.held += not self._flows.is_set()
                    chunks.put_nowait(chunk)
                    await asyncio.sleep(len(chunk) / self._rate)
            chunks.put_nowait(b"")

    async def _give(self, chunks: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await chunks.get():
                await self._flows.wait()
                writer.write(chunk)
                await writer.drain()
        if self.held:
            # A server that sees the end together with the request would not begin with it.
            await asyncio.sleep(LINGER_SECONDS)
        writer.close()
