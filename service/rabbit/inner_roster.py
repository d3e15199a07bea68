"""Knows which inner queues are there, makes them, and leaves those alone that cause trouble."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.domain.inner_queue import Asking, InnerQueue, is_old
from service.domain.parking import DOUBTFUL, LINKS
from service.rabbit import inner_asking
from service.rabbit.address import Address
from service.rabbit.broken import end_if_cancelled
from service.rabbit.connection import Connection, ConnectionLost
from service.rabbit.inner_asking import DeniedError, MissingError
from service.rabbit.waiting import queue_arguments
from service.telemetry import steady
from service.telemetry.labels import KNOWN_TYPES
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import contained

LOOK_SECONDS = 1.0
MAX_QUEUES = 1_000
NO_CONNECTION = ("no connection",)
LOOK_AT_BROKER = "the broker's operator: read the broker's log about this queue"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InnerNames:
    """What the names of inner queues begin with, where their dead letters go, and whose they are.

    `prefix` is empty where there are none; `portal` is the host that events wait for.
    """

    prefix: str
    dead_letter_exchange: str
    portal: str


class Roster:
    """The inner queues as far as this process knows them, by the last part of their names.

    `asking` and `note` may be set until `run`; `note` is told of each lane whose queue was made.
    """

    def __init__(
        self, names: InnerNames, *, address: Address, connection: Connection, metrics: Metrics
    ) -> None:
        """Ask over the side channel, and what is broken over connections of their own."""
        self.names = names
        self.asking = Asking()
        self.note: Callable[[int], Awaitable[object]] | None = None
        self._address = address
        self._connection = connection
        self._metrics = metrics
        self._queues: dict[str, InnerQueue] = {}
        self._one_at_a_time = asyncio.Lock()
        self._readable: set[str] = set()
        self._writable = False
        self._told: dict[str, None] = dict.fromkeys(KNOWN_TYPES)
        self._noted: dict[str, float] = {}

    @property
    def connected(self) -> bool:
        """Whether queues can be asked for."""
        return bool(self.names.prefix) and self._connection.is_up

    def name(self, queue: str) -> str:
        """Return the whole name of a queue."""
        return f"{self.names.prefix}.{queue}"

    def state(self, queue: str) -> InnerQueue | None:
        """Return what is known of a queue; None where too many are."""
        state = self._queues.get(queue)
        if state is None and len(self._queues) < MAX_QUEUES:
            state = self._queues[queue] = InnerQueue(self.asking)
        return state

    def known(self) -> Sequence[str]:
        """Return the queues that are there."""
        return [queue for queue, state in self._queues.items() if state.seen_at is not None]

    def broken(self) -> Mapping[str, str]:
        """Return the queues that are left alone by their whole names: why, and who must act."""
        return {
            self.name(queue): f"{state.broken}; {LOOK_AT_BROKER}"
            for queue, state in self._queues.items()
            if state.broken
        }

    def denied(self) -> Mapping[str, str]:
        """Return the queues that may not be made or used, each with what the broker said."""
        return {queue: state.denied for queue, state in self._queues.items() if state.denied}

    def ask(self, types: Iterable[int]) -> None:
        """Have the queues of these entity types asked for soon: they may be there."""
        for each in types:
            queue = str(each)
            if len(self._told) < MAX_QUEUES and queue not in self.known():
                self._told[queue] = None

    def made(self, entity_type_id: int, at: float) -> None:
        """Note that the memory knows a lane's queue, by a note of this time (epoch)."""
        self.ask([entity_type_id])
        queue = str(entity_type_id)
        if len(self._noted) < MAX_QUEUES:
            self._noted[queue] = min(at, self._noted.get(queue, at))
        state = self._queues.get(queue)
        if state is not None and is_old(at, steady.time()):
            state.aged(_now())

    async def run(self) -> None:
        """Find, make and try queues until cancelled, however often the connection comes back."""
        attached = None
        while True:
            end_if_cancelled()
            channel = await self._connection.channel()
            if channel is not attached and self.connected:
                attached = channel
                await self._attached()
            if attached is channel and self.connected:
                await self._look()
            end_if_cancelled()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, queue: str, *, make: bool) -> int | None:
        """Ask for a queue, and make it if wanted; return how many messages are ready, if told."""
        state = self.state(queue)
        if state is None or state.broken or not self.connected:
            return None
        async with self._one_at_a_time:
            try:
                if await self._connection.blocked():
                    return None
                ready = await self._ready(queue, make=make)
            except (DeniedError, MissingError) as denied:
                self._deny(queue, state, str(denied))
                return None
            except ConnectionLost as lost:
                if lost.args != NO_CONNECTION:
                    self.strike(queue, str(lost))
                return None
            if ready is None:
                self._gone(queue, state)
            elif state.there(_now(), old=is_old(self._noted.get(queue), steady.time())):
                log.info("inner queue found", extra={"queue": self.name(queue)})
            return ready

    def confirmed(self, queue: str) -> None:
        """Note that a queue has taken a message."""
        self._queues[queue].took()

    def refuse(self, queue: str, why: str) -> None:
        """Note that a queue did not take a message."""
        if self._queues[queue].refused(why, _now()):
            self._tell_broken(queue, why)

    def strike(self, queue: str, why: str) -> None:
        """Note that asking for a queue ended a channel or a connection."""
        if self._queues[queue].struck(why, _now()):
            self._tell_broken(queue, why)

    def returned(self, queue: str) -> None:
        """Note that a message found no queue."""
        self._gone(queue, self._queues[queue])
        log.warning("inner queue gone: it is made again", extra={"queue": self.name(queue)})

    async def _attached(self) -> None:
        """Learn again what is there: a killed broker may have lost a young queue."""
        self._readable.clear()
        self._writable = False
        self._told |= dict.fromkeys(self.known())
        for queue in (DOUBTFUL, LINKS):
            await self.look(queue, make=True)

    async def _look(self) -> None:
        """Ask for queues that were named, and again for broken and denied ones."""
        for queue in list(self._told):
            await self.look(queue, make=False)
            if not self.connected:
                return
            self._told.pop(queue, None)
        for queue, state in list(self._queues.items()):
            if state.probe_due(_now()):
                await self._probe(queue, state)
            elif state.ask_due(_now()):
                await self.look(queue, make=queue in {DOUBTFUL, LINKS})

    async def _probe(self, queue: str, state: InnerQueue) -> None:
        """Try a broken queue on a connection of its own."""
        try:
            await inner_asking.read_apart(self._address, self.name(queue))
        except MissingError:
            self._gone(queue, state)
        except (ConnectionLost, DeniedError) as why:
            state.still_broken(_now())
            log.debug("an inner queue is still broken", extra={"queue": queue, "why": str(why)})
        else:
            state.well(_now())
            log.info("an inner queue can be used again", extra={"queue": self.name(queue)})

    async def _ready(self, queue: str, *, make: bool) -> int | None:
        """Return how many messages are ready; None where there is no queue.

        Once for each connection it is seen that we may read the queue, and write to any.
        """
        side, name, made = self._connection.side_channel, self.name(queue), False
        try:
            ready = await inner_asking.ready(side, name)
        except MissingError:
            if not make:
                return None
            await inner_asking.make(side, name, queue_arguments(self.names.dead_letter_exchange))
            made, ready = True, 0
            self._made_anew(queue)
        if made or queue not in self._readable:
            await inner_asking.try_reading(side, name)
            self._readable.add(queue)
        if not self._writable:
            await inner_asking.try_writing(side)
            self._writable = True
        known = self.state(queue)
        if queue.isdecimal() and self.note is not None and (made or (known and not known.seen_at)):
            with contained(self._metrics, "note of a lane's queue"):
                await self.note(int(queue))
        return ready

    def _made_anew(self, queue: str) -> None:
        """Note that a queue was made just now: whatever was known is of one that is gone."""
        state = self.state(queue)
        if state is not None:
            self._gone(queue, state)

    def _gone(self, queue: str, state: InnerQueue) -> None:
        """Note that a queue is not there; one that is made in its place is young."""
        self._noted.pop(queue, None)
        state.gone()

    def _deny(self, queue: str, state: InnerQueue, why: str) -> None:
        if state.deny(why, _now()):
            log.warning(
                "inner queue not usable: events that should wait there hold up the intake",
                extra={
                    "queue": self.name(queue),
                    "why": why,
                    "who_acts": "the broker's operator: give the importer's user the rights "
                    "to configure and read this queue, and to write to amq.default",
                },
            )

    def _tell_broken(self, queue: str, why: str) -> None:
        log.error(
            "inner queue broken: left alone until it can be read again",
            extra={
                "queue": self.name(queue),
                "why": why,
                "until": "a test on a separate connection can read it",
                "who_acts": LOOK_AT_BROKER,
            },
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
