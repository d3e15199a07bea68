"""Does what takes long as a task: a plan first, then the work; it can be stopped.

What became of it stays to be read as long as the process runs, the last hundred of them.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from service.commands.console.desk import DeadLetters, Follow
from service.commands.console.history import ActionHistory, Record, now
from service.commands.console.orders import Order, Stage, Task, outcome
from service.commands.console.scans import PATIENCE_SECONDS, Scans
from service.commands.console.works import plan, work
from service.commands.runtime import ENDS, in_words

MAX_TASKS = 100
MAX_AT_ONCE = 5
DRAIN_SECONDS = 10.0

log = logging.getLogger(__name__)


class Tasks:
    """The tasks of this process."""

    def __init__(self, desk: DeadLetters, scans: Scans, history: ActionHistory) -> None:
        """Begin with none."""
        self._desk = desk
        self._scans = scans
        self._history = history
        self._known: OrderedDict[int, Task] = OrderedDict()
        self._running: dict[Task, asyncio.Task[None]] = {}
        self._number = 0

    @property
    def newest_first(self) -> list[Task]:
        """Every task that is kept."""
        return list(reversed(self._known.values()))

    @property
    def is_full(self) -> bool:
        """Whether no more tasks may begin now."""
        return len(self._running) >= MAX_AT_ONCE

    def get(self, number: int) -> Task | None:
        """Return a task; None where it is not kept."""
        return self._known.get(number)

    async def plan(self, order: Order) -> Task:
        """Begin a task with its plan; waits for it a short time only."""
        task = self._new(order)
        return await self._start(task, plan(task, self._desk))

    async def begin(self, task: Task, who: str, reason: str) -> Task:
        """Do what was planned, once."""
        if task.stage is Stage.PLANNED and task.planned:
            task.who, task.reason, task.stage = who, reason, Stage.RUNNING
            task.follow = Follow()
            await self._start(task, work(task, self._desk))
        return task

    async def at_once(self, order: Order, who: str, reason: str) -> Task:
        """Do something small without a plan: letters of one id."""
        task = self._new(order)
        task.who, task.reason, task.stage = who, reason, Stage.RUNNING
        return await self._start(task, work(task, self._desk))

    def stop(self, task: Task, who: str) -> None:
        """Stop a task after what it does at the moment; `who`: whoever says so."""
        if task.is_at_work and not task.follow.stopped:
            task.follow.stopped, task.stopped_by = True, who

    async def close(self) -> None:
        """Stop every task after the present window; what goes on for longer is broken off."""
        for task in self._running:
            task.follow.stopped = True
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=DRAIN_SECONDS)
            for each in late:
                each.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _new(self, order: Order) -> Task:
        self._number += 1
        task = self._known[self._number] = Task(self._number, order)
        for old in [each for each in self._known.values() if each not in self._running]:
            if len(self._known) > MAX_TASKS and old is not task:
                del self._known[old.number]
        return task

    async def _start(self, task: Task, doing: Coroutine[Any, Any, None]) -> Task:
        running = asyncio.create_task(self._contained(task, doing), name=f"task {task.number}")
        self._running[task] = running
        running.add_done_callback(lambda _: self._running.pop(task, None))
        await asyncio.wait({running}, timeout=PATIENCE_SECONDS)
        return task

    async def _contained(self, task: Task, doing: Coroutine[Any, Any, None]) -> None:
        """Do a part of a task; whatever ends it, the task says so."""
        acts = task.stage is Stage.RUNNING
        try:
            await doing
        except ENDS as error:
            task.stage, task.problem = Stage.FAILED, in_words(error)
        except asyncio.CancelledError:
            task.stage, task.problem = Stage.STOPPED, "the console was stopped"
            raise
        except Exception:
            log.exception("unexpected error: a task of the console ended")
            task.stage, task.problem = Stage.FAILED, "an unexpected error, see the console's log"
        finally:
            task.ended = now()
            if acts:
                self._scans.forget()
                self._record(task)

    def _record(self, task: Task) -> None:
        order = task.order
        what = order.action.value
        if order.patch:
            what += f", with {', '.join(order.patch)} set"
        # Its values may be large, and the task is kept.
        task.order = replace(order, patch={})
        self._history.add(
            Record(
                at=now(),
                who=task.who,
                what=what,
                which=order.which,
                reason=task.reason,
                outcome=outcome(task),
                task=task.number,
                ids=order.selection.ids,
            )
        )
