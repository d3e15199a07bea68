"""Makes a delivery of each message and passes it on; a bug with one affects no other."""

import asyncio
import time
from collections.abc import Callable

from aiormq.abc import DeliveredMessage

from service.rabbit.acks import AckBatcher
from service.rabbit.decoding import Decoder, Incoming
from service.rabbit.delivery import Delivery
from service.rabbit.waiting import origin_of, waiting_of
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import contained

STRUCK_SECONDS = 60.0
"""How long a message is held when a bug keeps it from being read. The queue's delivery limit ends
the repetition."""


class Receiver:
    """Reads messages of any queue; `accept`, to be set first, takes each delivery, in order."""

    def __init__(self, decoder: Decoder, metrics: Metrics) -> None:
        """Read with the decoder."""
        self.accept: Callable[[Delivery], None] | None = None
        self._decoder = decoder
        self._metrics = metrics
        self._received = {
            redelivered: metrics.received.labels(str(redelivered).lower())
            for redelivered in (True, False)
        }
        self._spent = metrics.spent["receive"]
        self._struck: set[asyncio.Task[None]] = set()

    def receive(
        self, acks: AckBatcher, message: DeliveredMessage, *, early: bool = False, queue: str = ""
    ) -> None:
        """Hand a message over; `queue`: last part of the inner queue's name, if it is of one."""
        now = asyncio.get_running_loop().time()
        with contained(self._metrics, "receive") as work:
            delivery = Delivery(
                message,
                self._decoder.decode(_incoming(message)),
                acks=acks,
                received_at=now,
                early=early,
                queue=queue,
            )
            if not queue:
                self._count(delivery)
            if self.accept is not None:
                self.accept(delivery)
        if work.struck:
            # Not at once: it would come again at once, and be struck again.
            back = asyncio.create_task(self._give_back_later(acks, message.delivery_tag or 0))
            self._struck.add(back)
            back.add_done_callback(self._struck.discard)
        self._spent.inc(asyncio.get_running_loop().time() - now)

    def _count(self, delivery: Delivery) -> None:
        """Count a message of the intake."""
        self._received[bool(delivery.message.redelivered)].inc()
        self._metrics.last_delivery.set(time.time())
        self._metrics.consumer_active.set(1)
        if delivery.stay is None and delivery.event.event_id.startswith("sha256:"):
            self._metrics.without_id.inc()

    async def _give_back_later(self, acks: AckBatcher, tag: int) -> None:
        acks.add(tag)
        await asyncio.sleep(STRUCK_SECONDS)
        await acks.give_back(tag)


def _incoming(message: DeliveredMessage) -> Incoming:
    """Return what decides the content; what waited is read as the original was."""
    properties = message.header.properties
    _, _, message_id = origin_of(message, waiting_of(properties))
    return Incoming(
        body=message.body,
        headers=properties.headers or {},
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        message_id=message_id,
        correlation_id=properties.correlation_id,
    )
