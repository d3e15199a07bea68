"""Stands between a client and the broker: forwards frames, and cuts at a chosen one."""

import asyncio
import random
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from tests.support.wiretap import Wiretap

GREETING_BYTES = 8
HEADER = struct.Struct(">BHI")
METHOD = struct.Struct(">HH")
METHOD_FRAME = 1
BODY_FRAME = 3
ARRIVAL_SECONDS = 0.02
ORDER_SECONDS = 0.001
END_SECONDS = 5.0


class Moment(Enum):
    """A frame of the protocol: who sends it, its class and its method."""

    DELIVER = ("broker", 60, 60)
    CONFIRM = ("broker", 60, 80)
    PUBLISH = ("client", 60, 40)
    ACK = ("client", 60, 80)


@dataclass(slots=True)
class Trap:
    """Cuts the connection at the n-th frame of a kind, instead of passing it on.

    `passing`: the frame, and the body that follows it, arrive first.
    """

    moment: Moment
    left: int
    passing: bool = False


class Proxy:
    """A TCP proxy for AMQP on loopback.

    `cut` aborts what is connected; `set_trap` does so when a frame comes by; `hold` stops
    forwarding without closing anything, as a dead network does; `slow` lets every answer of the
    broker come late. A wiretap is told of every frame that passes.
    """

    def __init__(
        self, amqp_url: str, tap: Wiretap | None = None, *, others: Sequence[str] = ()
    ) -> None:
        """Lead to a broker, or to the nodes of a cluster in turn, as a balancer does."""
        self._parts = urlsplit(amqp_url)
        self._targets = [urlsplit(url) for url in (amqp_url, *others)]
        self._tap = tap
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._trap: Trap | None = None
        self._delay = (0.0, 0.0)
        self.cuts = 0

    @property
    def url(self) -> str:
        """Return the broker's address by way of this proxy."""
        if self._server is None:
            raise RuntimeError("use `async with Proxy(...)`")
        port = self._server.sockets[0].getsockname()[1]
        credentials = self._parts.netloc.rpartition("@")[0]
        return urlunsplit(self._parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        self.release()
        self.cut()
        if self._serving:
            await asyncio.wait(self._serving, timeout=END_SECONDS)

    def set_trap(self, moment: Moment, after: int = 1, *, passing: bool = False) -> None:
        """Cut at the n-th frame of a kind from now on; `passing`: just after it has arrived."""
        self._trap = Trap(moment, after, passing)

    @property
    def sprung(self) -> bool:
        """Tell whether the trap has closed."""
        return self._trap is None

    def cut(self) -> None:
        """Abort every connection."""
        self.cuts += 1
        for writer in self._writers:
            writer.transport.abort()

    def slow(self, least: float, most: float) -> None:
        """Let each frame of the broker come so many seconds late, in order."""
        self._delay = (least, most)

    def hold(self) -> None:
        """Stop forwarding; nobody is told."""
        self._flows.clear()

    def release(self) -> None:
        """Forward again."""
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        found = await self._dial()
        if found is None:
            writer.transport.abort()
            return
        there, back = found
        self._writers |= {writer, back}
        line = self._tap.connected() if self._tap else 0
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                back.write(await reader.readexactly(GREETING_BYTES))
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._pass_on(reader, back, "client", line))
                    tasks.create_task(self._pass_on(there, writer, "broker", line))
        finally:
            if self._tap:
                self._tap.hung_up(line)
            self._writers -= {writer, back}
            writer.transport.abort()
            back.transport.abort()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connect to the next node that listens."""
        for _ in self._targets:
            self._targets.append(self._targets.pop(0))
            with suppress(OSError):
                target = self._targets[-1]
                return await asyncio.open_connection(target.hostname, target.port or 5672)
        return None

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        sender: str,
        line: int,
    ) -> None:
        """Forward frame by frame until the connection ends."""
        sprung: Trap | None = None
        loop = asyncio.get_running_loop()
        due = 0.0
        try:
            while True:
                header = await reader.readexactly(HEADER.size)
                kind, _, size = HEADER.unpack(header)
                rest = await reader.readexactly(size + 1)
                await self._flows.wait()
                sprung = sprung or self._sprung_by(sender, kind, rest)
                if sprung is not None and not sprung.passing:
                    self.cut()
                    return
                if self._tap:
                    self._tap.frame(line, sender, header, rest)
                if sender == "broker" and self._delay[1]:
                    due = max(due + ORDER_SECONDS, loop.time() + random.uniform(*self._delay))
                    loop.call_at(due, writer.write, header + rest)
                    continue
                writer.write(header + rest)
                await writer.drain()
                if sprung is not None and kind == BODY_FRAME:
                    await asyncio.sleep(ARRIVAL_SECONDS)
                    self.cut()
                    return
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()

    def _sprung_by(self, sender: str, kind: int, payload: bytes) -> Trap | None:
        """Return the trap that this frame springs; it is gone then."""
        trap = self._trap
        if trap is None or kind != METHOD_FRAME or trap.moment.value[0] != sender:
            return None
        if METHOD.unpack_from(payload) != trap.moment.value[1:]:
            return None
        trap.left -= 1
        if trap.left > 0:
            return None
        self._trap = None
        return trap
