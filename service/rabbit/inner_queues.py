"""Puts events that wait into inner queues, and takes them out again."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from aiormq.abc import DeliveredMessage

from service.domain.delivery import Parking
from service.rabbit.blockage import WHO, WHY
from service.rabbit.confirms import PublishResult
from service.rabbit.connection import ConnectionLost
from service.rabbit.consumer import Consumer
from service.rabbit.delivery import Delivery
from service.rabbit.encoding import Outgoing
from service.rabbit.inner_roster import Roster
from service.rabbit.publishing import CONFIRM_SECONDS, Publisher
from service.rabbit.waiting import Waiting, parked, waiting_of
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import contained, struck

MAX_DEPTHS = 60

log = logging.getLogger(__name__)


class InnerQueues:
    """The queues in which events wait: for their lane, for other items, for a proof.

    A queue is named by the last part of its name: an entity type, or one of the words of
    `parking`. No trouble with one of them ends anything but the use of that queue, and none of
    these methods raises for it.
    """

    def __init__(
        self, roster: Roster, *, publisher: Publisher, consumer: Consumer, metrics: Metrics
    ) -> None:
        """Publish as results are, and take as the intake does."""
        self.roster = roster
        self._publisher = publisher
        self.consumer = consumer
        self._metrics = metrics
        self._strangers: dict[str, int] = {}

    async def usable(self, queue: str) -> bool:
        """Tell whether events may wait in a queue; it is made if it is missing."""
        state = self.roster.state(queue) if self.roster.connected else None
        if state is None:
            return False
        if state.usable(_now()) is None:
            with contained(self._metrics, "inner queue"):
                await self.roster.look(queue, make=True)
        return state.usable(_now()) is True

    async def park(self, parkings: Sequence[Parking]) -> list[bool]:
        """Publish a copy of each into its queue; return for each whether it is confirmed."""
        may = {queue: await self.usable(queue) for queue in {each.queue for each in parkings}}
        messages: list[tuple[int, str, Outgoing]] = []
        for at, each in enumerate(parkings):
            with contained(self._metrics, "park"):
                if may[each.queue]:
                    messages.append((at, each.queue, self._copy(each)))
        confirmed, started = [False] * len(parkings), _now()
        results = await self._publisher.parked([message for _, _, message in messages])
        for (at, queue, _), result in zip(messages, results, strict=True):
            confirmed[at] = result is PublishResult.CONFIRMED
            if result is PublishResult.UNWRITABLE:
                _tell_unwritable(parkings[at], self.roster.name(queue))
            self._answered(queue, result, _now() - started)
        return confirmed

    def ack_after(self, queue: str) -> float:
        """Return the loop time before which no original of what waits there is acknowledged."""
        state = self.roster.state(queue)
        return 0.0 if state is None else state.ack_after()

    async def take(self, queue: str, most: int) -> tuple[int, int]:
        """Hand over at most this many events that wait; return how many, and how many are left.

        Only what lay there when the take began. What waits for another portal stays.
        """
        with contained(self._metrics, "take"):
            ready = await self.roster.look(queue, make=False)
            if ready:
                return await self._take(queue, min(most, ready))
        return 0, 0

    async def depths(self) -> Mapping[str, int]:
        """Return how many messages are ready in each known queue, of a bounded number."""
        found: dict[str, int] = {}
        with contained(self._metrics, "depths"):
            for queue in self.known()[:MAX_DEPTHS]:
                ready = await self.roster.look(queue, make=False)
                if ready is not None:
                    found[queue] = ready
        return found

    def known(self) -> Sequence[str]:
        """Return the queues that are there, as far as this process knows."""
        return self.roster.known()

    def broken(self) -> Mapping[str, str]:
        """Return the queues that are left alone by their whole names: why, and who must act."""
        return self.roster.broken()

    def strangers(self) -> Mapping[str, int]:
        """Return the queues in which messages wait for other portals, and how many were seen."""
        return {queue: count for queue, count in self._strangers.items() if count}

    def is_ours(self, message: DeliveredMessage) -> bool:
        """Tell whether a message waits for this portal; who put it there by hand names none."""
        waiting = waiting_of(message.header.properties)
        return waiting is None or waiting.portal in {"", self.roster.names.portal}

    def ask(self, types: Iterable[int]) -> None:
        """Have the queues of these entity types asked for soon: they may be there."""
        self.roster.ask(types)

    async def _take(self, queue: str, most: int) -> tuple[int, int]:
        try:
            taken, left, strangers = await self.consumer.take(
                self.roster.name(queue), most, queue=queue, ours=self.is_ours
            )
        except ConnectionLost as lost:
            self.roster.strike(queue, str(lost))
            return 0, 0
        if strangers and not self._strangers.get(queue):
            log.warning(
                "events wait for another portal: they stay",
                extra={
                    "queue": self.roster.name(queue),
                    "who_acts": "the person who changed the portal's address: see operate.md",
                },
            )
        self._strangers[queue] = strangers
        return taken, left

    def _answered(self, queue: str, result: PublishResult | Exception, seconds: float) -> None:
        """Note what the broker made of a publish."""
        match result:
            case PublishResult.CONFIRMED:
                self.roster.confirmed(queue)
            case PublishResult.RETURNED:
                self.roster.returned(queue)
            case PublishResult.NACKED:
                self.roster.refuse(
                    queue, "the queue refuses messages: it is full, or has no leader"
                )
            case PublishResult.LOST if seconds >= CONFIRM_SECONDS:
                self.roster.refuse(queue, "it confirms no message: too few members, or no leader")
            case Exception():
                struck(self._metrics, "park", result)
            case _:
                pass

    def _copy(self, parking: Parking) -> Outgoing:
        delivery, sent = cast("Delivery", parking.delivery), parking.perhaps_sent
        waiting = Waiting(
            reason=parking.reason,
            portal=self.roster.names.portal,
            event_id=delivery.event.event_id,
            parked_at=datetime.now(UTC),
            received_at=delivery.first_received(),
            waited=parking.waited,
            exchange=delivery.exchange,
            routing_key=delivery.routing_key,
            message_id=delivery.message_id,
            redrive_count=delivery.event.origin.redrive_count,
            attempts=parking.attempts,
            perhaps_sent=None if sent is None else datetime.fromtimestamp(sent, tz=UTC),
        )
        return parked(delivery.message, waiting, self.roster.name(parking.queue))


def _tell_unwritable(parking: Parking, queue: str) -> None:
    """Say why an event is held here that should wait elsewhere; each try says so again."""
    event = cast("Delivery", parking.delivery).event
    log.error(
        "an event cannot wait in its inner queue: it is held here",
        extra={
            "event_id": event.event_id,
            "queue": queue,
            "why": WHY[PublishResult.UNWRITABLE],
            "until": "the queue takes its copy; the importer tries again until then",
            "who_acts": WHO[PublishResult.UNWRITABLE],
        },
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
