"""Gathers what every hand-written consumer needs: batches, the call's body, the result."""

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

MAX_ITEMS = 20
WINDOW_SECONDS = 2.0
SLOTS = 2
PREFETCH = 200
"""The importer's own defaults, for everybody."""
RESULT_KEY = "succeeded.2"

T = TypeVar("T")


async def batches(inbox: "asyncio.Queue[T]") -> AsyncIterator[list[T]]:
    """Yield batches: full, or as old as the window."""
    loop = asyncio.get_running_loop()
    while True:
        batch = [await inbox.get()]
        with suppress(TimeoutError):
            async with asyncio.timeout_at(loop.time() + WINDOW_SECONDS):
                while len(batch) < MAX_ITEMS:
                    batch.append(await inbox.get())
        yield batch


def import_body(batch: Sequence[AbstractIncomingMessage]) -> dict[str, Any]:
    """Return the parameters of an import: the events' fields, with the id they must carry."""
    return call_of([json.loads(message.body) for message in batch])


def call_of(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the parameters of an import of decoded events."""
    for item in items:
        item["fields"] |= {"originId": item["id"], "originatorId": "crm-importer"}
    data = {f"m{position:02d}": item["fields"] for position, item in enumerate(items)}
    return {"entityTypeId": items[0]["entityTypeId"], "useOriginalUfNames": "N", "data": data}


def item_ids(answer: dict[str, Any]) -> list[int]:
    """Return the ids of an answer, in order."""
    return [entry["item"]["id"] for entry in answer["result"]["items"].values()]


def result_body(item_id: int) -> bytes:
    """Return a result event, as large as the importer's."""
    event = {
        "specversion": "1.0",
        "id": uuid.uuid4().hex * 2,
        "source": "/crm-importer/127.0.0.1:18727",
        "type": "crm.item.import.succeeded.v1",
        "subject": "2/order-1017",
        "time": "2026-11-22T08:00:00.000Z",
        "datacontenttype": "application/json",
        "data": {
            "eventId": "order-1017",
            "entityTypeId": 2,
            "itemId": item_id,
            "importedAt": "2026-11-22T08:00:00.000Z",
            "attempts": 1,
            "batchId": "00000000000000000000000000000000",
            "reconciled": False,
            "duplicate": False,
        },
    }
    return json.dumps(event).encode()


def result(message: AbstractIncomingMessage, item_id: int) -> Message:
    """Return the result of a message, ready to be published."""
    return Message(
        result_body(item_id),
        content_type="application/cloudevents+json",
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=uuid.uuid4().hex,
        correlation_id=message.message_id,
    )


async def until_stopped(task: "asyncio.Task[None]") -> None:
    """Wait for SIGTERM, then cancel the task."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task
