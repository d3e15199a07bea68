"""The health port under a flood: probes answer, the work goes on, and descriptors are left."""

import asyncio
import resource
import socket
from collections import deque
from contextlib import suppress
from pathlib import Path

from tests.support.broker import Broker
from tests.support.environment import Environment, deals
from tests.support.patience import patient
from tests.support.processes import ServiceProcess
from tests.support.proxy import Proxy

FLOOD = 10_000
KEPT_OPEN = 400
DESCRIPTORS = 256
EVERY = 200
REQUESTS = (b"", b"GET /live", b"\x16\x03\x01\x02\x00", b"POST / HTTP/1.1\r\nHost: x\r\n", b"\r\n")


def flood(service: ServiceProcess) -> list[int]:
    """Open connections one after another, idle, slow and odd; return what probes were told."""
    told = []
    kept: deque[socket.socket] = deque()
    for number in range(FLOOD):
        if len(kept) >= KEPT_OPEN:
            kept.popleft().close()
        each = socket.create_connection(("127.0.0.1", service.port), timeout=patient(10))
        kept.append(each)
        with suppress(OSError):
            each.sendall(REQUESTS[number % len(REQUESTS)])
        if number % EVERY == 0:
            told.append(service.probe("livez")[0])
    for each in kept:
        each.close()
    return told


def threads(service: ServiceProcess) -> int:
    """Return how many threads a process has."""
    status = Path(f"/proc/{service.pid}/status").read_text()
    return int(status.partition("Threads:")[2].split()[0])


async def test_a_flood_of_connections_hinders_neither_probes_nor_work(
    broker: Broker, vhost: str
) -> None:
    """With few descriptors allowed, while the way to the broker is cut as well."""
    async with (
        Proxy(broker.url(vhost)) as proxy,
        Environment(broker, vhost, amqp_url=proxy.url) as environment,
    ):
        service = await environment.start_service()
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        before = threads(service)
        flooding = asyncio.create_task(asyncio.to_thread(flood, service))
        for number in range(3):
            await asyncio.sleep(1)
            proxy.cut()
            await environment.publish(deals(f"during-{number}"))
        told = await flooding
        assert {200} == set(told)
        await environment.settle([f"during-{number}" for number in range(3)])
        await asyncio.to_thread(service.wait_ready)
        assert before == threads(service)
        assert "Traceback" not in service.stderr()
        # Asking for an inner queue may meet two of the cuts: then it is left alone for a moment.
        errors = [each["event"] for each in service.logs(level="error")]
        assert [] == [each for each in errors if not each.startswith("inner queue broken")]


async def test_status_tells_what_happened(broker: Broker, vhost: str) -> None:
    """Who is active, what ended and how, how busy it is; no field value."""
    async with Environment(broker, vhost) as environment:
        service = environment.prepare_service()
        await asyncio.to_thread(service.until, lambda: service.probe("status")[0] == 200, "", 60)
        assert None is service.probe("status")[1]["active"]
        await asyncio.to_thread(service.wait_ready)
        await environment.publish([*deals("good"), b'{"entityTypeId": 2, "secret-looking'])
        await environment.settle(["good"])
        await asyncio.to_thread(
            service.until,
            lambda: sum(service.probe("status")[1]["outcomes"].values()) == 2,
            "/status to tell of both events",
            10,
        )
        document = service.probe("status")[1]
        assert (True, "flowing", None, []) == tuple(
            document[name] for name in ("active", "state", "reason", "lanes")
        )
        assert {"imported": 1, "malformed": 1} == {
            name: count for name, count in document["outcomes"].items() if count
        }
        assert {"NOT_JSON": 1} == document["codes"]
        assert {"good": "imported"}.items() <= {
            each["id"]: each["outcome"] for each in document["last"]
        }.items()
        assert 0 == document["held"]["total"] == document["slots"]["in_use"]
        assert document["item_cost_seconds"].keys() == {"2"}
        assert "title" not in service.get("status").text
