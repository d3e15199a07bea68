"""Lets others know that this process is active, and wakes an intake that is empty."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from service.domain.activity import Activity, Step
from service.domain.parking import LINKS
from service.rabbit.address import Address
from service.rabbit.broken import end_if_cancelled
from service.rabbit.confirms import Confirmer, PublishResult
from service.rabbit.connection import ConnectionLost, broker_errors
from service.rabbit.inner_queues import InnerQueues
from service.rabbit.session import CannotConnect, connect
from service.rabbit.taking import MAX_STRANGERS
from service.rabbit.topology import RPC_SECONDS
from service.rabbit.waiting import sent_back
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import contained

LOOK_SECONDS = 1.0
WAKE_SECONDS = 30.0

log = logging.getLogger(__name__)


class Waker:
    """Says that this process is active; if no process is, sends one waiting event to the intake.

    `tell` adds the note that says so; it may be set until `run`.
    """

    def __init__(
        self, inner: InnerQueues, *, address: Address, intake_queue: str, metrics: Metrics
    ) -> None:
        """Watch the consumer; what waits is sent over a connection of its own."""
        self.activity = Activity()
        self.tell: Callable[[], Awaitable[object]] | None = None
        self._address = address
        self._intake_queue = intake_queue
        self._consumer = inner.consumer
        self._inner = inner
        self._metrics = metrics

    def heard(self) -> None:
        """Note that another process says it is active."""
        self.activity.heard(_now())

    async def run(self) -> None:
        """Tell and wake until cancelled."""
        while True:
            end_if_cancelled()
            await asyncio.sleep(LOOK_SECONDS)
            consumer = self._consumer
            match self.activity.step(_now(), attached=consumer.attached, active=consumer.active):
                case Step.TELL if self.tell is not None:
                    with contained(self._metrics, "note of being active"):
                        await self.tell()
                case Step.WAKE:
                    with contained(self._metrics, "wake"):
                        await self._wake()
                case _:
                    pass

    async def _wake(self) -> None:
        depths = await self._inner.depths()
        # Links last: an older version would drop them.
        queues = sorted((each for each in depths if depths[each]), key=lambda each: each == LINKS)
        if not queues or not self._waits():
            return
        try:
            async with asyncio.timeout(WAKE_SECONDS), connect(self._address, "wake") as session:
                taking, publishing = await session.channel(), await session.channel(confirms=True)
                sent = await self._send(taking, Confirmer(publishing), queues)
        except (CannotConnect, ConnectionLost, TimeoutError) as why:
            log.warning("no waiting event could be sent to the intake", extra={"why": str(why)})
        else:
            if sent:
                log.info(
                    "one waiting event sent to the intake: the process that gets it is active"
                )

    def _waits(self) -> bool:
        """Tell whether it is still unknown which process is active."""
        return self._consumer.attached and not self._consumer.active

    async def _send(self, channel: Channel, confirmer: Confirmer, queues: Sequence[str]) -> bool:
        """Send one event; whatever else was taken goes back when the connection ends."""
        for queue in queues:
            for _ in range(MAX_STRANGERS):
                message = await _got(channel, self._inner.roster.name(queue))
                if message is None:
                    break
                if not self._inner.is_ours(message):
                    continue
                result = await confirmer.send(sent_back(message, self._intake_queue))
                if result is PublishResult.CONFIRMED:
                    await _acknowledged(channel, message)
                return result is PublishResult.CONFIRMED
        return False


async def _got(channel: Channel, name: str) -> DeliveredMessage | None:
    with broker_errors():
        message = await channel.basic_get(name, timeout=RPC_SECONDS)
    return message if isinstance(message.delivery, Basic.GetOk) else None


async def _acknowledged(channel: Channel, message: DeliveredMessage) -> None:
    """Acknowledge, and wait until the broker has read it: it answers in order."""
    with broker_errors():
        await channel.basic_ack(message.delivery_tag or 0)
        await channel.basic_qos(prefetch_count=1, timeout=RPC_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()
