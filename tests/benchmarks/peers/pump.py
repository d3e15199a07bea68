"""Pumps by hand on aio-pika, in four styles, and does nothing else.

No validation, no claims, no retries, no metrics, no health: the least that does the same I/O.

    leanest       httpx; the results of a batch published together, then an ack for each
    one_write     the same, but results and acks each in one write, by the client's private parts
    singly        httpx; a publish and an ack after the other, as most people write it
    fast_bitrix24 the same as singly, with the portal's best known client instead of httpx
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import httpx
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from aiormq.abc import ChannelFrame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from tests.benchmarks import events
from tests.benchmarks.peers.parts import (
    PREFETCH,
    RESULT_KEY,
    SLOTS,
    batches,
    import_body,
    item_ids,
    result,
    until_stopped,
)

METHOD = "crm.item.batchImport"

Messages = Sequence[AbstractIncomingMessage]
Call = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
Settle = Callable[[Messages, list[int], AbstractExchange], Awaitable[None]]


async def main(style: str) -> None:
    """Consume until SIGTERM."""
    url = os.environ["IMPORTER_RABBIT__URL"]
    consuming, publishing = await aio_pika.connect(url), await aio_pika.connect(url)
    channel = await consuming.channel(publisher_confirms=False)
    await channel.set_qos(PREFETCH)
    out = await publishing.channel(on_return_raises=True)
    results = await out.get_exchange(events.RESULTS, ensure=False)
    queue = await channel.get_queue(events.INTAKE_QUEUE, ensure=False)
    inbox: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await queue.consume(inbox.put)
    client, settle = STYLES[style]
    async with client(os.environ["IMPORTER_BITRIX__WEBHOOK_URL"]) as call:
        await until_stopped(asyncio.create_task(_pump(inbox, call, settle, results)))


async def _pump(
    inbox: "asyncio.Queue[AbstractIncomingMessage]",
    call: Call,
    settle: Settle,
    results: AbstractExchange,
) -> None:
    slots = asyncio.Semaphore(SLOTS)

    async def carry(batch: Messages) -> None:
        await settle(batch, item_ids(await call(import_body(batch))), results)
        slots.release()

    async with asyncio.TaskGroup() as tasks:
        async for batch in batches(inbox):
            await slots.acquire()
            tasks.create_task(carry(batch))


@asynccontextmanager
async def _httpx(webhook: str) -> AsyncIterator[Call]:
    async with httpx.AsyncClient(trust_env=False, timeout=70) as client:

        async def call(body: dict[str, Any]) -> dict[str, Any]:
            answer: dict[str, Any] = (await client.post(webhook + METHOD, json=body)).json()
            return answer

        yield call


@asynccontextmanager
async def _fast_bitrix24(webhook: str) -> AsyncIterator[Call]:
    """Call through the client, its throttles opened wide; one session for all calls."""
    import aiohttp  # noqa: PLC0415 - only this style needs it
    import fast_bitrix24  # type: ignore[import-not-found]  # noqa: PLC0415 - of the bench only

    async with aiohttp.ClientSession(raise_for_status=True) as session:
        client = fast_bitrix24.BitrixAsync(
            webhook,
            verbose=False,
            request_pool_size=100_000,
            requests_per_second=1000.0,
            operating_time_limit=100_000,
            client=session,
        )

        async def call(body: dict[str, Any]) -> dict[str, Any]:
            answer: dict[str, Any] = await client.call(METHOD, body, raw=True)
            return answer

        yield call


async def _together(batch: Messages, ids: list[int], results: AbstractExchange) -> None:
    await asyncio.gather(
        *(
            results.publish(result(message, item_id), RESULT_KEY, mandatory=True)
            for message, item_id in zip(batch, ids, strict=True)
        )
    )
    for message in batch:
        await message.ack()


async def _singly(batch: Messages, ids: list[int], results: AbstractExchange) -> None:
    for message, item_id in zip(batch, ids, strict=True):
        await results.publish(result(message, item_id), RESULT_KEY, mandatory=True)
        await message.ack()


async def _one_write(batch: Messages, ids: list[int], results: Any) -> None:  # noqa: ANN401 - past its interface
    """Write a batch's frames at once, past the client's interface: how fast it could be."""
    channel = await results.channel.get_underlay_channel()
    frames: list[Any] = []
    confirms = []
    async with channel.lock:
        for message, item_id in zip(batch, ids, strict=True):
            channel.delivery_tag += 1
            confirm = channel.create_future()
            channel.confirmations[channel.delivery_tag] = confirm
            confirms.append(confirm)
            outgoing = result(message, item_id)
            frames += [
                Basic.Publish(exchange=results.name, routing_key=RESULT_KEY, mandatory=True),
                ContentHeader(properties=outgoing.properties, body_size=len(outgoing.body)),
                ContentBody(outgoing.body),
            ]
        await channel.write_queue.put(ChannelFrame.marshall(channel.number, frames))
    await asyncio.gather(*confirms)
    consumed: Any = batch[0].channel
    acks = [Basic.Ack(delivery_tag=message.delivery_tag or 0) for message in batch]
    await consumed.write_queue.put(ChannelFrame.marshall(consumed.number, acks))


LEANEST = {"leanest", "one_write"}
STYLES = {
    "leanest": (_httpx, _together),
    "one_write": (_httpx, _one_write),
    "singly": (_httpx, _singly),
    "fast_bitrix24": (_fast_bitrix24, _singly),
}


def _run(style: str) -> None:
    """Run a pump on the loop its author would take: the leanest ones on the product's."""
    if style not in LEANEST:
        asyncio.run(main(style))
        return
    import uvloop  # noqa: PLC0415 - the peers' environment has none

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(style))


if __name__ == "__main__":
    _run(sys.argv[1])
