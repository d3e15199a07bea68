"""Holds what the pages work with."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from service.commands.console.desk import DeadLetters
from service.commands.console.history import ActionHistory
from service.commands.console.orders import Task
from service.commands.console.questions import Questions
from service.commands.console.safety import Rules
from service.commands.console.scans import Scans
from service.commands.console.tasks import Tasks
from service.commands.console.watching import Watch
from service.settings.tree import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The parts of one console."""

    settings: Settings
    rules: Rules
    watch: Watch
    desk: DeadLetters
    scans: Scans
    tasks: Tasks
    history: ActionHistory
    questions: Questions

    @classmethod
    def of(cls, settings: Settings, rules: Rules) -> "Parts":
        """Return the parts for settings."""
        desk, history = DeadLetters(), ActionHistory()
        scans = Scans(desk)
        tasks = Tasks(desk, scans, history)
        return cls(settings, rules, Watch(settings), desk, scans, tasks, history, Questions())

    def waiting(self) -> list[Task]:
        """Return the tasks that are at work, for a line on every page."""
        return [task for task in self.tasks.newest_first if task.is_at_work]


def parts_of(request: Request) -> Parts:
    """Return the parts of the console that a request came to."""
    return cast("Parts", request.app.state.parts)
