"""Wraps one message that was handed over, until it is acknowledged or given back."""

import time

from aiormq.abc import DeliveredMessage

from service.domain.age import age_at_receipt
from service.domain.events import ItemEvent, Malformed
from service.rabbit.acks import AckBatcher
from service.rabbit.delivery_counts import deliveries_before
from service.rabbit.letters import perhaps_sent


class Delivery:
    """One message handed over and not settled.

    `copy` tells that it says it was delivered before, `redriven` that it was redriven or
    dead-lettered once, `perhaps_sent` that its item may be in the CRM, `early` that it is among
    the first after its consumer attached. `born_at` is the event's own time, by the clock of
    `received_at`.
    """

    __slots__ = (
        "_acks",
        "born_at",
        "copy",
        "early",
        "event",
        "message",
        "perhaps_sent",
        "received_at",
        "redriven",
        "size",
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
    ) -> None:
        """Wrap a message of a channel."""
        headers = message.header.properties.headers or {}
        self.message = message
        self.event = event
        self.received_at = received_at
        self.born_at = received_at - _age(message, event)
        self.size = len(message.body)
        self.early = early
        self.copy = bool(message.redelivered)
        self.times = deliveries_before(headers, redelivered=self.copy)
        self.perhaps_sent = perhaps_sent(headers)
        self.redriven = event.origin.redrive_count > 0 or "x-death" in headers
        self._acks = acks
        acks.add(self._tag)

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

    @property
    def _tag(self) -> int:
        return self.message.delivery_tag or 0


def _age(message: DeliveredMessage, event: ItemEvent | Malformed) -> float:
    """Return how old the event was when its message came; one sent back begins anew."""
    origin = event.origin
    if origin.redrive_count:
        return 0.0
    return age_at_receipt(origin.time, message.header.properties.timestamp, time.time())
