"""Asks in the background what takes a moment, and keeps the answers for a while."""

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

MAX_QUESTIONS = 12

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Question:
    """One question; `result` is None until it is answered; `problem` says why it was not."""

    follow: Follow = field(default_factory=Follow)
    result: Any = None
    problem: str = ""
    ended: float | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether its page changes by itself."""
        return self.ended is None

    async def run(self, work: Callable[[Follow], Awaitable[object]]) -> None:
        """Do the work; `problem` says what ended it early."""
        try:
            self.result = await work(self.follow)
        except ENDS as error:
            self.problem = in_words(error)
        except Exception:
            log.exception("unexpected error: a question for a page")
            self.problem = "an unexpected error, see the console's log"
        finally:
            self.ended = monotonic()


class Questions:
    """The questions of this process, by what they are about."""

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: OrderedDict[Hashable, Question] = OrderedDict()
        self._running: dict[Question, asyncio.Task[None]] = {}

    async def ask(self, about: Hashable, work: Callable[[Follow], Awaitable[object]]) -> Question:
        """Return a question answered lately, or just asked; waits a short time for its answer."""
        question = self._kept.get(about)
        if question is None or not _is_fresh(question):
            question = self._kept[about] = Question()
            self._kept.move_to_end(about)
            self._start(question, work)
            self._forget_old()
        if question in self._running:
            await asyncio.wait({self._running[question]}, timeout=PATIENCE_SECONDS)
        return question

    async def close(self) -> None:
        """End every question."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _start(self, question: Question, work: Callable[[Follow], Awaitable[object]]) -> None:
        task = self._running[question] = asyncio.create_task(question.run(work), name="question")
        task.add_done_callback(lambda _: self._running.pop(question, None))

    def _forget_old(self) -> None:
        """Keep a bounded number, and all that are under way."""
        for about, question in list(self._kept.items()):
            if len(self._kept) > MAX_QUESTIONS and not question.is_at_work:
                del self._kept[about]


def _is_fresh(question: Question) -> bool:
    if question.ended is None:
        return True
    return not question.problem and monotonic() - question.ended < FRESH_SECONDS
