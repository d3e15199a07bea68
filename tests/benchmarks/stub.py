"""Answers like a portal that needs no time at all, so that what is measured is the client.

A program: `python -m tests.benchmarks.stub PROGRESS`. It writes how far it is into the file
PROGRESS, where it can be read without asking, and serves a log of its calls below /control.
SIGUSR1 makes it hold every answer back, SIGUSR2 lets them go.
"""

import asyncio
import json
import mmap
import signal
import struct
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks.events import FIELDS

WORDS = struct.Struct("=QQQ")
"""Items imported, import calls, other calls."""
HEAD_END = b"\r\n\r\n"

SHOWN = 1_000
"""It shows the newest items when it is asked for some: they are witnesses of what is not there.
A portal that hid them would leave all in doubt that comes before the memory was read."""
RESULTS = {
    b"crm.type.list": b'{"types":[]}',
    b"crm.item.fields": json.dumps({"fields": FIELDS}).encode(),
    b"profile": b'{"ADMIN":true}',
}
"""What it answers to the other methods."""


class _Import(msgspec.Struct):
    data: dict[str, msgspec.Raw] | list[msgspec.Raw]


class _List(msgspec.Struct):
    filter: dict[str, Any]


class Stub:
    """What the portal has seen; `log` has (arrival, answer, items) of every import call."""

    def __init__(self, progress: Path) -> None:
        """Note the progress in a file."""
        progress.write_bytes(bytes(WORDS.size))
        with progress.open("r+b") as file:
            self._shown = mmap.mmap(file.fileno(), WORDS.size)
        self.items = self.imports = self.others = 0
        self.log: list[tuple[float, float, int]] = []
        self.newest: deque[tuple[int, bytes]] = deque(maxlen=SHOWN)
        self.held: list[tuple[asyncio.Transport, bytes]] | None = None

    def answer(self, path: bytes, body: bytes, arrived: float) -> bytes:
        """Return the body of the answer to one call."""
        method = path.rpartition(b"/")[2].lower().removesuffix(b".json")
        if method == b"crm.item.batchimport":
            answer = self._import(body, arrived)
        elif path.startswith(b"/control/calls"):
            return json.dumps(self.log).encode()
        else:
            self.others += 1
            listed = method == b"crm.item.list"
            result = self._listed(body) if listed else RESULTS.get(method, b"true")
            answer = b'{"result":%b,"time":%b}' % (result, _time_block())
        WORDS.pack_into(self._shown, 0, self.items, self.imports, self.others)
        return answer

    def _listed(self, body: bytes) -> bytes:
        """Return those of the newest items whose id or external id is asked for."""
        where = msgspec.json.decode(body, type=_List).filter
        ids, wanted = where.get("@id", ()), where.get("@originId", ())
        found = []
        for number, written in self.newest:
            item = {"id": number, **msgspec.json.decode(written, type=dict[str, Any])}
            if number in ids or item.get("originId") in wanted:
                found.append(item)
        return msgspec.json.encode({"items": found})

    def _import(self, body: bytes, arrived: float) -> bytes:
        data = msgspec.json.decode(body, type=_Import).data
        first = self.items + 1
        written = data.values() if isinstance(data, dict) else data
        self.newest.extend((first + place, bytes(each)) for place, each in enumerate(written))
        self.items += len(data)
        self.imports += 1
        entries = (b'{"item":{"id":%d}}' % number for number in range(first, self.items + 1))
        if isinstance(data, dict):
            named = (b'"%b":%b' % (k.encode(), e) for k, e in zip(data, entries, strict=True))
            items = b"{%b}" % b",".join(named)
        else:
            items = b"[%b]" % b",".join(entries)
        self.log.append((arrived, time.monotonic(), len(data)))
        return b'{"result":{"items":%b},"time":%b}' % (items, _time_block())

    def send(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Send an answer, or keep it while answers are held back."""
        if self.held is not None:
            self.held.append((transport, answer))
            return
        transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer)
        )

    def hold(self) -> None:
        """Answer nobody from now on."""
        self.held = self.held or []

    def release(self) -> None:
        """Send what was held back, and answer again."""
        held, self.held = self.held or [], None
        for transport, answer in held:
            self.send(transport, answer)


class Line(asyncio.Protocol):
    """Reads the requests of one connection; no more of HTTP than the clients here need."""

    def __init__(self, stub: Stub) -> None:
        """Answer by the stub."""
        self._stub = stub
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the way back."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(HEAD_END)) >= 0 and self._transport is not None:
            head = self._buffer[:end]
            stop = end + len(HEAD_END) + _length(head)
            if len(self._buffer) < stop:
                return
            body, self._buffer = self._buffer[end + len(HEAD_END) : stop], self._buffer[stop:]
            answer = self._stub.answer(head.split(b" ", 2)[1], body, time.monotonic())
            self._stub.send(self._transport, answer)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _time_block() -> bytes:
    now = time.time()
    return (
        b'{"start":%f,"finish":%f,"duration":0.001,"processing":0.001,'
        b'"operating_reset_at":%d,"operating":0}' % (now, now, now + 600)
    )


async def _serve(stub: Stub) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, stub.hold)
    loop.add_signal_handler(signal.SIGUSR2, stub.release)
    server = await loop.create_server(lambda: Line(stub), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"listening http://127.0.0.1:{port}/\n")
    sys.stdout.flush()
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve(Stub(Path(sys.argv[1]))))
