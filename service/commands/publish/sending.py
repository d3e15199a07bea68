"""Publishes item events, many in flight, and knows up to where all of them are confirmed."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

from service.commands.publish.records import Record
from service.commands.terminal import say
from service.domain.retry import broker_delay
from service.factories import CannotStart
from service.rabbit.confirms import Confirmer, PublishResult
from service.rabbit.intake import intake_message
from service.telemetry.chance import chance

MAX_IN_FLIGHT = 500
MAX_BYTES_IN_FLIGHT = 32_000_000
PATIENCE_SECONDS = 60.0
"""How long a publish to a full queue is repeated before the command gives up."""


@dataclass(slots=True, eq=False)
class Sender:
    """Publishes in the order of the file; `last` is the last event before which none is open.

    `unknown` counts those that were sent and abandoned without the broker's word.
    """

    confirmer: Confirmer
    exchange: str
    confirmed: int = 0
    last: Record | None = None
    unknown: int = 0
    unwritable: list[Record] = field(default_factory=list)
    _flight: "deque[tuple[Record, asyncio.Task[PublishResult]]]" = field(default_factory=deque)
    _bytes: int = 0
    _sent: int = 0
    _told: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether anything was sent."""
        return self._sent > 0

    async def send(self, record: Record) -> None:
        """Publish an event; waits while too much is in flight. Raises what ends the work."""
        while self._flight and self._is_full(record):
            await self._harvest()
        task = asyncio.create_task(self._confirmed(record), name="publish")
        self._flight.append((record, task))
        self._bytes += len(record.body)
        self._sent += 1

    async def finish(self) -> None:
        """Wait for the word on everything that is in flight."""
        while self._flight:
            await self._harvest()

    def abandon(self) -> None:
        """Wait no longer for what is in flight; what has its confirm already still counts."""
        whole = True
        for record, task in self._flight:
            whole = whole and task.done() and not task.cancelled() and not task.exception()
            if whole and task.result() is PublishResult.CONFIRMED:
                self.confirmed, self.last = self.confirmed + 1, record
            else:
                self.unknown += 1
            task.cancel()
        self._flight.clear()

    def _is_full(self, record: Record) -> bool:
        return (
            len(self._flight) >= MAX_IN_FLIGHT
            or self._bytes + len(record.body) > MAX_BYTES_IN_FLIGHT
        )

    async def _harvest(self) -> None:
        """Wait for the word on the oldest event in flight."""
        record, task = self._flight[0]
        result = await task
        self._flight.popleft()
        self._bytes -= len(record.body)
        match result:
            case PublishResult.CONFIRMED:
                self.confirmed, self.last = self.confirmed + 1, record
            case PublishResult.UNWRITABLE:
                self.unwritable.append(record)
            case PublishResult.RETURNED:
                raise CannotStart(
                    f"exchange {self.exchange} has no queue for item.{record.event.entity_type_id}"
                    ": start the importer once, or bind the intake queue"
                )
            case PublishResult.NACKED:
                raise CannotStart(
                    f"the intake queue has been full for {PATIENCE_SECONDS:g} s: is the "
                    f"importer running?"
                )
            case _:
                raise self.confirmer.lost()

    async def _confirmed(self, record: Record) -> PublishResult:
        """Publish until the broker takes it or can say no more; a full queue is tried again."""
        message = intake_message(
            record.event, record.body, record.content_type, self.exchange, datetime.now(UTC)
        )
        deadline, attempt = _now() + PATIENCE_SECONDS, 0
        while (result := await self.confirmer.send(message)) is PublishResult.NACKED:
            if _now() > deadline:
                return result
            if not self._told:
                say("waiting: the intake queue is full; trying again and again")
                self._told = True
            await asyncio.sleep(broker_delay(attempt, chance()))
            attempt += 1
        return result


def _now() -> float:
    return asyncio.get_running_loop().time()
