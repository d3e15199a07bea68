"""Runs asyncio on a made-up clock: nobody waits, and a run repeats itself exactly."""

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from service.telemetry import steady

START = 1_000.0
"""Where the clock starts; not 0, so that a forgotten time stands out."""
EPOCH = 1_700_000_000.0
"""What the wall clock shows when the loop's clock is at 0."""
MAX_STEPS = 20_000
"""Steps of the loop without a tick of the clock: more is a busy loop."""

T = TypeVar("T")


class Standstill(RuntimeError):  # noqa: N818 - reads as what it says
    """Nothing can ever happen again, or everything happens at one instant for ever."""


class _Jump(selectors.SelectSelector):
    """Jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.most_a_second = math.inf
        self._steps = 0
        self._second, self._in_second = START, 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Standstill("every task waits for something that will not happen")
        self._steps = 0 if timeout > 0 else self._steps + 1
        self._in_second += 1
        if self._steps > MAX_STEPS or self._in_second > self.most_a_second:
            raise Standstill(f"the loop runs hot at {self.now:.3f}: it hardly ever waits")
        self.now += max(0.0, timeout)
        if self.now >= self._second + 1.0:
            self._second, self._in_second = self.now, 0
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only by jumping; it has no sockets and no threads.

    What is meant for a thread is done at once.
    """

    def __init__(self) -> None:
        """Start the clock."""
        self.jump = _Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        """Return the made-up time."""
        return self.jump.now

    def run_in_executor(
        self, _: object, work: Callable[..., Any], *given: object
    ) -> "asyncio.Future[Any]":
        """Do it here and now."""
        done = self.create_future()
        try:
            done.set_result(work(*given))
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
            done.set_exception(error)
        return done


def run(
    work: Coroutine[Any, Any, T],
    *,
    step: float = 0.0,
    step_at: float = START,
    most_a_second: float = math.inf,
) -> T:
    """Run work to its end on a clock of its own; raises Standstill where it would hang.

    The wall clock goes along with it, from `EPOCH` on; at a time somebody sets it by a step.
    More steps of the loop in a second than `most_a_second` are a standstill as well.
    """
    loop = VirtualLoop()
    loop.jump.most_a_second = most_a_second
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        walls = time.time, steady.time
        steady.time = lambda: EPOCH + loop.time()
        time.time = lambda: steady.time() + (step if loop.time() > step_at else 0.0)
        try:
            return runner.run(work)
        finally:
            time.time, steady.time = walls


def now() -> float:
    """Return the running loop's time."""
    return asyncio.get_running_loop().time()
