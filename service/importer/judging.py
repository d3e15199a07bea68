"""Holds events back until it is known what other processes noted of them."""

import asyncio
from typing import Protocol

from service.domain.delivery import Delivery
from service.domain.events import ItemEvent
from service.importer.background import BackgroundTasks
from service.importer.memory import CallNotes, NoMemory
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import AGAIN, contained

CATCH_UPS = 3
"""How often a bug in reading the memory is met before events are judged without one."""


class Admit(Protocol):
    """Takes a delivery whose event may be judged now."""

    def __call__(self, delivery: Delivery, event: ItemEvent, *, known: bool) -> None:
        """Claim the event, or join its claim; `known`: notes of other processes were read."""


class Unjudged:
    """The deliveries that wait for the memory to be read, in order of arrival.

    `admit` takes each of them then, and is told whether it was read.
    """

    def __init__(
        self,
        *,
        notes: CallNotes,
        background: BackgroundTasks,
        metrics: Metrics,
        admit: Admit,
    ) -> None:
        """Begin with none."""
        self._notes = notes
        self._background = background
        self._metrics = metrics
        self._admit = admit
        self._waiting: list[tuple[Delivery, ItemEvent]] = []
        self._at_work = False

    def must_wait(self, delivery: Delivery) -> bool:
        """Tell whether another process may have had the event: what it noted must be known."""
        if isinstance(self._notes.memory, NoMemory):
            return False
        return delivery.early or delivery.copy or delivery.redriven or delivery.perhaps_sent

    def add(self, delivery: Delivery, event: ItemEvent) -> None:
        """Let a delivery wait."""
        self._waiting.append((delivery, event))
        if not self._at_work:
            self._at_work = True
            self._background.start(self._judge())

    async def _judge(self) -> None:
        """Read the memory up to now, then admit what waits for that."""
        try:
            while self._waiting:
                known = await self._caught_up()
                waited, self._waiting = self._waiting, []
                for delivery, event in waited:
                    # Every note is known: what was never delivered and has none was in no call.
                    delivery.early = delivery.early and not known
                    with contained(self._metrics, "accept"):
                        self._admit(delivery, event, known=known)
        finally:
            self._at_work = False

    async def _caught_up(self) -> bool:
        """Read the memory up to now; False where it cannot be, or a bug keeps us from it."""
        known = False
        for tries in range(CATCH_UPS):
            with contained(self._metrics, "memory") as work:
                if tries:
                    await asyncio.sleep(AGAIN.delay(tries, 1.0))
                known = await self._notes.memory.catch_up()
            if not work.struck:
                return known
        return False
