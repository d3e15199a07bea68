"""Measures, from outside, how much time the unloaded importer adds at its two busy moments.

The importer's connections to the broker lead through a tap that tells when an event is delivered;
the portal's log tells when its request arrives and its answer leaves; a bare consumer of the
result queue tells when the last result is in. Before and after each round, bare confirmed
publishes of as many messages give the broker's own round trip in the same second.
"""

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage

from tests.benchmarks import events
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_most, percentile
from tests.benchmarks.rig import Consumer, Rig

PART = "latency, unloaded"
WINDOW_SECONDS = 0.2
MOST = 5
WARM_EVENTS = 240
"""Above the prefetch: the look-ups of the first deliveries are over."""
PATIENCE_SECONDS = 60.0
CHUNK_BYTES = 65_536
DELIVERED = b"entityTypeId"
"""Stands in every event, and in nothing else that the broker sends to the importer."""
MILLIS = 1e3


@dataclass(slots=True)
class _Marks:
    """When the first event of a round was delivered, and when its results came."""

    delivered: float | None = None
    results: list[float] = field(default_factory=list)

    def clear(self) -> None:
        """Begin a round."""
        self.delivered = None
        self.results.clear()

    @property
    def first(self) -> float:
        """Return when the first event was delivered."""
        if self.delivered is None:
            raise RuntimeError("results without a delivery")
        return self.delivered


class _Tap:
    """Passes the broker's bytes on to the importer, and notes when an event goes by."""

    def __init__(self, amqp_url: str, marks: _Marks) -> None:
        self._broker = urlsplit(amqp_url)
        self._marks = marks
        self._ends: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Listen; yields the address by way of the tap. Whoever connects must end first."""
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            credentials = self._broker.netloc.rpartition("@")[0]
            yield urlunsplit(self._broker._replace(netloc=f"{credentials}@127.0.0.1:{port}"))
            if self._ends:
                await asyncio.wait(self._ends, timeout=PATIENCE_SECONDS)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ends.append(ended)
        there, back = await asyncio.open_connection(self._broker.hostname, self._broker.port)
        with suppress(OSError):
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        ended.set_result(None)

    async def _pass(self, reader: StreamReader, writer: StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            if self._marks.delivered is None and DELIVERED in chunk:
                self._marks.delivered = time.monotonic()
        writer.close()


@dataclass(slots=True)
class Found:
    """Collects the seconds of every round; `bare`: the mean of the trips before and after it."""

    to_wire: list[float] = field(default_factory=list)
    to_confirmed: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def above(self, seconds: Sequence[float]) -> list[float]:
        """Return how much longer each round took than the bare broker in the same second."""
        return [each - bare for each, bare in zip(seconds, self.bare, strict=True)]


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Publish one to five events at a time, and wait for their results."""
    rounds = 15 if quick else 400
    found = timed(rig, rounds)
    say(f"{rounds} rounds")
    return _figures(found)


def timed(rig: Rig, rounds: int, **more: str) -> Found:
    """Return the seconds of so many rounds of one process, with these settings."""
    with rig.vhost() as url:
        asyncio.run(events.fill(url, range(WARM_EVENTS)))
        return asyncio.run(_through_tap(rig, url, rounds, more))


async def _through_tap(rig: Rig, url: str, rounds: int, more: Mapping[str, str]) -> Found:
    marks = _Marks()
    window = {"IMPORTER_BATCH__WINDOW_SECONDS": str(WINDOW_SECONDS), **more}
    async with _Tap(url, marks).open() as tapped:
        with rig.consumer(SERVICE, tapped, **window) as consumer:
            return await _rounds(rig, consumer, url, marks, rounds)


async def _rounds(rig: Rig, consumer: Consumer, url: str, marks: _Marks, rounds: int) -> Found:
    found = Found()
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        await _until(lambda: _warm(channel), consumer)
        await _listen(channel, marks)
        intake = await channel.get_exchange(events.INTAKE, ensure=False)
        bare = await channel.declare_exchange("bench.bare", "fanout", durable=True)
        queue = await channel.declare_queue(
            "bench.bare", durable=True, arguments={"x-queue-type": "quorum"}
        )
        await queue.bind(bare)
        done = rig.portal.seen().imports
        for number in range(rounds):
            count = 1 + number % MOST
            before = await _publish(bare, 0, count)
            marks.clear()
            await _publish(intake, WARM_EVENTS + number * MOST, count)
            await _until(lambda: _all_in(marks, count), consumer)  # noqa: B023 - awaited here
            found.to_wire.append(-marks.first - WINDOW_SECONDS)
            found.to_confirmed.append(marks.results[-1])
            found.bare.append((before + await _publish(bare, 0, count)) / 2)
    calls = rig.portal.log()[done:]
    if len(calls) != rounds:
        raise RuntimeError(f"{len(calls)} calls for {rounds} rounds: a window closed too early")
    for position, (arrived, answered, _) in enumerate(calls):
        found.to_wire[position] += arrived
        found.to_confirmed[position] -= answered
    return found


async def _warm(channel: AbstractChannel) -> bool:
    queue = await channel.declare_queue(events.SUCCEEDED, passive=True)
    return queue.declaration_result.message_count == WARM_EVENTS


async def _all_in(marks: _Marks, count: int) -> bool:
    return len(marks.results) >= count


async def _until(done: Callable[[], Awaitable[bool]], consumer: Consumer) -> None:
    """Wait, looking rarely: whoever looks takes the processor from who is measured."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await done():
        if time.monotonic() > deadline or not consumer.alive:
            raise RuntimeError(f"no results:\n{consumer.process.tail()}")
        await asyncio.sleep(0.02)


async def _listen(channel: AbstractChannel, marks: _Marks) -> None:
    """Consume the results, noting only the time."""
    await (await channel.get_queue(events.SUCCEEDED, ensure=False)).purge()

    async def result(_: AbstractIncomingMessage) -> None:
        marks.results.append(time.monotonic())

    succeeded = await channel.get_queue(events.SUCCEEDED, ensure=False)
    await succeeded.consume(result, no_ack=True)


async def _publish(exchange: AbstractExchange, first: int, count: int) -> float:
    """Publish together; return the seconds until all are confirmed."""
    started = time.monotonic()
    await asyncio.gather(
        *(
            exchange.publish(events.message(number), events.ROUTING_KEY)
            for number in range(first, first + count)
        )
    )
    return time.monotonic() - started


def _figures(found: Found) -> list[Figure]:
    wire, confirmed = "window closed → request at the portal", "answer sent → all results in"
    rows = [
        (f"{name}, {share}", percentile(values, at), bar)
        for name, values, most in (
            ("bare broker round trip", found.bare, None),
            (wire, found.to_wire, None),
            (f"{wire}, above the bare trip", found.above(found.to_wire), 5.0),
            (confirmed, found.to_confirmed, None),
            (f"{confirmed}, above the bare trip", found.above(found.to_confirmed), 10.0),
        )
        for share, at, bar in (("p50", 0.5, None), ("p99", 0.99, most))
    ]
    return [_row(*each) for each in rows]


def _row(name: str, seconds: float, most: float | None = None) -> Figure:
    trip = None if most is None else at_most(most)
    return Figure(PART, name, seconds * MILLIS, "ms", SERVICE.command, trip)
