"""Link: what the client library raises becomes one of our three words, or is a cancellation."""

import asyncio
import ssl
from typing import cast

import pytest
from aio_pika.exceptions import (
    AMQPConnectionError,
    ChannelInvalidStateError,
    DeliveryError,
    PublishError,
)
from aiormq import Channel
from aiormq.base import FutureStore
from aiormq.exceptions import ChannelNotFoundEntity

from service.rabbit import broken
from service.rabbit.connection import (
    Address,
    ConnectionLost,
    Nacked,
    Returned,
    broker_errors,
    unless_lost,
)


@pytest.mark.parametrize(
    "error",
    [
        AMQPConnectionError("gone"),
        ChannelInvalidStateError("closed"),
        ChannelNotFoundEntity("404"),
        ConnectionResetError("reset"),
        OSError("no route"),
        TimeoutError("late"),
        RuntimeError("closed transport"),
        ssl.SSLError("handshake"),
    ],
)
def test_trouble_of_the_broker_is_a_lost_connection(error: Exception) -> None:
    """Say the same, whatever the library calls it."""
    with pytest.raises(ConnectionLost), broker_errors():
        raise error


def test_returned_and_nacked_publishes_are_told_apart() -> None:
    """Keep them apart from a lost link: the broker has spoken."""
    with pytest.raises(Returned), broker_errors():
        raise PublishError.__new__(PublishError)
    with pytest.raises(Nacked), broker_errors():
        raise DeliveryError.__new__(DeliveryError)


@pytest.mark.parametrize("error", [ValueError("bug"), KeyError("bug"), AssertionError("bug")])
def test_bug_is_let_through(error: Exception) -> None:
    """Hide nothing that is ours."""
    with pytest.raises(type(error)), broker_errors():
        raise error


async def test_cancellation_made_by_the_library_is_a_lost_connection() -> None:
    """Do not end a task that nobody cancelled."""
    confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    confirm.cancel()
    with pytest.raises(ConnectionLost), broker_errors():
        await confirm


async def test_wait_that_the_library_ends_without_a_reason_is_a_lost_connection() -> None:
    """A channel that closes well ends what waits on it with no more than an Exception."""
    store = FutureStore(asyncio.get_running_loop())
    confirm = store.create_future()
    await store.reject_all(None)
    with pytest.raises(ConnectionLost), broker_errors():
        await confirm


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        asyncio.CancelledError(),
        ChannelInvalidStateError("Channel closed by RPC timeout"),
    ],
)
def test_a_broker_that_went_silent_is_told_in_plain_words(error: BaseException) -> None:
    """Not in those of the client library."""
    assert "the broker did not answer in time" == str(broken.lost(error))


async def test_own_cancellation_is_let_through() -> None:
    """End when we are told to."""
    confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        with broker_errors():
            await confirm

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


def test_heartbeat_is_written_into_every_address() -> None:
    """Hand it over where the client library reads it; at least one second."""
    address = Address(["amqp://a/", "amqp://b/v?x=1"], heartbeat=0.2)
    assert ["1", "1"] == [url.query["heartbeat"] for url in address.with_heartbeat()]


class Closable:
    """A channel as `unless_lost` sees it: every look at `closing` leaves an observer behind."""

    def __init__(self) -> None:
        self.observers: list[asyncio.Future[None]] = []

    @property
    def closing(self) -> "asyncio.Future[None]":
        """Return a new observer, as the client library does."""
        self.observers.append(asyncio.get_running_loop().create_future())
        return self.observers[-1]


async def _said(word: str) -> str:
    return word


async def test_call_on_a_channel_leaves_nothing_behind() -> None:
    """A channel lives for weeks: an observer a call would fill the memory."""
    channel = Closable()
    said = [await unless_lost(cast("Channel", channel), _said("done")) for _ in range(3)]
    assert ["done"] * 3 == said
    assert [True] * 3 == [observer.cancelled() for observer in channel.observers]


async def test_call_ends_with_its_channel() -> None:
    """Wait no longer than the channel lives."""
    channel, never = Closable(), asyncio.Event()
    call = asyncio.ensure_future(unless_lost(cast("Channel", channel), never.wait()))
    await asyncio.sleep(0)
    channel.observers[0].set_result(None)
    with pytest.raises(ConnectionLost):
        await call
