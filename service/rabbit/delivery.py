"""Wraps one message that was handed over, until it is acknowledged or given back."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime

from aiormq.abc import DeliveredMessage

from service.domain.age import age_at_receipt
from service.domain.events import PRIORITY, ItemEvent, Malformed
from service.rabbit.acks import AckBatcher
from service.rabbit.delivery_counts import deliveries_before
from service.rabbit.letters import perhaps_sent
from service.rabbit.waiting import Waiting, origin_of, stay_of, waiting_of


class Delivery:
    """One message handed over and not settled.

    `copy` tells that it says it was delivered before, `redriven` that it was redriven or
    dead-lettered once, `perhaps_sent` that its item may be in the CRM, `early` that it is among
    the first after its consumer attached. `born_at` is the event's own time, by the clock of
    `received_at`. `stay` tells of its waiting in an inner queue; there the broker's flag and
    counts say nothing, because everybody who looks raises them. `exchange`, `routing_key` and
    `message_id` are those of the message that came to the intake first. `size`: bytes, unpacked.
    """

    __slots__ = (
        "_acks",
        "_tag",
        "born_at",
        "copy",
        "early",
        "event",
        "exchange",
        "message",
        "message_id",
        "perhaps_sent",
        "priority",
        "received_at",
        "redriven",
        "routing_key",
        "size",
        "stay",
        "times",
    )

    def __init__(
        self,
        message: DeliveredMessage,
        event: ItemEvent | Malformed,
        *,
        acks: AckBatcher,
        received_at: float,
        early: bool,
        queue: str = "",
    ) -> None:
        """Wrap a message of a channel; `queue`: last part of the inner queue's name, if any."""
        properties = message.header.properties
        headers = properties.headers or {}
        waiting = waiting_of(properties)
        self.message = message
        self.event = event
        self.received_at = received_at
        self.born_at = received_at - _age(message, event, waiting)
        self.size = _size(message.body, event)
        self.early = early and not queue
        self.copy = bool(message.redelivered) and not queue
        self.times = deliveries_before(headers, redelivered=bool(message.redelivered))
        self.perhaps_sent = perhaps_sent(headers)
        self.redriven = event.origin.redrive_count > 0 or "x-death" in headers
        self.stay = stay_of(properties, queue)
        if self.stay is not None and queue:
            self.stay = replace(self.stay, seen=bool(message.redelivered))
        self.exchange, self.routing_key, self.message_id = origin_of(message, waiting)
        told = properties.priority
        self.priority = PRIORITY if told is None else told
        self._acks, self._tag = acks, message.delivery_tag or 0
        acks.add(self._tag)

    def first_received(self) -> datetime:
        """Return when its event came to the intake first."""
        waiting = waiting_of(self.message.header.properties)
        if waiting is not None:
            return waiting.received_at
        held = asyncio.get_running_loop().time() - self.received_at
        return datetime.fromtimestamp(time.time() - held, tz=UTC)

    @property
    def live(self) -> bool:
        """Whether it can still be acknowledged; if not, the broker delivers it again."""
        return self._acks.live

    def ack(self) -> None:
        """Acknowledge with the next `flush`."""
        self._acks.ack(self._tag)

    async def flush(self) -> None:
        """Send what was acknowledged on its channel; too late is counted, not raised."""
        await self._acks.flush()

    async def give_back(self) -> None:
        """Return the message to its queue, unsettled."""
        await self._acks.give_back(self._tag)


def _size(body: bytes, event: ItemEvent | Malformed) -> int:
    """Return what an event takes in a call at most, in bytes: a packed body says less."""
    return max(len(body), len(event.fields)) if isinstance(event, ItemEvent) else len(body)


def _age(
    message: DeliveredMessage, event: ItemEvent | Malformed, waiting: Waiting | None
) -> float:
    """Return how old the event was when its message came; one sent back starts again."""
    now = time.time()
    since = now if waiting is None else min(now, waiting.received_at.timestamp())
    origin = event.origin
    if origin.redrive_count:
        return now - since
    return now - since + age_at_receipt(origin.time, message.header.properties.timestamp, since)
