"""Does what takes long as a task: a plan first, then the work; it can be stopped.

What became of it stays to be read as long as the process runs, the last hundred of them.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from service.commands.console.desk import Desk, Follow
from service.commands.console.history import History, Record, now
from service.commands.console.scans import PATIENCE_SECONDS, Scans
from service.commands.console.wording import letters, selected
from service.commands.dlq.groups import Groups
from service.commands.dlq.listing import grouped
from service.commands.dlq.patching import Patch
from service.commands.dlq.purging import Purge
from service.commands.dlq.redriving import Redrive, Tally
from service.commands.dlq.selection import Selection
from service.commands.runtime import ENDS, CommandRuntime, in_words

MAX_TASKS = 100
MAX_AT_ONCE = 5
DRAIN_SECONDS = 10.0

log = logging.getLogger(__name__)


class Action(StrEnum):
    """What is done with letters."""

    SEND_BACK = "send back"
    REMOVE = "remove"


class Stage(StrEnum):
    """Where a task is."""

    PLANNING = "planning"
    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


ENDED = frozenset({Stage.DONE, Stage.STOPPED, Stage.FAILED})


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants done. `resend`: also what may be in the CRM and cannot be looked up."""

    action: Action
    selection: Selection
    patch: Patch = field(default_factory=dict)
    resend: bool = False


@dataclass(slots=True, eq=False)
class Task:
    """One order on its way.

    `planned`: so many letters go; `gone`, `failed`: so many went, or could not; `stays`: how many
    stay, by the reason; `groups`: the letters of the plan.
    """

    number: int
    order: Order
    who: str = ""
    reason: str = ""
    stage: Stage = Stage.PLANNING
    follow: Follow = field(default_factory=Follow)
    groups: Groups = field(default_factory=Groups)
    planned: int = 0
    gone: int = 0
    failed: int = 0
    stays: dict[str, int] = field(default_factory=dict)
    problem: str = ""
    began: datetime = field(default_factory=now)
    ended: datetime | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether its page changes by itself."""
        return self.stage in {Stage.PLANNING, Stage.RUNNING}

    @property
    def missed(self) -> int:
        """How many letters of the plan were no longer there."""
        left = self.planned - self.gone - self.failed
        return max(0, left) if self.stage is Stage.DONE else 0

    @property
    def found_none(self) -> bool:
        """Whether the letters of an id were gone before it came to them."""
        return self.stage is Stage.DONE and not self.gone and not self.stays


class Tasks:
    """The tasks of this process."""

    def __init__(self, desk: Desk, scans: Scans, history: History) -> None:
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
        return await self._start(task, self._plan(task))

    async def begin(self, task: Task, who: str, reason: str) -> Task:
        """Do what was planned, once."""
        if task.stage is Stage.PLANNED and task.planned:
            task.who, task.reason, task.stage = who, reason, Stage.RUNNING
            task.follow = Follow()
            await self._start(task, self._work(task))
        return task

    async def at_once(self, order: Order, who: str, reason: str) -> Task:
        """Do something small without a plan: letters of one id."""
        task = self._new(order)
        task.who, task.reason, task.stage = who, reason, Stage.RUNNING
        return await self._start(task, self._work(task))

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

    async def _start(self, task: Task, work: Coroutine[Any, Any, None]) -> Task:
        running = asyncio.create_task(self._contained(task, work), name=f"task {task.number}")
        self._running[task] = running
        running.add_done_callback(lambda _: self._running.pop(task, None))
        await asyncio.wait({running}, timeout=PATIENCE_SECONDS)
        return task

    async def _contained(self, task: Task, work: Coroutine[Any, Any, None]) -> None:
        """Do a part of a task; whatever ends it, the task says so."""
        acts = task.stage is Stage.RUNNING
        try:
            await work
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

    async def _plan(self, task: Task) -> None:
        order = task.order
        async with self._desk.reading(task.follow) as (work, reading):
            if order.action is Action.REMOVE:
                await grouped(reading, order.selection, task.groups)
                task.planned = task.groups.count
            else:
                redrive = self._redrive(work, task, dry_run=True)
                await redrive.walk(reading)
                task.groups, task.planned = redrive.tally.groups, redrive.tally.sent
                task.stays = redrive.tally.stays()
        task.stage = Stage.STOPPED if reading.ended_early else Stage.PLANNED

    async def _work(self, task: Task) -> None:
        """Send back, or remove."""
        early = await (self._remove if task.order.action is Action.REMOVE else self._send)(task)
        task.stage = Stage.STOPPED if early else Stage.DONE

    async def _send(self, task: Task) -> bool:
        async with self._desk.reading(task.follow) as (work, reading):
            await work.session.needs_exchange(work.settings.rabbit.intake_exchange)
            redrive = self._redrive(work, task, dry_run=False)
            try:
                await redrive.walk(reading)
            finally:
                task.gone, task.failed = redrive.tally.sent, sum(redrive.tally.failed.values())
                # What the plan left out was not looked at again.
                task.stays = {**task.stays, **redrive.tally.stays()}
        if redrive.untried and not reading.ended_early:
            task.follow.note(f"ended early: {letters(redrive.untried)} not tried")
        return reading.ended_early

    async def _remove(self, task: Task) -> bool:
        purge = Purge.of(task.order.selection, task.groups)
        async with self._desk.reading(task.follow) as (_, reading):
            try:
                await purge.walk(reading)
            finally:
                task.gone = purge.removed
        return reading.ended_early and purge.removed < purge.most

    def _redrive(self, work: CommandRuntime, task: Task, *, dry_run: bool) -> Redrive:
        order = task.order
        return Redrive(
            work,
            order.selection,
            order.patch,
            task.planned or None,
            resend_ambiguous=order.resend,
            dry_run=dry_run,
            tally=Tally(),
        )

    def _record(self, task: Task) -> None:
        order = task.order
        what = order.action.value
        if order.patch:
            what += f", with {', '.join(order.patch)} set"
        self._history.add(
            Record(
                at=now(),
                who=task.who,
                what=what,
                which=selected(order.selection),
                reason=task.reason,
                outcome=outcome(task),
                task=task.number,
                ids=order.selection.ids,
            )
        )


def outcome(task: Task) -> str:
    """Return what became of a task, in a sentence without a field value."""
    verb = "removed" if task.order.action is Action.REMOVE else "sent back"
    told = f"{letters(task.gone)} {verb}"
    stay = sum(task.stays.values())
    if stay:
        told += f", {letters(stay)} stayed"
    if task.missed:
        told += f", {letters(task.missed)} no longer there"
    if task.stage is Stage.STOPPED:
        told += "; stopped, the rest stays where it is"
    if task.problem:
        told += f"; ended: {task.problem}"
    return told
