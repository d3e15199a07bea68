"""Puts events into inner queues as the importer does, without it."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aio_pika import Message

from tests.support.amqp import Upstream
from tests.support.broker import Broker
from tests.support.letters import EXCHANGE, INTAKE

PREFIX = "crm.items.parked"
DOUBTFUL, LINKS = f"{PREFIX}.doubtful", f"{PREFIX}.links"
RESULTS, FAILED_QUEUE = "crm.items.results", "crm.items.failed"
MEMORY = "crm.items.memory"
STREAM: dict[str, Any] = {
    "x-queue-type": "stream",
    "x-max-length-bytes": 32_000_000,
    "x-stream-max-segment-size-bytes": 4_000_000,
}
ARGUMENTS: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 2_000_000_000,
    "x-dead-letter-exchange": EXCHANGE,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def lane(entity_type: int) -> str:
    """Return the name of the queue of a lane."""
    return f"{PREFIX}.{entity_type}"


class ParkedQueues:
    """The inner queues of a virtual host."""

    def __init__(self, broker: Broker, vhost: str) -> None:
        self._url = broker.url(vhost)

    async def declare(self, *names: str) -> None:
        """Declare inner queues as the importer does."""
        async with Upstream(self._url) as upstream:
            for name in names:
                await upstream.channel.declare_queue(name, durable=True, arguments=dict(ARGUMENTS))

    async def declare_results(self, **arguments: Any) -> None:
        """Declare the exchange of results and the queue of failed events."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        async with Upstream(self._url) as upstream:
            results = await upstream.channel.declare_exchange(RESULTS, "topic", durable=True)
            failed = await upstream.channel.declare_queue(
                FAILED_QUEUE, durable=True, arguments={"x-queue-type": "quorum", **named}
            )
            await failed.bind(results, "failed.#")

    async def declare_memory(self) -> None:
        """Declare the memory, empty."""
        async with Upstream(self._url) as upstream:
            await upstream.channel.declare_queue(MEMORY, durable=True, arguments=dict(STREAM))

    async def put(self, queue: str, *messages: Message) -> None:
        """Put messages into a queue, in order, confirmed; it is declared."""
        await self.declare(queue)
        async with Upstream(self._url) as upstream:
            for message in messages:
                await upstream.channel.default_exchange.publish(message, queue)


def parked(
    event_id: str,
    *,
    entity_type: int = 2,
    reason: str = "scope",
    headers: Mapping[str, Any] | None = None,
    **more: Any,
) -> Message:
    """Return an event as it waits; `more`: members of its body. Headers of None are left out."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = {"entityTypeId": entity_type, "id": event_id, "fields": {"title": event_id}, **more}
    ours = {
        "import_parked_reason": reason,
        "import_portal": "127.0.0.1",
        "import_event_id": event_id,
        "import_parked_at": now,
        "import_received_at": now,
        "import_waited_seconds": "12.500",
        "import_original_exchange": INTAKE,
        "import_original_routing_key": f"item.{entity_type}",
        "import_original_message_id": f"m-{event_id}",
        "import_redrive_count": 0,
        "import_attempts": 1,
        "theirs": "kept",
        **(headers or {}),
    }
    return Message(
        json.dumps(body).encode(),
        headers={name: value for name, value in ours.items() if value is not None},
        message_id=uuid.uuid4().hex,
        correlation_id=f"c-{event_id}",
        content_type="application/json",
        delivery_mode=2,
    )
