"""Holds the parts of a measurement: broker, instant portal, and one consumer at a time."""

import asyncio
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aio_pika
import httpx
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from tests.benchmarks import events, stub
from tests.benchmarks.contestants import PEERS_PYTHON, Contestant
from tests.benchmarks.gauges import cpu_seconds
from tests.support.broker import Broker, BrokerError
from tests.support.ports import free_port
from tests.support.processes import Program

TICK_SECONDS = 0.01
REST_SECONDS = 0.25
MAX_SECONDS = 120.0
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """How far the portal is."""

    items: int
    imports: int
    others: int


class StubPortal(Program):
    """The instant portal as a process of its own."""

    def __init__(self) -> None:
        handle, name = tempfile.mkstemp(prefix="crm-importer-progress-")
        os.close(handle)
        self._progress = Path(name)
        super().__init__("tests.benchmarks.stub", name)

    @property
    def url(self) -> str:
        """Return its address."""
        return self.stdout().rpartition("listening ")[2].split()[0]

    @property
    def webhook_url(self) -> str:
        """Return the webhook; any is good."""
        return f"{self.url}rest/1/bench-secret/"

    def wait_ready(self) -> None:
        """Wait until it listens."""
        self.until(lambda: "listening " in self.stdout(), "its address", 30.0)

    def seen(self) -> Seen:
        """Return how far it is, without asking it."""
        return Seen(*stub.WORDS.unpack(self._progress.read_bytes()))

    def log(self) -> list[tuple[float, float, int]]:
        """Return (arrival, answer, items) of every import call so far; monotonic seconds."""
        found: list[tuple[float, float, int]] = httpx.get(f"{self.url}control/calls").json()
        return found

    def hold(self) -> None:
        """Let it answer nobody."""
        self.process.signal(signal.SIGUSR1)

    def release(self) -> None:
        """Let it answer again."""
        self.process.signal(signal.SIGUSR2)

    def close(self) -> None:
        """Kill it, and remove its file."""
        super().close()
        self._progress.unlink(missing_ok=True)


class Consumer(Program):
    """Whoever is measured: one fresh process, its log lines thrown away."""

    def __init__(
        self, module: str, *args: str, env: Mapping[str, str], python: str = sys.executable
    ) -> None:
        super().__init__(module, *args, env=env)
        self.name = module
        self.started = 0.0
        quiet = ["/bin/sh", "-c", 'exec "$0" "$@" 2>/dev/null']
        self._command = [*quiet, python, "-m", module, *args]

    @property
    def url(self) -> str:
        """Return the root of its HTTP port, where it has one."""
        return f"http://127.0.0.1:{self._env['IMPORTER_HTTP__PORT']}/"

    @property
    def ready(self) -> bool:
        """Tell whether /readyz says so."""
        try:
            return self.get("readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def wait_ready(self) -> float:
        """Wait until /readyz says so; return the seconds since it was started."""
        deadline = time.monotonic() + START_SECONDS
        while not self.ready:
            if not self.alive or time.monotonic() > deadline:
                raise RuntimeError(f"not ready:\n{self.process.tail()}")
            time.sleep(TICK_SECONDS)
        return time.monotonic() - self.started

    def start(self) -> Self:
        """Start it, and note when."""
        self.started = time.monotonic()
        return super().start()


@dataclass(frozen=True, slots=True)
class Run:
    """What one run has used, warm-up left out."""

    events: int
    seconds: float
    cpu: float
    other_calls: int

    @property
    def rate(self) -> float:
        """Return events per second."""
        return self.events / self.seconds

    @property
    def micros(self) -> float:
        """Return microseconds of CPU per event."""
        return self.cpu / self.events * 1e6


class Rig:
    """A broker and an instant portal; every run gets a virtual host of its own."""

    def __init__(self, broker: Broker, portal: StubPortal) -> None:
        """Use parts that run already."""
        self.broker = broker
        self.portal = portal

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """Lend an empty virtual host; yields its AMQP address."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        self.broker.create_vhost(name)
        try:
            yield self.broker.url(name)
        finally:
            # With 200,000 messages a deletion may take longer than the broker's own patience.
            with suppress(BrokerError, httpx.TimeoutException):
                self.broker.delete_vhost(name)

    def consumer(self, who: Contestant, url: str, **more: str) -> Consumer:
        """Return a contestant's process, to be started."""
        env = {
            "IMPORTER_RABBIT__URL": url,
            "IMPORTER_BITRIX__WEBHOOK_URL": self.portal.webhook_url,
            **(who.settings or {}),
            **more,
        }
        if who.module == "service":
            env |= {"IMPORTER_HTTP__HOST": "127.0.0.1", "IMPORTER_HTTP__PORT": str(free_port())}
        python = str(PEERS_PYTHON) if who.peer else sys.executable
        return Consumer(who.module, *who.args, env=env, python=python)

    def run(self, who: Contestant, count: int, warm: int) -> Run:
        """Let a contestant work off a filled queue; measure from `warm` items on to the end."""
        with self.vhost() as url:
            asyncio.run(events.fill(url, range(count), who.encode))
            before = self.portal.seen()
            with self.consumer(who, url) as consumer:
                return asyncio.run(self._watch(consumer, url, before, count, warm))

    async def _watch(
        self, consumer: Consumer, url: str, before: Seen, count: int, warm: int
    ) -> Run:
        """Follow a run from the outside: the portal's count first, then the results' queue."""
        connection = await aio_pika.connect(url)
        async with connection, connection.channel() as channel:
            deadline = time.monotonic() + MAX_SECONDS
            while (done := self.portal.seen().items - before.items) < warm:
                await _tick(consumer, deadline)
            started, cpu = time.monotonic(), cpu_seconds(consumer.pid)
            while self.portal.seen().items - before.items < count:
                await _tick(consumer, deadline)
            while await ready(channel, events.SUCCEEDED) < count:
                await _tick(consumer, deadline)
            ended = time.monotonic()
            await asyncio.sleep(REST_SECONDS)
            used = cpu_seconds(consumer.pid) - cpu
            others = self.portal.seen().others - before.others
            return Run(count - done, ended - started, used, others)


async def ready(channel: AbstractChannel, name: str) -> int:
    """Return how many messages a queue holds ready."""
    queue = await channel.declare_queue(name, passive=True)
    return queue.declaration_result.message_count or 0


async def depth(connection: AbstractConnection, name: str) -> int:
    """Return how many messages a queue holds ready, 0 if it is not there.

    On a channel of its own: asking for a queue that is not there ends the channel.
    """
    try:
        async with connection.channel() as channel:
            return await ready(channel, name)
    except ChannelNotFoundEntity:
        return 0


async def _tick(consumer: Consumer, deadline: float) -> None:
    if not consumer.alive or time.monotonic() > deadline:
        raise RuntimeError(f"{consumer.name} did not finish:\n{consumer.process.tail()}")
    await asyncio.sleep(TICK_SECONDS)


@contextmanager
def open_rig(broker: Broker) -> Iterator[Rig]:
    """Start the instant portal beside a broker."""
    with StubPortal() as portal:
        portal.wait_ready()
        yield Rig(broker, portal)
