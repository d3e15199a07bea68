"""Runs short work beside the batches, and ends it at a stop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from service.telemetry.metrics import Metrics
from service.telemetry.supervision import contained

END_SECONDS = 1.0


class BackgroundTasks:
    """Tasks that need no slot: settling malformed messages, giving deliveries back.

    `tasks` is the group they belong to, to be set before the first one starts.
    """

    def __init__(self, on_end: Callable[[], None], metrics: Metrics) -> None:
        """Call `on_end` whenever a task has ended."""
        self._on_end = on_end
        self._metrics = metrics
        self._running: set[asyncio.Task[None]] = set()
        self.tasks: asyncio.TaskGroup | None = None

    def __len__(self) -> int:
        """Return how many tasks run."""
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task."""
        if self.tasks is None:
            raise RuntimeError("no task group yet")
        task = self.tasks.create_task(self._kept_apart(work))
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def end(self) -> None:
        """Give the tasks a moment to end, then cancel the rest."""
        if self._running:
            await asyncio.wait(self._running, timeout=END_SECONDS)
        for task in self._running:
            task.cancel()

    async def _kept_apart(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; a bug in it ends nothing else, and its deliveries go back in their time."""
        with contained(self._metrics, "background"):
            await work

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._on_end()
