"""Makes the service's tasks slow by chance: any of them may stand still wherever it waits."""

import asyncio
import random
from collections.abc import Coroutine, Generator
from typing import Any

from tests.service_tasks import wrap_tasks_of
from tests.support.awaits import stack_of, strike


class Stalls:
    """Lets some waits of the service's tasks last longer; seconds of the loop.

    A machine under load does that, and so does a garbage collector: what was looked at before a
    wait may be different after it.
    """

    def __init__(self, rng: random.Random, *, share: float, longest: float, until: float) -> None:
        """Stall so large a share of the waits, each for so long at most, until a loop time."""
        self._rng, self._share, self._longest, self._until = rng, share, longest, until

    def seconds(self, now: float) -> float:
        """Return for how long the next wait is to last longer; 0 for most."""
        if now >= self._until or self._rng.random() >= self._share:
            return 0.0
        return self._rng.uniform(0.0, self._longest)

    def at_tasks_of(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stall every task of the service that begins from now on."""
        wrap_tasks_of(loop, lambda work, _: _Stalled(work, self, loop))


class _Stalled(Coroutine[Any, Any, Any]):
    """A coroutine that may go on later than it could."""

    def __init__(
        self, work: Coroutine[Any, Any, Any], stalls: Stalls, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._work, self._stalls, self._loop = work, stalls, loop
        self._stands_still = False
        # For whoever asks where this task is.
        self.cr_code, self.cr_await = getattr(work, "cr_code", None), work
        self.__qualname__ = getattr(work, "__qualname__", "")

    def send(self, value: Any) -> Any:  # noqa: ANN401 - the protocol's
        seconds = 0.0 if self._stands_still else self._stalls.seconds(self._loop.time())
        self._stands_still = seconds > 0
        if not seconds:
            return self._work.send(value)
        strike("stall", {*stack_of(self._work)})
        ends = self._loop.create_future()
        self._loop.call_later(seconds, _end, ends)
        # What a task waits for says so: as `await` does it.
        ends._asyncio_future_blocking = True  # noqa: SLF001
        return ends

    def throw(self, *error: Any) -> Any:  # noqa: ANN401 - the protocol's
        self._stands_still = False
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError


def _end(stall: "asyncio.Future[None]") -> None:
    if not stall.done():
        stall.set_result(None)
