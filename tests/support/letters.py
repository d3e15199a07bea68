"""Puts dead letters into a queue as the importer and the broker do, without either."""

import asyncio
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aio_pika import Message

from tests.support.amqp import Upstream
from tests.support.broker import Broker

QUEUE, EXCHANGE = "crm.items.dlq", "crm.items.dlx"
INTAKE, INTAKE_QUEUE = "crm.items", "crm.items.import"
_QUORUM = {"x-queue-type": "quorum"}


class Letters:
    """The queue of dead letters, and an intake that nobody consumes."""

    def __init__(self, broker: Broker, vhost: str) -> None:
        self._url = broker.url(vhost)

    async def declare(self, *, intake: bool = True, **arguments: Any) -> None:
        """Declare exchanges and queues; `arguments` are those of the intake queue."""
        async with Upstream(self._url) as upstream:
            channel = upstream.channel
            dead = await channel.declare_exchange(EXCHANGE, "fanout", durable=True)
            queue = await channel.declare_queue(QUEUE, durable=True, arguments=dict(_QUORUM))
            await queue.bind(dead, "")
            items = await channel.declare_exchange(INTAKE, "topic", durable=True)
            if intake:
                named = {name.replace("_", "-"): value for name, value in arguments.items()}
                target = await channel.declare_queue(
                    INTAKE_QUEUE, durable=True, arguments={**_QUORUM, **named}
                )
                await target.bind(items, "#")

    async def put(self, *letters: Message, routing_key: str = "item.2") -> None:
        """Put letters into the queue, in order, confirmed."""
        async with Upstream(self._url) as upstream:
            exchange = await upstream.channel.get_exchange(EXCHANGE, ensure=False)
            for start in range(0, len(letters), 500):
                await asyncio.gather(
                    *(
                        exchange.publish(letter, routing_key)
                        for letter in letters[start : start + 500]
                    )
                )

    async def ready(self, queue: str = QUEUE) -> int:
        """Return how many messages are ready."""
        async with Upstream(self._url) as upstream:
            return await upstream.ready(queue)

    async def ids(self) -> list[str]:
        """Take every letter and return the event ids in the order they lay in."""
        async with Upstream(self._url) as upstream:
            messages = await upstream.drain(QUEUE, await upstream.ready(QUEUE))
        return [str(json.loads(message.body)["id"]) for message in messages]


def letter(
    event_id: str,
    *,
    kind: str = "rejected",
    code: str = "CRM_FIELD_ERROR_REQUIRED",
    entity_type: int = 2,
    body: bytes | None = None,
    headers: Mapping[str, Any] | None = None,
    **properties: Any,
) -> Message:
    """Return a dead letter as the importer writes it; headers of None are left out."""
    plain = {"entityTypeId": entity_type, "id": event_id, "fields": {"comments": "x"}}
    ours = {
        "import_error_kind": kind,
        "import_error_code": code,
        "import_error_message": "the field is required",
        "import_http_status": 200,
        "import_attempts": 1,
        "import_failed_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "import_event_id": event_id,
        "import_batch_id": "b1",
        "import_original_exchange": INTAKE,
        "import_original_routing_key": f"item.{entity_type}",
        "import_original_message_id": f"m-{event_id}",
        "import_redrive_count": 0,
        **(headers or {}),
    }
    properties.setdefault("content_type", "application/json")
    return Message(
        json.dumps(plain).encode() if body is None else body,
        headers={name: value for name, value in ours.items() if value is not None},
        message_id=uuid.uuid4().hex,
        delivery_mode=2,
        **properties,
    )
