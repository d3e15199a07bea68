"""Consumes the intake queue: attached or not, and back by itself after every loss."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from service.domain.hearing import Hearing
from service.rabbit import taking
from service.rabbit.acks import AckBatcher
from service.rabbit.broken import end_if_cancelled
from service.rabbit.channels import take_directly
from service.rabbit.connection import ANSWER_SECONDS, Connection, ConnectionLost, broker_errors
from service.rabbit.decoding import Decoder
from service.rabbit.delivery import Delivery
from service.rabbit.receiving import Receiver
from service.telemetry.clock import awake
from service.telemetry.metrics import Metrics

FLUSH_SECONDS = 5.0
HELD_BACK_SECONDS = 0.1

log = logging.getLogger(__name__)


class Consumer:
    """The consumer of the intake queue: attached or detached.

    Survives its connections: `resume` is called with each new channel. `accept`, to be set before
    it is attached, is called for every delivery, in order, and must not block.
    """

    def __init__(
        self,
        *,
        queue: str,
        decoder: Decoder,
        metrics: Metrics,
        early: int,
        silence: float,
    ) -> None:
        """Prepare a consumer; the first `early` deliveries after attaching are marked.

        Not so after an interruption of our own (`cancelled`): what goes back then is flagged.
        `silence`: seconds after which a broker counts as not heard.
        """
        self._queue = queue
        self._receiver = Receiver(decoder, metrics)
        self._metrics = metrics
        self._early = early
        self._connection: Connection | None = None
        self._prefetch: int | None = None
        self._channel: Channel | None = None
        self._acks: AckBatcher | None = None
        self._tag: str | None = None
        self._seen = self._early_until = 0
        self._changing = asyncio.Lock()
        self._hearing = Hearing(silence)
        self.received = 0
        """Messages received since the start."""

    @property
    def accept(self) -> Callable[[Delivery], None] | None:
        """What takes each delivery."""
        return self._receiver.accept

    @accept.setter
    def accept(self, accept: Callable[[Delivery], None]) -> None:
        self._receiver.accept = accept

    @property
    def attached(self) -> bool:
        """Whether the consumer is registered on an open channel."""
        return self._tag is not None

    @property
    def active(self) -> bool | None:
        """Whether messages come to this consumer; None: it waits, first in line or not.

        AMQP tells nobody that he is the single active consumer of a queue.
        """
        if self._tag is None:
            return False if self._prefetch is not None else None
        return True if self._seen else None

    def heard(self) -> bool:
        """Tell whether the broker answered recently, so that its messages are still ours."""
        return self._hearing.lately(awake())

    def use(self, connection: Connection) -> None:
        """Take the connection whose channels are handed to `resume`."""
        self._connection = connection

    async def attach(self, prefetch: int) -> None:
        """Consume, with at most this many deliveries unsettled, now and on later channels."""
        async with self._changing:
            self._prefetch = prefetch
            self._early_until = self.received + self._early
            await self._reconcile()

    async def detach(self) -> None:
        """Stop consuming; what was delivered stays ours."""
        async with self._changing:
            self._prefetch = None
            await self._reconcile()

    @asynccontextmanager
    async def cancelled(self) -> AsyncIterator[None]:
        """Have no consumer meanwhile; afterwards consume again, if that is wanted."""
        async with self._changing:
            wanted, self._prefetch = self._prefetch, None
            try:
                await self._reconcile()
                yield
            finally:
                self._prefetch = wanted
                await self._reconcile()

    async def resume(self, channel: Channel) -> None:
        """Take a new channel and consume on it if that is wanted; raises ConnectionLost."""
        async with self._changing:
            self._channel, self._tag = channel, None
            self._acks = AckBatcher(channel, self._metrics)
            channel.on_consumer_cancel_callbacks.add(self._cancelled)
            # One reading of the clock: an answer from before the first of two would prove nothing.
            now = awake()
            self._hearing.answered(now, now)
            self._early_until = self.received + self._early
            if self._prefetch is not None:
                await self._consume(channel, self._prefetch)

    def lost(self) -> None:
        """Note that the channel is gone."""
        self._channel = self._tag = None
        self._metrics.consumer_alive.set(0)
        self._metrics.consumer_active.set(0)

    async def watch(self, every: float) -> None:
        """Ask the broker, for ever, whether our queue and consumer are still there."""
        while True:
            end_if_cancelled()
            await asyncio.sleep(every)
            channel = self._channel
            if channel is None or self._connection is None or not self._connection.is_up:
                continue
            asked_at = awake()
            try:
                with broker_errors():
                    queue = await channel.queue_declare(
                        self._queue, passive=True, timeout=3 * every * self._connection.patience
                    )
            except ConnectionLost as lost:
                self._fail("silent", lost)
                continue
            self._hearing.answered(asked_at, awake())
            if self._tag is not None and channel is self._channel and not queue.consumer_count:
                why = ConnectionLost("the queue has no consumer although we are attached")
                self._fail("cancelled", why)

    async def flush(self) -> None:
        """Wait until the broker has read what was acknowledged: it answers in order.

        A quorum queue's client holds acknowledgements back while many are under way, and loses
        them with the channel; hence the moment between two questions.
        """
        if self._channel is not None:
            try:
                with broker_errors():
                    if self._acks is not None:
                        await self._acks.flush()
                    await self._channel.basic_qos(prefetch_count=1, timeout=FLUSH_SECONDS)
                    await asyncio.sleep(HELD_BACK_SECONDS)
                    await self._channel.basic_qos(prefetch_count=1, timeout=FLUSH_SECONDS)
            except ConnectionLost:
                log.warning("acknowledgements not sent: no connection")

    async def take(
        self, name: str, most: int, *, queue: str, ours: Callable[[DeliveredMessage], bool]
    ) -> tuple[int, int, int]:
        """Take messages of an inner queue over our channel; returns what `taking.take` does.

        Only while intake messages come to us. Raises ConnectionLost; our channel has ended then.
        """
        channel, acks, tag = self._channel, self._acks, self._tag
        if channel is None or acks is None or not self.active:
            return 0, 0, 0

        def hand(message: DeliveredMessage) -> bool | None:
            self._hearing.heard(awake())
            if tag != self._tag:
                return None
            if not ours(message):
                return False
            self._receiver.receive(acks, message, queue=queue)
            return True

        return await taking.take(
            channel, acks, name, most, hand=hand, seconds=self._answer_seconds
        )

    @property
    def _answer_seconds(self) -> float:
        return ANSWER_SECONDS * (1 if self._connection is None else self._connection.patience)

    async def _reconcile(self) -> None:
        """Bring the present channel in line with what is wanted; a failure ends the channel."""
        channel = self._channel
        if channel is None:
            return
        try:
            if self._tag is not None:
                tag, self._tag = self._tag, None
                self._metrics.consumer_alive.set(0)
                with broker_errors():
                    await channel.basic_cancel(tag, timeout=self._answer_seconds)
            if self._prefetch is not None:
                await self._consume(channel, self._prefetch)
        except ConnectionLost as lost:
            self._fail("lost", lost)

    async def _consume(self, channel: Channel, prefetch: int) -> None:
        self._seen = 0
        acks = self._acks or AckBatcher(channel, self._metrics)

        async def receive(message: DeliveredMessage) -> None:
            self._receive(acks, message)

        tag = f"ctag.{uuid.uuid4().hex}"
        take_directly(channel, tag, partial(self._receive, acks))
        with broker_errors():
            seconds = self._answer_seconds
            await channel.basic_qos(prefetch_count=prefetch, timeout=seconds)
            answer = await channel.basic_consume(
                self._queue, receive, consumer_tag=tag, timeout=seconds
            )
        self._tag = answer.consumer_tag
        self._metrics.consumer_alive.set(1)
        log.info("consuming", extra={"queue": self._queue, "prefetch": prefetch})

    def _receive(self, acks: AckBatcher, message: DeliveredMessage) -> None:
        """Decode a message and hand it over; runs as frames are read, so it only passes on."""
        self._hearing.heard(awake())
        self._seen += 1
        self.received += 1
        self._receiver.receive(acks, message, early=self.received <= self._early_until)

    async def _cancelled(self, frame: Basic.Cancel) -> None:
        """Answer the broker's cancel: the queue was deleted or moved."""
        if frame.consumer_tag == self._tag:
            self._fail("cancelled", ConnectionLost("the broker cancelled the consumer"))

    def _fail(self, reason: str, lost: ConnectionLost) -> None:
        self._metrics.consumer_restarts.labels(reason).inc()
        if self._connection is not None:
            self._connection.fail(lost)
