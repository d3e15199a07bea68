"""Proves how /status is asked for, against servers that listen."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest

from service.commands import status_reading
from service.commands.status_reading import Process, processes, shown

NAME = "importer.test"


@asynccontextmanager
async def serving(answer: bytes, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Answer every request with these bytes; yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, port)
    async with server:
        yield server.sockets[0].getsockname()[1]


def told(document: Mapping[str, Any] | bytes, status: int = 200) -> bytes:
    """Return an answer over HTTP."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lend a name that stands for the addresses put into the list."""
    addresses: list[str] = []

    async def resolved(_: str, __: int) -> list[str]:
        return addresses

    monkeypatch.setattr(status_reading, "_addresses", resolved)
    return addresses


async def test_the_active_process_is_found_among_all_addresses(name: list[str]) -> None:
    """Each address is asked; the one that gets messages is shown, whatever its place."""
    name += ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    states: list[Any] = [None, True, False]
    async with AsyncExitStack() as stack:
        port = 0
        for address, active in zip(name, states, strict=True):
            document = {"state": "flowing", "active": active}
            port = await stack.enter_async_context(serving(told(document), address, port))
        # Those of this machine count as one process; these stand for three machines.
        stack.enter_context(_as_far_away())
        found = await processes(f"http://{NAME}:{port}/status")
    assert [None, True, False] == [each.active for each in found]
    best = shown(found)
    assert best is not None
    assert "127.0.0.2" == best.address


async def test_a_process_that_is_away_is_named_beside_the_others(name: list[str]) -> None:
    """One that does not answer hides none that does."""
    name += ["127.0.0.1", "127.0.0.2"]
    async with serving(told({"state": "flowing", "active": None}), "127.0.0.2") as port:
        with _as_far_away():
            found = await processes(f"http://{NAME}:{port}/status")
    assert ["nothing answers there", ""] == [each.problem for each in found]
    best = shown(found)
    assert best is not None
    assert "127.0.0.2" == best.address


async def test_an_answer_that_unpacks_to_much_costs_no_memory(name: list[str]) -> None:
    """Fifty kilobytes of it would be fifty megabytes."""
    name.append("127.0.0.1")
    bomb = gzip.compress(b" " * 50_000_000)
    packed = told(bomb).replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1)
    async with serving(packed) as port:
        tracemalloc.start()
        [found] = await processes(f"http://{NAME}:{port}/status")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert "not from an importer" in found.problem
    assert peak < 4 * status_reading.MAX_BYTES


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (told(b"not json"), "not from an importer"),
        (told(b"[]"), "not from an importer"),
        (told({"other": 1}), "not from an importer"),
        (told({}, status=404), "status 404"),
        (told(b"[" * 100_000), "not from an importer"),
        (told(b" " * 3_000_000), "not from an importer"),
        (b"what?\r\n\r\n", "broke"),
        (b"", "broke"),
    ],
)
async def test_what_is_no_status_is_told_in_words(answer: bytes, says: str) -> None:
    """Whatever answers there, the page says it in a sentence."""
    async with serving(answer) as port:
        [found] = await processes(f"http://127.0.0.1:{port}/status")
    assert found.status is None
    assert says in found.problem


async def test_nobody_there_and_no_such_name_are_told_in_words() -> None:
    """Neither raises."""
    async with serving(b"") as port:
        pass
    [away] = await processes(f"http://127.0.0.1:{port}/status")
    assert "nothing answers there" == away.problem
    [unknown] = await processes("http://no-such-host.invalid/status")
    assert "resolved" in unknown.problem


async def test_an_address_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen process makes nobody wait for long."""
    monkeypatch.setattr(status_reading, "ASK_SECONDS", 0.3)
    ended = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        [found] = await processes(f"http://127.0.0.1:{port}/status")
        ended.set()
    assert "no answer in time" == found.problem


async def test_the_two_addresses_of_this_machine_are_one_process() -> None:
    """`localhost` has an old and a new address; the same importer answers at both."""
    async with serving(told({"state": "flowing", "active": True})) as port:
        found = await processes(f"http://localhost:{port}/status")
    assert [True] == [each.active for each in found]


def test_nothing_is_shown_where_nobody_answers() -> None:
    """There is no process to show."""
    assert shown([Process("10.0.0.1", problem="nothing answers there")]) is None


@contextmanager
def _as_far_away() -> Iterator[None]:
    """Let every address of this machine count as one of another machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(status_reading, "_of_this_machine", lambda found: found)
        yield
