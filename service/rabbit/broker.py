"""Holds our two connections: one to consume, one to publish."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from aiormq import Channel

from service.rabbit.connection import Address, Connection
from service.rabbit.consumer import Consumer
from service.rabbit.decoding import Decoder
from service.rabbit.delivery import Delivery
from service.rabbit.encoding import Encoder
from service.rabbit.inner_queues import InnerQueues
from service.rabbit.inner_roster import InnerNames, Roster
from service.rabbit.publishing import Publisher
from service.rabbit.topology import Topology, ensure
from service.rabbit.waking import Waker
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import endless

log = logging.getLogger(__name__)


class Broker:
    """The consumer and the publisher, each on a connection of its own.

    Two connections, because a memory alarm stops all that goes on the one that publishes.
    """

    def __init__(
        self,
        *,
        address: Address,
        topology: Topology,
        decoder: Decoder,
        encoder: Encoder,
        early: int,
        metrics: Metrics,
    ) -> None:
        """Prepare both connections; nothing is opened before `run`.

        The first `early` deliveries after attaching are marked as such.
        """
        self._topology = topology
        self._metrics = metrics
        self._heartbeat = address.heartbeat
        self._on_change: Callable[[], None] = _nothing
        self.consumer = Consumer(
            queue=topology.intake_queue,
            decoder=decoder,
            early=early,
            silence=address.heartbeat,
            metrics=metrics,
        )
        self._consume = Connection(
            "consume",
            address,
            confirms=False,
            setup=self._set_up_consuming,
            on_change=self._consume_changed,
        )
        self._publish = Connection(
            "publish",
            address,
            confirms=True,
            setup=self._set_up_publishing,
            on_change=self._publish_changed,
        )
        self.consumer.use(self._consume)
        self.publisher = Publisher(
            connection=self._publish,
            encoder=encoder,
            metrics=metrics,
            repair=self._ensure,
            queues=topology.results,
        )
        self._build_inner_queues(address, encoder.portal_host)

    def _build_inner_queues(self, address: Address, portal_host: str) -> None:
        """Make what knows, fills and reads the queues in which events wait."""
        topology, metrics = self._topology, self._metrics
        names = InnerNames(topology.parked, topology.dead_letter_exchange, portal_host)
        self.roster = Roster(names, address=address, connection=self._publish, metrics=metrics)
        self.inner = InnerQueues(
            self.roster, publisher=self.publisher, consumer=self.consumer, metrics=metrics
        )
        self.waker = Waker(
            self.inner, address=address, intake_queue=topology.intake_queue, metrics=metrics
        )

    @property
    def connected(self) -> bool:
        """Whether both connections are up."""
        return self._consume.is_up and self._publish.is_up

    @property
    def trouble(self) -> str | None:
        """Why a connection is down, and what to do, as of the last try."""
        return self._consume.trouble or self._publish.trouble

    @property
    def active(self) -> bool | None:
        """Whether the intake's messages come to this process; None while unknown."""
        return self.consumer.active

    def inner_name(self, queue: str) -> str:
        """Return the whole name of an inner queue."""
        return self.roster.name(queue)

    def fit(self) -> bool:
        """Tell whether a call's outcome could be published: connected, and recently answered."""
        return self.connected and self.consumer.heard()

    async def attach(self, prefetch: int) -> None:
        """Let deliveries come, at most this many unsettled."""
        await self.consumer.attach(prefetch)

    async def detach(self) -> None:
        """Stop deliveries; those that came stay."""
        await self.consumer.detach()

    def cancelled(self) -> AbstractAsyncContextManager[None]:
        """Have no consumer meanwhile, so that returned messages come before younger ones."""
        return self.consumer.cancelled()

    async def flush(self) -> None:
        """Return when the broker has read every acknowledgement, or cannot be reached."""
        await self.consumer.flush()

    async def run(
        self, *, accept: Callable[[Delivery], None], on_change: Callable[[], None]
    ) -> None:
        """Keep both connections up until cancelled.

        `accept` takes each delivery and must not block; `on_change` is called whenever a
        connection comes or goes.
        """
        self._on_change = on_change
        self.consumer.accept = accept
        every = self._heartbeat / 3
        async with asyncio.TaskGroup() as tasks:
            for name, work in (
                ("connection to consume", self._consume.run),
                ("connection to publish", self._publish.run),
                ("watch consumer", lambda: self.consumer.watch(every)),
                ("watch publisher", lambda: self.publisher.watch(every)),
                ("inner queues", self.roster.run),
                ("waker", self.waker.run),
            ):
                tasks.create_task(endless(work, name, self._metrics), name=name)

    async def _set_up_consuming(self, channel: Channel) -> None:
        await ensure(self._topology, self._consume.side_channel)
        await self.consumer.resume(channel)

    async def _set_up_publishing(self, _: Channel) -> None:
        await self._ensure()

    async def _ensure(self) -> None:
        """See that every queue is there, or create what is missing; raises ConnectionLost."""
        await ensure(self._topology, self._publish.side_channel)

    def _consume_changed(self, lost: str | None) -> None:
        if lost is not None:
            self.consumer.lost()
            self._metrics.consumer_restarts.labels("lost").inc()
        self._changed()

    def _publish_changed(self, _: str | None) -> None:
        self._changed()

    def _changed(self) -> None:
        self._metrics.connected.set(int(self.connected))
        self._on_change()


def _nothing(_: object = None) -> None:
    """Do nothing: no listener is set yet."""
