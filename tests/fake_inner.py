"""Stands in for the inner queues of the made-up broker: events wait there, and come back."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from service.domain.delivery import Parking
from service.domain.parking import Stay
from service.telemetry import steady
from tests.fakes import BrokerDelivery, FakeBroker, FakeConnection, Message
from tests.virtual_time import now


class FakeInnerQueues:
    """What one process sees of the inner queues, over its connection."""

    def __init__(self, connection: FakeConnection) -> None:
        """Publish and take over a connection."""
        self._connection = connection
        self._broker: FakeBroker = connection.broker

    async def usable(self, _: str) -> bool:
        """Tell whether there is a connection."""
        return self._connection.fit()

    def ack_after(self, queue: str) -> float:
        """Return until when the queue is young."""
        return self._broker.made.get(queue, now()) + self._broker.young

    def known(self) -> Sequence[str]:
        """Return every queue that something was ever put into."""
        return list(self._broker.inner)

    def ask(self, _: Iterable[int]) -> None:
        """Do nothing: all are known."""

    async def depths(self) -> Mapping[str, int]:
        """Count what is ready."""
        return {queue: len(waiting) for queue, waiting in self._broker.inner.items()}

    async def park(self, parkings: Sequence[Parking]) -> list[bool]:
        """Put copies into their queues, or fail to, as all publishes do."""
        return [await self._one(each) for each in parkings]

    async def take(self, queue: str, most: int) -> tuple[int, int]:
        """Deliver what waits, the oldest first."""
        await asyncio.sleep(0.01)
        waiting = self._broker.inner.get(queue, deque())
        came = 0
        while waiting and came < most and self._connection.fit():
            message = waiting.popleft()
            message.stay = self._told(message)
            self._connection.hand_over(message)
            came += 1
        return came, len(waiting)

    async def _one(self, parking: Parking) -> bool:
        session = self._connection.session
        rng, faults = self._broker.rng, self._broker.faults
        await asyncio.sleep(rng.uniform(0.0, 0.05))
        unconfirmed = now() < faults.until and rng.random() < faults.unconfirmed
        if not session.live or unconfirmed:
            if rng.random() < faults.stored_unconfirmed and self._broker.parks_unsure:
                self._broker.unsure += 1
                self._put(parking)
            return False
        self._put(parking)
        await asyncio.sleep(rng.uniform(0.0, 0.05))
        self._broker.unsure += not session.live
        return session.live

    def _told(self, message: Message) -> Stay | None:
        """Return what a message says of its waiting, by a wall clock that made-up time moves."""
        stay, wall = message.stay, steady.time()
        if stay is None:
            return stay
        parked_at, provable = self._broker.provable[message.number]
        sent = None if stay.perhaps_sent is None else wall + provable - now()
        return replace(
            stay,
            perhaps_sent=sent,
            parked_at=wall - (now() - parked_at),
            seen=message.flagged,
        )

    def _put(self, parking: Parking) -> None:
        delivery = cast("BrokerDelivery", parking.delivery)
        original, came = delivery.message, delivery.stay
        stay = Stay(
            parking.queue,
            parking.reason,
            parking.waited,
            steady.time(),
            parking.perhaps_sent,
            parking.attempts,
            steady.time() - (now() - delivery.received_at) if came is None else came.received_at,
            mark=float(len(self._broker.messages)),
        )
        number = len(self._broker.messages)
        copy = replace(Message(number, original.event), stay=stay, queue=parking.queue)
        copy.published_at = original.published_at
        left = (parking.perhaps_sent or 0.0) - time.time()
        self._broker.provable[number] = (now(), now() + left)
        self._broker.messages.append(copy)
        self._broker.made.setdefault(parking.queue, now())
        self._broker.inner.setdefault(parking.queue, deque()).append(copy)
