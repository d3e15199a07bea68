"""Describes the work of a task, and its progress."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from service.commands.console.desk import Follow
from service.commands.console.history import now
from service.commands.dlq.groups import Groups
from service.commands.dlq.patching import Patch
from service.commands.dlq.selection import Selection
from service.commands.lanes.moving import Wanted
from service.commands.terminal import many


class Action(StrEnum):
    """What is done with letters, or with what is parked."""

    SEND_BACK = "send back"
    REMOVE = "remove"
    RETURN = "return"
    """What is parked, to the intake."""
    END = "end"
    """What is parked, as failed."""


LETTERS = frozenset({Action.SEND_BACK, Action.REMOVE})
"""The others are about what is parked."""


class Stage(StrEnum):
    """Where a task is."""

    PLANNING = "planning"
    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants done.

    `selection`, `patch`, `resend` are about letters (`resend`: also what may be in the CRM and
    cannot be looked up); `lane` and `links` about what is parked (None: every type).
    """

    action: Action
    selection: Selection = field(default_factory=Selection)
    patch: Patch = field(default_factory=dict)
    resend: bool = False
    lane: int | None = None
    links: bool = False

    @property
    def which(self) -> str:
        """Which letters or events are meant, in words."""
        if self.action in LETTERS:
            return self.selection.words
        return Wanted(self.lane, self.links).words

    @property
    def unit(self) -> str:
        """What is counted."""
        return "letter" if self.action in LETTERS else "event"


@dataclass(frozen=True, slots=True)
class Planned:
    """A row of a plan: `fate` is what becomes of them, where that differs."""

    kind: str
    code: str
    count: int
    fate: str = ""


@dataclass(slots=True, eq=False)
class Task:
    """One order on its way.

    `planned`: how many letters should go; `gone`, `failed`: how many went, or could not;
    `stays`: how many stay, by reason; `plan`: its rows; `groups`: the letters that a purge
    counted; `stopped_by`: who stopped it, if a name was given.
    """

    number: int
    order: Order
    who: str = ""
    reason: str = ""
    stopped_by: str = ""
    stage: Stage = Stage.PLANNING
    follow: Follow = field(default_factory=Follow)
    plan: list[Planned] = field(default_factory=list)
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


_DONE = {
    Action.SEND_BACK: "sent back",
    Action.REMOVE: "removed",
    Action.RETURN: "sent back",
    Action.END: "ended",
}


def outcome(task: Task) -> str:
    """Return what became of a task, in a sentence without a field value."""
    unit, stay = task.order.unit, sum(task.stays.values())
    told = f"{many(task.gone, unit)} {_DONE[task.order.action]}"
    if stay:
        told += f", {many(stay, unit)} stayed"
    if task.missed:
        told += f", {many(task.missed, unit)} no longer there"
    if task.stage is Stage.STOPPED:
        by = f" by {task.stopped_by}" if task.stopped_by else ""
        told += f"; stopped{by}, the rest stays where it is"
    if task.problem:
        told += f"; ended: {task.problem}"
    return told
