"""Turns errors of the client library into our own: lost, late, returned, refused."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from aio_pika.exceptions import AMQPError, DeliveryError, PublishError
from aiormq import Channel

LAST_WORDS_SECONDS = 0.2
"""How long answers of a closed channel may still arrive."""

SILENT = "the broker did not answer in time"

T = TypeVar("T")


class ConnectionLost(Exception):  # noqa: N818 - reads as what it says
    """The broker, the connection or the channel went away; nothing is known of what was sent."""


class Late(ConnectionLost):
    """The broker did not answer in time."""


class Returned(Exception):  # noqa: N818 - reads as what it says
    """The broker had no queue for a publish."""


class Nacked(Exception):  # noqa: N818 - reads as what it says
    """The broker refused a publish: a queue is full."""


class broker_errors:  # noqa: N801 - reads as the statement it is used in
    """Turn errors of the client library into `ConnectionLost`, `Returned` or `Nacked`.

    The library ends waits with CancelledError although nobody cancelled the task; only a
    cancellation of our own task is let through.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Watch what follows."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Translate what was raised."""
        match error:
            case None:
                return
            case asyncio.CancelledError():
                if not _cancelled():
                    raise ConnectionLost("the connection was closed") from None
            case PublishError():
                raise Returned from None
            case DeliveryError():
                raise Nacked from None
            case AMQPError() | OSError() | TimeoutError() | RuntimeError():
                raise lost(error) from None
            # What the library ends a wait with when its channel closes without a reason.
            case Exception() if type(error) is Exception:
                raise ConnectionLost("the channel was closed") from None
            case _:
                return


def _cancelled() -> bool:
    """Tell whether our own task is to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def end_if_cancelled() -> None:
    """Raise CancelledError if our own task is to end: for loops that ask the client library.

    It waits with `asyncio.wait_for`, which loses a cancellation when the answer comes in the same
    moment, and it may end a cancelled wait with an error of its own.
    """
    if _cancelled():
        raise asyncio.CancelledError


async def unless_lost(channel: Channel, call: Coroutine[Any, Any, T]) -> T:
    """Await a call of the client library; raise ConnectionLost when its channel ends first.

    A call that waits for room in the library's write queue would wait for ever once the
    connection is gone: nobody empties that queue any more.
    """
    work = asyncio.ensure_future(call)
    # Each `closing` is an observer that stays with the channel until it is cancelled.
    closing = channel.closing
    try:
        await asyncio.wait({work, closing}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await asyncio.wait({work}, timeout=LAST_WORDS_SECONDS)
        if work.done():
            return work.result()
    finally:
        work.cancel()
        closing.cancel()
    raise ConnectionLost("the channel was closed")


def lost(error: BaseException) -> ConnectionLost:
    """Return what the end of a connection or channel means."""
    if isinstance(error, TimeoutError):
        return Late(SILENT)
    # The library's words for it, where it closed the channel or the connection by itself.
    if isinstance(error, asyncio.CancelledError) or "RPC timeout" in str(error):
        return ConnectionLost(SILENT)
    return ConnectionLost(f"{type(error).__name__}: {error}")
