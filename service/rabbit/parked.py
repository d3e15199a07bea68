"""Reads messages of inner queues for commands: which event waits there, and why."""

from dataclasses import dataclass
from datetime import UTC, datetime

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from service.domain.events import ItemEvent, Malformed
from service.domain.parking import DOUBT, DOUBTFUL, LINK, LINKS, Stay
from service.rabbit.connection import broker_errors
from service.rabbit.decoding import Decoder, Incoming
from service.rabbit.holding import RPC_SECONDS
from service.rabbit.session import Session
from service.rabbit.waiting import Waiting, origin_of, stay_of, waiting_of

NO_QUEUE = "no queue '"
_REASONS = {DOUBTFUL: DOUBT, LINKS: LINK}


@dataclass(frozen=True, slots=True)
class InnerDepth:
    """An inner queue that exists: `part` is the last part of its name.

    `messages` are ready there; None where nobody tells us.
    """

    name: str
    part: str
    messages: int | None

    @property
    def entity_type_id(self) -> int | None:
        """Whose lane's queue it is; None for the two that all types share."""
        return None if self.part in {DOUBTFUL, LINKS} else int(self.part)


@dataclass(frozen=True, slots=True, eq=False)
class Parked:
    """An event as it waits in an inner queue, named by its last part.

    The encoder takes it for a delivery.
    """

    message: DeliveredMessage
    part: str
    waiting: Waiting
    event: ItemEvent | Malformed

    @property
    def tag(self) -> int:
        """The number of its delivery."""
        return self.message.delivery_tag or 0

    @property
    def stay(self) -> Stay | None:
        """What its message says of its waiting."""
        return stay_of(self.message.header.properties, self.part)

    @property
    def exchange(self) -> str:
        """The exchange to which the original was published."""
        return self.waiting.exchange

    @property
    def routing_key(self) -> str:
        """The routing key of the original."""
        return self.waiting.routing_key

    @property
    def message_id(self) -> str | None:
        """The message id of the original."""
        return self.waiting.message_id


def parked_id(message: DeliveredMessage) -> str | None:
    """Return the event id that a message names itself; None where its body must be read."""
    waiting = waiting_of(message.header.properties)
    return waiting.event_id or None if waiting else None


def read_parked(message: DeliveredMessage, decoder: Decoder, part: str) -> Parked:
    """Read a message of an inner queue, which is named by its last part; never raises.

    What somebody has put there by hand began to wait just now.
    """
    properties = message.header.properties
    waiting = waiting_of(properties) or _by_hand(message, part)
    event = decoder.decode(
        Incoming(
            body=message.body,
            headers=properties.headers or {},
            content_type=properties.content_type,
            content_encoding=properties.content_encoding,
            message_id=waiting.message_id,
            correlation_id=properties.correlation_id,
        )
    )
    return Parked(message, part, waiting, event)


def _by_hand(message: DeliveredMessage, part: str) -> Waiting:
    exchange, routing_key, message_id = origin_of(message, None)
    now = datetime.now(UTC)
    return Waiting(
        reason=_REASONS.get(part, "unknown"),
        portal="",
        event_id="",
        parked_at=now,
        received_at=now,
        exchange=exchange,
        routing_key=routing_key,
        message_id=message_id,
    )


async def look_for(session: Session, prefix: str, part: str) -> InnerDepth | None:
    """Return how many messages are ready in an inner queue; None where there is no such queue.

    Raises ConnectionLost.
    """
    name = f"{prefix}.{part}"
    channel: Channel = await session.channel()
    with broker_errors():
        try:
            told = await channel.queue_declare(name, passive=True, timeout=RPC_SECONDS)
        except ChannelNotFoundEntity as missing:
            # A queue without a node to answer for it is "not found" too, in other words.
            return None if NO_QUEUE in str(missing) else InnerDepth(name, part, None)
        except ChannelAccessRefused:
            return InnerDepth(name, part, None)
        await channel.close()
    return InnerDepth(name, part, told.message_count or 0)
