"""Does the job with FastStream: its subscriber, batching by hand, httpx.

FastStream has no batch subscriber for RabbitMQ, so the handler collects and a task flushes. By
default it logs two lines for every message; `quiet` as argument switches that off.
"""

import asyncio
import os
import sys
from typing import Any

import httpx
from faststream import AckPolicy, FastStream  # type: ignore[import-not-found]  # of the bench only
from faststream.rabbit import (  # type: ignore[import-not-found]  # as above
    Channel,
    ExchangeType,
    RabbitBroker,
    RabbitExchange,
    RabbitMessage,
    RabbitQueue,
)

from tests.benchmarks import events
from tests.benchmarks.peers.parts import (
    PREFETCH,
    RESULT_KEY,
    SLOTS,
    batches,
    call_of,
    item_ids,
    result_body,
)

PORTAL = os.environ.get("IMPORTER_BITRIX__WEBHOOK_URL", "") + "crm.item.batchImport"

broker = RabbitBroker(
    os.environ.get("IMPORTER_RABBIT__URL"),
    default_channel=Channel(prefetch_count=PREFETCH, on_return_raises=True),
    **({"logger": None} if "quiet" in sys.argv[1:] else {}),
)
app = FastStream(broker)
inbox: asyncio.Queue[tuple[dict[str, Any], Any]] = asyncio.Queue()
results = RabbitExchange(events.RESULTS, type=ExchangeType.TOPIC, declare=False, durable=True)


@broker.subscriber(  # type: ignore[untyped-decorator]  # as above
    RabbitQueue(events.INTAKE_QUEUE, routing_key="#", declare=False, durable=True),
    RabbitExchange(events.INTAKE, type=ExchangeType.TOPIC, declare=False, durable=True),
    ack_policy=AckPolicy.MANUAL,
)
async def collect(item: dict[str, Any], message: RabbitMessage) -> None:
    """Put an event aside; it is acknowledged once its batch is through."""
    await inbox.put((item, message))


async def pump() -> None:
    """Carry batches, a few at a time."""
    slots = asyncio.Semaphore(SLOTS)
    async with httpx.AsyncClient(trust_env=False, timeout=70) as client:

        async def carry(batch: list[tuple[dict[str, Any], Any]]) -> None:
            answer = await client.post(PORTAL, json=call_of([item for item, _ in batch]))
            ids = item_ids(answer.json())
            await asyncio.gather(
                *(
                    broker.publish(
                        result_body(item_id),
                        exchange=results,
                        routing_key=RESULT_KEY,
                        persist=True,
                        content_type="application/cloudevents+json",
                    )
                    for item_id in ids
                )
            )
            for _, message in batch:
                await message.ack()
            slots.release()

        async with asyncio.TaskGroup() as tasks:
            async for batch in batches(inbox):
                await slots.acquire()
                tasks.create_task(carry(batch))


async def main() -> None:
    """Run the application and the pump."""
    pumping = asyncio.create_task(pump())
    await app.run()
    pumping.cancel()


if __name__ == "__main__":
    asyncio.run(main())
