"""Limits a bug to the work in which it happens: logged once, counted; the rest continues."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from service.domain.retry import BackOff
from service.telemetry.metrics import Metrics

AGAIN = BackOff(base=1.0, cap=60.0)
STEADY_SECONDS = 120.0
"""A task that ran for so long starts again without a long wait."""
LIBRARIES = ("aiormq", "aio_pika", "pamqp", "httpx", "httpcore")

log = logging.getLogger(__name__)


def struck(metrics: Metrics, work: str, error: Exception) -> None:
    """Log an unexpected exception with its traceback, and count it."""
    metrics.unexpected.inc()
    log.error("unexpected error", extra={"work": work}, exc_info=error)


class contained:  # noqa: N801 - reads as the statement it is used in
    """Let an unexpected exception end only this block.

    `struck` tells afterwards whether that was so.
    """

    __slots__ = ("_metrics", "_work", "struck")

    def __init__(self, metrics: Metrics, work: str) -> None:
        """Name the work for the log."""
        self._metrics, self._work, self.struck = metrics, work, False

    def __enter__(self) -> Self:
        """Watch what follows."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Log a bug and continue; other exceptions, such as a cancellation, pass."""
        if not isinstance(error, Exception):
            return False
        self.struck = True
        struck(self._metrics, self._work, error)
        return True


async def no_stray(work: Awaitable[None]) -> None:
    """Await work; raise RuntimeError where it is cancelled, and nobody cancels our own task.

    The client library ends waits so. A group of tasks would not notice that one has ended.
    """
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("cancelled by nobody") from None


async def endless(
    work: Callable[[], Coroutine[Any, Any, None]], name: str, metrics: Metrics
) -> None:
    """Do endless work until cancelled; what a bug ends starts again after a growing wait."""
    loop, tries, ours = asyncio.get_running_loop(), 0, asyncio.current_task()
    while True:
        began = loop.time()
        # In a task of its own: Python 3.11 leaves a task marked as cancelled in which a bug has
        # ended a group of tasks. And such a group raises the bug, also if it is cancelled then.
        task = loop.create_task(work(), name=name)
        with contained(metrics, name) as done:
            await no_stray(task)
        if not done.struck or (ours is not None and ours.cancelling()):
            return
        tries = 0 if loop.time() - began > STEADY_SECONDS else tries + 1
        await asyncio.sleep(AGAIN.delay(tries, 1.0))


def catch_strays(loop: asyncio.AbstractEventLoop, metrics: Metrics) -> None:
    """Log what no task catches: exceptions of callbacks, and of tasks without an awaiter."""

    def stray(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception) and not _is_of_a_broken_line(error):
            struck(metrics, "callback", error)

    loop.set_exception_handler(stray)


def _is_of_a_broken_line(error: Exception) -> bool:
    """Tell whether this is a lost connection whose error a client library did not handle."""
    return isinstance(error, OSError) or type(error).__module__.startswith(LIBRARIES)
