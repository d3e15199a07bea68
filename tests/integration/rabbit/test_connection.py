"""Proves what becomes of a dial: a host that is none, a server that hangs up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pamqp.frame
import pytest
from aiormq import Channel
from pamqp import commands

from service.rabbit import connection as connections
from service.rabbit import side_channel
from service.rabbit.connection import Address, Connection, Late
from tests.support.patience import at_most, patient


async def test_host_that_cannot_be_one_is_a_lost_connection() -> None:
    """Tell it and try the next address; the settings refuse it, a resolver may not."""
    told: list[str | None] = []
    lost = asyncio.Event()

    def note(reason: str | None) -> None:
        told.append(reason)
        lost.set()

    async def setup(_: Channel) -> None:
        """Set nothing up."""

    address = Address([f"amqp://u:very-secret@{'a' * 64}.svc/"], 15)
    connection = Connection("test", address, confirms=False, setup=setup, on_change=note)
    running = asyncio.create_task(connection.run())
    async with at_most(10):
        await lost.wait()
    running.cancel()
    (reason,) = told
    assert reason
    assert reason == connection.trouble
    assert "very-secret" not in reason


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def connecting(serve: Serve) -> AsyncIterator[tuple[Connection, asyncio.Queue[str | None]]]:
    """Let a connection try a server again and again; yields it, and the reason of each end."""
    ended: asyncio.Queue[str | None] = asyncio.Queue()

    async def setup(_: Channel) -> None:
        """Set nothing up."""

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    address = Address([f"amqp://127.0.0.1:{port}/"], 15)
    connection = Connection(
        "test", address, confirms=False, setup=setup, on_change=ended.put_nowait
    )
    running = asyncio.create_task(connection.run())
    async with at_most(20):
        yield connection, ended
    running.cancel()
    server.close()


async def test_a_broker_that_hangs_up_late_while_we_come_in_is_a_slow_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RabbitMQ gives a client ten seconds; whoever is in at last then waits longer for answers."""
    connect_seconds = patient(0.8)
    monkeypatch.setattr(connections, "CONNECT_SECONDS", connect_seconds)
    hang_up_after = 0.75 * connect_seconds

    async def hang_up(_: asyncio.StreamReader, encoder: asyncio.StreamWriter) -> None:
        await asyncio.sleep(hang_up_after)
        encoder.close()

    async with connecting(hang_up) as (connection, ended):
        while connection.patience == 1:
            assert "of opening" in (await ended.get() or "")
        hang_up_after = 0.0
        before = connection.patience
        await ended.get()
        assert "of opening" not in (await ended.get() or "")
        assert connection.patience in {before, 2 * before}


async def test_a_line_that_ends_amid_the_greeting_is_a_lost_connection() -> None:
    """It lets the library's own reader end its iteration: that once ended the memory for good."""

    async def hang_up(_: asyncio.StreamReader, encoder: asyncio.StreamWriter) -> None:
        encoder.write(pamqp.frame.marshal(commands.Connection.Start(0, 9, {}), 0))
        encoder.close()

    async with connecting(hang_up) as (_, ended):
        reasons = [await ended.get() for _ in range(2)]
    assert all("the connection was cut at once" in str(each) for each in reasons)


async def test_a_question_without_an_answer_holds_up_no_other(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next ones get another channel, as long as there are not too many."""
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(side_channel, "MAX_UNANSWERED", 2)
    up = asyncio.Event()

    async def setup(_: Channel) -> None:
        """Set nothing up."""

    def note(reason: str | None) -> None:
        if reason is None:
            up.set()

    address = Address([amqp_url], 15)
    connection = Connection("test", address, confirms=False, setup=setup, on_change=note)
    running = asyncio.create_task(connection.run())
    async with at_most(20):
        await up.wait()
        lent: list[Channel] = []
        for answered in (False, False, True, False, True):
            with suppress(Late):
                async with connection.side_channel() as channel:
                    lent.append(channel)
                    await channel.queue_declare("", exclusive=True)
                    await asyncio.sleep(0 if answered else 60)
    running.cancel()
    first, second, *others = lent
    assert others == [others[0]] * 3
    assert 3 == len({first, second, others[0]})
