"""One importer under watch: its own portal, virtual host and scrape job in the common play."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.deploy.live.servers import Prometheus, WatchedNode
from tests.support.amqp import Upstream
from tests.support.certificates import Authority
from tests.support.commands import Commands
from tests.support.environment import Environment
from tests.support.patience import Deadline

TOLD_SECONDS = 60.0
PACE_SECONDS, LOOK_SECONDS = 0.4, 0.5
FIRING = 'ALERTS{alertstate="firing"}'


@dataclass(slots=True)
class Watch:
    """What all importers of the play share."""

    node: WatchedNode
    authority: Authority
    prometheus: Prometheus
    portals: dict[str, str] = field(default_factory=dict)
    """The address of each fault's portal, with its secret."""
    said: dict[str, str] = field(default_factory=dict)
    """What a command of the runbooks said amid a fault, and what an importer logged."""
    _known: tuple[float, list[dict[str, str]]] = (0.0, [])

    def fired(self) -> list[dict[str, str]]:
        """Return the labels of every alert that has fired so far, a second ago or later."""
        if time.monotonic() > self._known[0] + 1:
            self._known = (time.monotonic(), self._labels(f"max_over_time({FIRING}[1h])"))
        return self._known[1]

    def fires(self) -> list[dict[str, str]]:
        """Return the labels of every alert that fires now."""
        return self._labels(FIRING)

    def _labels(self, asked: str) -> list[dict[str, str]]:
        return [each["metric"] for each in self.prometheus.query(asked)]


@dataclass(frozen=True, slots=True)
class Watched:
    """One job of Prometheus; its virtual host has the same name."""

    watch: Watch
    fault: str
    job: str
    ports: Sequence[int]
    environment: Environment

    async def seen(self) -> None:
        """Wait until each process was scraped: what counts has to be known from its start."""
        asked = f'sum(importer_build_info{{job="{self.job}"}})'
        wanted = str(len(self.environment.survivors()))

        def scraped() -> bool:
            found = self.watch.prometheus.query(asked)
            return bool(found) and found[0]["value"][1] == wanted

        await _wait(scraped, lambda: f"no scrape of {self.job}")

    async def told(self, *names: str, job: str | None = None, **labels: str) -> None:
        """Wait until each of the alerts has fired; one about several jobs has none (empty)."""
        wanted = {"job": self.job if job is None else job, **labels}

        def missing() -> list[str]:
            return [name for name in names if not any_of(self.watch.fired(), name, wanted)]

        await _wait(lambda: not missing(), lambda: f"{missing()} did not fire")

    async def resolved(self, name: str, **labels: str) -> None:
        """Wait until an alert about this job is over."""
        wanted = {"job": self.job, **labels}
        await _wait(
            lambda: not any_of(self.watch.fires(), name, wanted), lambda: f"{name} still fires"
        )

    async def ask(self, *command: str, **settings: str) -> None:
        """Run a command as the runbooks tell an operator, and keep what it says."""
        own = self.environment.settings(**settings)
        done = await Commands(own["IMPORTER_RABBIT__URL"], own).run(*command)
        self.watch.said[f"{self.fault} {' '.join(command)}"] = done.out + done.err

    @asynccontextmanager
    async def traffic(
        self, made: Callable[[int], Sequence[Mapping[str, Any]]], **properties: Any
    ) -> AsyncIterator[list[int]]:
        """Publish what is made of a number, again and again; yield the numbers so far."""
        numbers: list[int] = []

        async def publish() -> None:
            node, vhost = self.environment.broker, self.environment.vhost
            async with Upstream(node.url(vhost)) as upstream:
                while True:
                    numbers.append(len(numbers))
                    events = made(numbers[-1])
                    await upstream.many(
                        [json.dumps(each).encode() for each in events], **properties
                    )
                    await asyncio.sleep(PACE_SECONDS)

        task = asyncio.create_task(publish(), name=f"traffic of {self.job}")
        try:
            yield numbers
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def any_of(alerts: Sequence[Mapping[str, str]], name: str, wanted: Mapping[str, str]) -> bool:
    """Tell whether one of the alerts has this name and these labels; an empty one is absent."""
    labels = {"alertname": name, **wanted}
    return any(
        all(each.get(label, "") == value for label, value in labels.items()) for each in alerts
    )


async def _wait(check: Callable[[], bool], words: Callable[[], str]) -> None:
    deadline = Deadline(TOLD_SECONDS)
    while not check():
        assert not deadline.passed, f"{words()} after {deadline}"
        await asyncio.sleep(LOOK_SECONDS)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that one importer meets, and how importer and portal are set for it."""

    act: Callable[[Watched], Awaitable[None]]
    settings: Mapping[str, str] = field(default_factory=dict)
    portal: Mapping[str, Any] = field(default_factory=dict)
    processes: int = 1


Faults: TypeAlias = Mapping[str, Fault]
