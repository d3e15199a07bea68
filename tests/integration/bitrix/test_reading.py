"""Answers as they come over the wire: marked, packed, endless, and with cookies."""

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable, Mapping
from functools import cache

import pytest

from service.bitrix import reasons
from service.bitrix.answers import json_object
from service.bitrix.auth_server import AuthServer
from service.bitrix.http import HttpClient, Way, trust
from service.bitrix.unpacking import MAX_BYTES
from service.domain.outcomes import CallFailed, CallKind, PauseReason
from tests.integration.bitrix.peers import GOOD, answers, call, listening

WAY = Way(reasons.WEBHOOK, trust())
RESULT = b'{"result":1}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MARK = b"\xef\xbb\xbf"
MAX_PEAK = 50_000_000
"""Bytes that an answer may become at most, as Python's own objects."""
ROOM = 3 * MAX_BYTES
"""Bytes that reading may take at most, whatever is sent."""


def reply(content: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Return an answer as it goes over the wire."""
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(content), *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + content


def raw_deflate(content: bytes) -> bytes:
    """Pack without a head, as some servers understand `deflate`."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


@cache
def noughts(size: int) -> bytes:
    """Return a packed answer that would fill the memory when unpacked."""
    packer = zlib.compressobj(9, wbits=31)
    packed = [
        packer.compress(b'{"result":"'),
        *(packer.compress(bytes(10**6)) for _ in range(size)),
    ]
    return b"".join([*packed, packer.flush()])


@pytest.mark.parametrize(
    "answer",
    [
        reply(MARK + RESULT),
        reply(MARK * 3 + b"\r\n" + RESULT),
        reply(b" \n" + MARK + RESULT + b"\n"),
        reply(gzip.compress(RESULT), b"Content-Encoding: gzip"),
        reply(gzip.compress(MARK + RESULT), b"Content-Encoding: X-GZIP"),
        reply(zlib.compress(RESULT), b"Content-Encoding: deflate"),
        reply(raw_deflate(RESULT), b"Content-Encoding: deflate"),
        reply(RESULT, b"Content-Encoding: identity"),
        CHUNKED + b'4\r\n{"re\r\n8\r\nsult":1}\r\n0\r\n\r\n',
        reply(b'{"result":"' + b"x" * (MAX_BYTES - 13) + b'"}'),
    ],
)
async def test_whatever_is_json_is_read(answer: bytes) -> None:
    """With byte order marks, packed, in pieces, up to 8 MB."""
    async with listening(answers(answer)) as port:
        assert await call(f"http://127.0.0.1:{port}/rest/1/s/", WAY) is None


LONG: Mapping[str, Callable[[], bytes]] = {
    "plain": lambda: reply(b'{"result":"' + b"x" * MAX_BYTES + b'"}'),
    "packed": lambda: reply(noughts(300), b"Content-Encoding: gzip"),
    "packed twice": lambda: reply(gzip.compress(noughts(300)), b"Content-Encoding: gzip, gzip"),
    "unknown": lambda: reply(b"\x1b\x03\x00", b"Content-Encoding: br"),
    "broken": lambda: reply(b"\x1f\x8b nothing", b"Content-Encoding: gzip"),
    "not whole": lambda: reply(gzip.compress(RESULT)[:-9], b"Content-Encoding: gzip"),
}
"""Made when they are sent: they cost seconds, and every process of the tests reads this module."""


@pytest.mark.parametrize("kind", LONG)
async def test_an_answer_too_large_or_unreadable_costs_no_memory_and_is_looked_up(
    kind: str,
) -> None:
    """Perhaps executed: nobody knows what it said. Nothing is read beyond 8 MB unpacked."""
    async with listening(answers(LONG[kind]())) as port:
        tracemalloc.start()
        fault = await call(f"http://127.0.0.1:{port}/rest/1/s/", WAY)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert fault is not None
    assert (CallKind.AMBIGUOUS, "UNREADABLE_ANSWER") == (fault.kind, fault.code)
    assert ("larger than 8 MB" if kind in {"plain", "packed"} else "compressed") in fault.cause
    assert peak < ROOM


async def test_an_endless_answer_ends_at_the_limit() -> None:
    """A stream without a length, too; then the connection is closed."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with listening(flood) as port:
        fault = await call(f"http://127.0.0.1:{port}/rest/1/s/", WAY, seconds=20.0)
    assert fault is not None
    assert fault.code == "UNREADABLE_ANSWER"


@pytest.mark.parametrize(("status", "kind"), [(b"413 Too Large", "too_large"), (b"502 Bad", "")])
async def test_the_status_of_a_page_that_is_too_large_still_counts(
    status: bytes, kind: str
) -> None:
    """What was surely refused stays refused."""
    async with listening(answers(reply(b"x" * (MAX_BYTES + 1), status=status))) as port:
        fault = await call(f"http://127.0.0.1:{port}/rest/1/s/", WAY)
    assert fault is not None
    assert (kind or "ambiguous") == fault.kind


@pytest.mark.parametrize(
    "content",
    [
        b"[" * MAX_BYTES,
        b'{"a":' * (MAX_BYTES // 5),
        b'{"result":' + b"9" * (MAX_BYTES - 20) + b"}",
        b'{"result":"' + b"\\u0000" * (MAX_BYTES // 6 - 9) + b'"}',
        b'{"result":[' + b"0," * (MAX_BYTES // 2 - 9) + b"0]}",
        b'{"result":[' + b"{}," * (MAX_BYTES // 3 - 9) + b"0]}",
        MARK * (MAX_BYTES // 3),
        b" " * MAX_BYTES,
    ],
)
def test_no_answer_holds_the_loop_for_a_second_or_fills_the_memory(content: bytes) -> None:
    """Deep, long, many: linear in what was taken in; thrice that for a busy machine."""
    tracemalloc.start()
    started = time.process_time()
    json_object(content)
    taken = time.process_time() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 3.0
    assert peak < MAX_PEAK


async def test_cookies_are_not_kept() -> None:
    """PHP locks a session to one call at a time, and kept names grow each request."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            heads.append(head)
            await reader.readexactly(2)
            name = b"Set-Cookie: PHPSESSID%d=1; Path=/" % len(heads)
            writer.write(reply(RESULT, name, b"Set-Cookie: BITRIX_SM_GUEST_ID=7"))
            await writer.drain()

    async with listening(serve) as port, HttpClient(WAY, connections=1) as http:
        for _ in range(3):
            await http.post(f"http://127.0.0.1:{port}/rest/1/s/profile", b"{}", seconds=5.0)
    assert len(heads) == 3
    assert not any(b"cookie" in head.lower() for head in heads)
    assert len({len(head) for head in heads}) == 1


async def refresh(port: int) -> str:
    """Ask an authorisation server for a pair; return the access token."""
    url = f"http://127.0.0.1:{port}/oauth/token/"
    server = AuthServer(url, Way(reasons.AUTH_SERVER, trust()), client_id="a", client_secret="b")
    return (await server.refresh("spent")).access_token


async def test_the_authorisation_servers_answers_are_read_as_carefully() -> None:
    """Marked ones are read; too large ones are its trouble, and cost no memory."""
    pair = json.dumps({"access_token": "new", "refresh_token": "next"}).encode()
    async with listening(answers(reply(MARK + pair))) as port:
        assert await refresh(port) == "new"
    for answer in (make() for make in LONG.values()):
        async with listening(answers(answer)) as port:
            tracemalloc.start()
            with pytest.raises(CallFailed) as failed:
                await refresh(port)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert PauseReason.AUTH_SERVER is failed.value.fault.pause
        assert "compressed" in failed.value.fault.cause or "8 MB" in failed.value.fault.cause
        assert peak < ROOM


async def test_one_connection_serves_call_after_call() -> None:
    """An answer that was read in full leaves the connection open."""
    connections = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answers(GOOD, reply(gzip.compress(RESULT), b"Content-Encoding: gzip"))(
            reader, writer
        )

    async with listening(counted) as port, HttpClient(WAY, connections=1) as http:
        for _ in range(4):
            await http.post(f"http://127.0.0.1:{port}/rest/1/s/profile", b"{}", seconds=5.0)
    assert connections == 1


async def test_another_client_secret_is_used_for_the_next_renewal() -> None:
    """The file that it was given as has changed."""
    sent: list[bytes] = []
    pair = json.dumps({"access_token": "new", "refresh_token": "next"}).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if b"content-length" in line)
        sent.append(await reader.readexactly(int(length.split(b":")[1])))
        writer.write(reply(pair))
        await writer.drain()

    async with listening(serve) as port:
        url = f"http://127.0.0.1:{port}/oauth/token/"
        way = Way(reasons.AUTH_SERVER, trust())
        server = AuthServer(url, way, client_id="a", client_secret="old-one")
        await server.refresh("spent")
        server.rekey("new&one")
        await server.refresh("spent")
    assert [b"client_secret=old-one" in sent[0], b"client_secret=new%26one" in sent[1]] == [
        True
    ] * 2
