"""Makes the item events of the bench, about 1 KB each, and names the queues they travel."""

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aio_pika
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel

ENTITY_TYPE = 2
ROUTING_KEY = "item.2"
INTAKE, RESULTS, DEAD = "crm.items", "crm.items.results", "crm.items.dlx"
INTAKE_QUEUE, SUCCEEDED = "crm.items.import", "crm.items.succeeded"
FAILED, DEAD_QUEUE = "crm.items.failed", "crm.items.dlq"
MEMORY, LINKS = "crm.items.memory", "crm.items.parked.links"
AT_ONCE = 500
_FILLER = "The customer asked for an offer, two samples and a call back next week. " * 7

KINDS = {
    "opportunity": "double",
    "isManualOpportunity": "boolean",
    "opened": "boolean",
    "assignedById": "user",
    "begindate": "datetime",
    "closedate": "datetime",
}
Encode = Callable[[int], tuple[bytes, Mapping[str, Any]]]
"""Makes the body and the headers of an event by its number."""


def event(number: int) -> dict[str, Any]:
    """Return the item event of a number: a deal with fifteen fields."""
    fields: dict[str, Any] = {
        "title": f"Order {number:07d} of the web shop",
        "stageId": "NEW",
        "currencyId": "EUR",
        "opportunity": 1017.5 + number % 100,
        "isManualOpportunity": "Y",
        "opened": "Y",
        "assignedById": 1 + number % 7,
        "companyId": 1 + number % 5000,
        "contactIds": [1 + number % 9000, 2 + number % 9000],
        "begindate": "2026-11-22T08:00:00+00:00",
        "closedate": "2026-12-24T08:00:00+00:00",
        "sourceId": "WEB",
        "utmSource": "newsletter",
        "utmCampaign": "winter",
        "comments": _FILLER,
    }
    return {"entityTypeId": ENTITY_TYPE, "id": f"order-{number}", "fields": fields}


FIELDS = {
    name: {"type": KINDS.get(name, "string"), "isMultiple": isinstance(value, list)}
    for name, value in event(0)["fields"].items()
}
"""How the portal describes the fields of these events: nothing to complain of."""


def plain(number: int) -> tuple[bytes, Mapping[str, Any]]:
    """Encode an event as upstream does."""
    return json.dumps(event(number)).encode(), {}


def celery(number: int) -> tuple[bytes, Mapping[str, Any]]:
    """Encode an event as a Celery message (protocol 2): its workers read nothing else."""
    task = str(uuid.uuid4())
    about = {
        "lang": "py",
        "task": "import_item",
        "id": task,
        "root_id": task,
        "parent_id": None,
        "group": None,
        "retries": 0,
        "timelimit": [None, None],
        "eta": None,
        "expires": None,
        "argsrepr": "()",
        "kwargsrepr": "{}",
        "origin": "bench",
    }
    extra = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return json.dumps([[event(number)], {}, extra]).encode(), about


async def declare(channel: AbstractChannel) -> None:
    """Declare the importer's topology: every queue is a quorum queue, for everybody measured."""
    quorum: dict[str, str | int | bool] = {"x-queue-type": "quorum"}
    intake: dict[str, str | int | bool] = {
        **quorum,
        "x-single-active-consumer": True,
        "x-dead-letter-exchange": DEAD,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-delivery-limit": 1000,
    }
    for name, kind in (
        (INTAKE, ExchangeType.TOPIC),
        (RESULTS, ExchangeType.TOPIC),
        (DEAD, ExchangeType.FANOUT),
    ):
        await channel.declare_exchange(name, kind, durable=True)
    for name, exchange, key, arguments in (
        (DEAD_QUEUE, DEAD, "", quorum),
        (SUCCEEDED, RESULTS, "succeeded.#", quorum),
        (FAILED, RESULTS, "failed.#", quorum),
        (INTAKE_QUEUE, INTAKE, "#", intake),
    ):
        queue = await channel.declare_queue(name, durable=True, arguments={**arguments})
        await queue.bind(exchange, key)


async def fill(url: str, numbers: Sequence[int], encode: Encode = plain) -> None:
    """Declare the queues and publish events, each confirmed."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel(on_return_raises=True) as channel:
        await declare(channel)
        await publish(channel, numbers, encode)


async def send(url: str, numbers: Sequence[int], encode: Encode = plain) -> None:
    """Publish events, each confirmed, into queues that are there."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel(on_return_raises=True) as channel:
        await publish(channel, numbers, encode)


async def publish(
    channel: AbstractChannel, numbers: Sequence[int], encode: Encode = plain
) -> None:
    """Publish events, each confirmed, many at once."""
    exchange = await channel.get_exchange(INTAKE, ensure=False)
    for start in range(0, len(numbers), AT_ONCE):
        await asyncio.gather(
            *(
                exchange.publish(message(number, encode), ROUTING_KEY, mandatory=True)
                for number in numbers[start : start + AT_ONCE]
            )
        )


def message(number: int, encode: Encode = plain) -> Message:
    """Return the event of a number, ready to be published."""
    body, headers = encode(number)
    return Message(
        body,
        headers=dict(headers),
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=str(uuid.uuid4()),
    )
