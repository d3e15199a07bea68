"""Runs what takes a moment in the background, and keeps what it brought for a while."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from service.commands.console.desk import Follow
from service.commands.console.scans import FRESH_SECONDS, PATIENCE_SECONDS
from service.commands.runtime import ENDS, in_words

MAX_ERRANDS = 12

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Errand:
    """One errand; `result` is None until it is back; `problem` says why there is none."""

    follow: Follow = field(default_factory=Follow)
    result: Any = None
    problem: str = ""
    ended: float | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether its page changes by itself."""
        return self.ended is None

    async def run(self, work: Callable[[Follow], Awaitable[object]]) -> None:
        """Do the work; what ends it is told in `problem`."""
        try:
            self.result = await work(self.follow)
        except ENDS as error:
            self.problem = in_words(error)
        except Exception:
            log.exception("unexpected error: a look for a page")
            self.problem = "an unexpected error, see the console's log"
        finally:
            self.ended = monotonic()


class Errands:
    """The errands of this process, by what they are about."""

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: OrderedDict[Hashable, Errand] = OrderedDict()
        self._running: dict[Errand, asyncio.Task[None]] = {}

    async def send(self, about: Hashable, work: Callable[[Follow], Awaitable[object]]) -> Errand:
        """Return an errand that is fresh, or has just begun; waits for it a short time only."""
        errand = self._kept.get(about)
        if errand is None or not _is_fresh(errand):
            errand = self._kept[about] = Errand()
            self._kept.move_to_end(about)
            self._start(errand, work)
            self._forget_old()
        if errand in self._running:
            await asyncio.wait({self._running[errand]}, timeout=PATIENCE_SECONDS)
        return errand

    async def close(self) -> None:
        """End every errand."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _start(self, errand: Errand, work: Callable[[Follow], Awaitable[object]]) -> None:
        task = self._running[errand] = asyncio.create_task(errand.run(work), name="errand")
        task.add_done_callback(lambda _: self._running.pop(errand, None))

    def _forget_old(self) -> None:
        """Keep a bounded number, and all that are under way."""
        for about, errand in list(self._kept.items()):
            if len(self._kept) > MAX_ERRANDS and not errand.is_at_work:
                del self._kept[about]


def _is_fresh(errand: Errand) -> bool:
    if errand.ended is None:
        return True
    return not errand.problem and monotonic() - errand.ended < FRESH_SECONDS
