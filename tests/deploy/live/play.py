"""Plays all faults at once, each on an importer of its own, under one Prometheus."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.deploy.live import broker_faults, portal_faults
from tests.deploy.live.monitoring import prometheus_config
from tests.deploy.live.servers import Prometheus, WatchedNode
from tests.deploy.live.shorter import shorter
from tests.deploy.live.watched import Fault, Faults, Watch, Watched
from tests.deploy.rules.rulebook import FILES
from tests.support.certificates import Authority
from tests.support.environment import Environment
from tests.support.ports import free_ports

AT_ONCE: Faults = {**portal_faults.FAULTS, **broker_faults.FAULTS}
EVERY: Faults = {**AT_ONCE, **broker_faults.LAST}
SCRAPE = "1s"
BETWEEN_SECONDS = 0.3
PATIENT: Mapping[str, str] = {
    "IMPORTER_RABBIT__HEARTBEAT_SECONDS": "15",
    "IMPORTER_BITRIX__TIMEOUT_SECONDS": "10",
    "IMPORTER_PAUSE__AFTER_SECONDS": "10",
}
"""So many processes at once make each of them slow: no fault but its own may strike it."""


@dataclass(frozen=True, slots=True)
class Played:
    """What was seen, what went wrong in which fault, and when it was; Prometheus' times."""

    watch: Watch
    errors: Mapping[str, str]
    start: float
    end: float


def job(name: str) -> str:
    """Return the scrape job of a fault's importer, which is its virtual host's name as well."""
    return f"importer-{name}"


@contextmanager
def play() -> Iterator[Played]:
    """Play everything; what a fault missed is told with its alerts."""
    authority = Authority()
    ports = {name: free_ports(fault.processes) for name, fault in EVERY.items()}
    jobs = {job(name): own for name, own in ports.items()}
    with ExitStack() as stack:
        node = WatchedNode(tls=authority)
        stack.callback(node.stop)
        node.start()
        for vhost in jobs:
            node.create_vhost(vhost)
        server = Prometheus(prometheus_config(jobs, node.exporter, SCRAPE))
        for path in FILES:
            server.write(path.name, shorter(path))
        watch = Watch(node, authority, stack.enter_context(server))
        start = time.time()
        errors = asyncio.run(_all(watch, ports))
        yield Played(watch, errors, start, time.time())


async def _all(watch: Watch, ports: Mapping[str, list[int]]) -> dict[str, str]:
    """Let every fault strike; return the errors by fault."""
    errors: dict[str, str] = {}

    async def one(at: Watched, fault: Fault) -> None:
        async with at.environment:
            try:
                await fault.act(at)
            except Exception as error:  # noqa: BLE001 - one fault must not end the others
                notes = getattr(error, "__notes__", ())
                errors[at.fault] = "\n".join([repr(error), *notes, at.environment.logs()[-3000:]])
            watch.said[f"{at.fault} log"] = at.environment.logs()

    for faults in (AT_ONCE, broker_faults.LAST):
        watched: list[tuple[Watched, Fault]] = []
        for name, fault in faults.items():
            own = {"IMPORTER_HTTP__PORT": str(ports[name][0]), **PATIENT, **fault.settings}
            environment = Environment(watch.node, job(name), settings=own, portal=fault.portal)
            # Waiting for a portal holds everything up: so all of them come before the first act.
            watch.portals[name] = environment.portal.start().webhook_url
            watched.append((Watched(watch, name, job(name), ports[name], environment), fault))
        async with asyncio.TaskGroup() as acts:
            for each in watched:
                acts.create_task(one(*each))
                # A start holds everything up for a moment; a connection bears only a few of them.
                await asyncio.sleep(BETWEEN_SECONDS)
    return errors
