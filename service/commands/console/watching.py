"""Looks at the importer and the broker every few seconds, also while no page is open."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from service import factories
from service.commands.console.samples import EVERY_SECONDS, Ring, sample
from service.commands.runtime import ENDS, in_words
from service.commands.status_reading import Process, processes, shown
from service.rabbit.depths import Depth, depths
from service.rabbit.session import Session, connect
from service.settings.tree import Settings

ANSWER_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last look found.

    `at`: seconds of the clock on the wall, 0 before the first look; `queues`: what each holds;
    `broker_problem`: why the broker did not say.
    """

    at: float = 0.0
    found: list[Process] = field(default_factory=list)
    queues: Mapping[str, Depth | None] = field(default_factory=dict)
    broker_problem: str = ""

    @property
    def process(self) -> Process | None:
        """The process that is shown: the active one, else any that answers."""
        return shown(self.found)


class Watch:
    """What was seen, now and over time."""

    def __init__(self, settings: Settings) -> None:
        """Look at nothing before `run`."""
        self._settings = settings
        self.ring = Ring()
        self._at = 0.0
        self._found: list[Process] = []
        self._queues: dict[str, Depth | None] = {}
        self._broker_problem = "the broker has not answered yet"
        self._first = asyncio.Event(), asyncio.Event()

    @property
    def seen(self) -> Seen:
        """What importer and broker said last."""
        return Seen(self._at, self._found, dict(self._queues), self._broker_problem)

    @property
    def names(self) -> dict[str, str]:
        """The queues that are looked at, by what they are for."""
        rabbit = self._settings.rabbit
        return {
            "intake": rabbit.intake_queue,
            "dead": rabbit.dead_letter_queue,
            "succeeded": rabbit.succeeded_queue,
            "failed": rabbit.failed_queue,
        }

    async def first(self) -> None:
        """Wait until importer and broker were asked once, for a short time."""
        try:
            async with asyncio.timeout(EVERY_SECONDS):
                for each in self._first:
                    await each.wait()
        except TimeoutError:
            pass

    async def run(self) -> None:
        """Look for ever; a bug of one look is logged, and the next one comes."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_broker(), name="depths")
            group.create_task(self._follow_importer(), name="status")

    async def _follow_importer(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                log.exception("unexpected error: looking at the importer")
            await asyncio.sleep(EVERY_SECONDS)

    async def _look(self) -> None:
        self._found = await processes(self._settings.status_url)
        self._at = now = time.time()
        best = shown(self._found)
        ready = {
            what: depth.ready if (depth := self._queues.get(name)) else None
            for what, name in self.names.items()
        }
        self.ring.add(sample(now, best.status if best else None, ready))
        self._first[0].set()

    async def _follow_broker(self) -> None:
        while True:
            try:
                address = factories.address(self._settings.rabbit)
                async with connect(address, "console") as session:
                    await self._ask(session)
            except ENDS as error:
                self._queues, self._broker_problem = {}, in_words(error)
            except Exception:
                log.exception("unexpected error: looking at the broker")
                self._queues, self._broker_problem = {}, "an unexpected error, see the log"
            self._first[1].set()
            await asyncio.sleep(EVERY_SECONDS)

    async def _ask(self, session: Session) -> None:
        while True:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._queues = await depths(session, self.names.values())
            self._broker_problem = ""
            self._first[1].set()
            await asyncio.sleep(EVERY_SECONDS)
