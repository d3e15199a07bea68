"""Does to one container what a kubelet does: start, probe, kill, restart, back off."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

import httpx

from tests.deploy.kubelet.spec import Probe, Spec
from tests.support.amqp import wait_until
from tests.support.patience import patient
from tests.support.processes import ServiceProcess

FOR_EVER = float("inf")
Event = Literal["Started", "Ready", "NotReady", "Unhealthy", "Killed", "Exited", "BackOff"]


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that happened to the container."""

    event: Event
    at: float
    why: str = ""


@dataclass(slots=True)
class Kubelet:
    """Keeps one container running; `history` tells what happened, as `kubectl describe` does."""

    container: ServiceProcess
    spec: Spec
    history: list[Seen] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Every single liveness probe that failed, also where the threshold was not reached."""
    ready: bool = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Kubelet"]:
        """Look after the container until the end of the block; then it is just left."""
        task = asyncio.create_task(self._keep(), name="kubelet")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def times(self, event: Event) -> list[float]:
        """Return when something happened."""
        return [seen.at for seen in self.history if seen.event == event]

    async def wait(self, event: Event, timeout: float, count: int = 1) -> float:
        """Wait until something has happened so many times; return when it last did."""
        await wait_until(
            lambda: len(self.times(event)) >= count, timeout, what=f"{event} in {self.history}"
        )
        return self.times(event)[-1]

    async def delete(self) -> tuple[int, float]:
        """Stop the container for good, as the deletion of its pod does: code and seconds."""
        started = time.monotonic()
        await self._kill(self.spec.grace)
        return self.container.process.wait(0), time.monotonic() - started

    # ---- the life of a container ----

    async def _keep(self) -> None:
        """Restart it for ever: at once the first time, then after longer and longer waits."""
        delay = 0.0
        while True:
            self.container.start()
            self._note("Started")
            grace = await self._tend()
            self._is_ready(now=False, why="the container ends")
            if grace is not None:
                await self._kill(grace)
                self._note("Killed")
            self.codes.append(self.container.process.wait(0))
            self._note("Exited", str(self.codes[-1]))
            if delay:
                self._note("BackOff", f"{delay:g} s")
            await asyncio.sleep(delay)
            delay = delay * 2 or self.spec.back_off

    async def _tend(self) -> float | None:
        """Return when it has ended, or the grace with which it must be killed."""
        ended = asyncio.create_task(wait_for_end(self.container))
        judged = asyncio.create_task(self._judge())
        try:
            await asyncio.wait({ended, judged}, return_when=asyncio.FIRST_COMPLETED)
            return None if ended.done() else await judged
        finally:
            for task in (ended, judged):
                task.cancel()
            await asyncio.gather(ended, judged, return_exceptions=True)

    async def _judge(self) -> float:
        """Probe it until it must be killed; return the grace it is given for that."""
        spec = self.spec
        async with httpx.AsyncClient(trust_env=False, verify=False) as http:  # noqa: S501 - plain HTTP
            probing = _Probing(http, self.container)
            if not await probing.starts(spec.startup):
                self._note("Unhealthy", "startup")
                return spec.grace
            ready = asyncio.create_task(probing.watch(spec.readiness, self._is_ready))
            try:
                await probing.fails(spec.liveness, self.refused.append)
            finally:
                ready.cancel()
        self._note("Unhealthy", "liveness")
        return spec.grace if spec.liveness.grace is None else spec.liveness.grace

    async def _kill(self, grace: float) -> None:
        """Ask first, wait, then do not ask."""
        self.container.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await wait_for_end(self.container)
        self.container.kill()

    def _is_ready(self, *, now: bool, why: str) -> None:
        if now != self.ready:
            self.ready = now
            self._note("Ready" if now else "NotReady", why)

    def _note(self, event: Event, why: str = "") -> None:
        self.history.append(Seen(event, time.monotonic(), why))


@dataclass(frozen=True, slots=True)
class _Probing:
    """Asks the container, each probe at its own pace."""

    http: httpx.AsyncClient
    container: ServiceProcess

    async def starts(self, probe: Probe) -> bool:
        """Tell whether it answers before it has failed too often."""
        for _ in range(probe.threshold):
            if await self._asked(probe) is None:
                return True
            await asyncio.sleep(probe.period)
        return False

    async def fails(self, probe: Probe, tell: Callable[[str], None]) -> None:
        """Return when it has failed too often in a row."""
        failures = 0
        while failures < probe.threshold:
            await asyncio.sleep(probe.period)
            why = await self._asked(probe)
            failures = failures + 1 if why else 0
            if why:
                tell(why)

    async def watch(self, probe: Probe, tell: Callable[..., None]) -> None:
        """Tell of every change; one success is enough, failures must be several in a row."""
        failures = 0
        while True:
            why = await self._asked(probe)
            failures = failures + 1 if why else 0
            if why is None:
                tell(now=True, why="")
            elif failures >= probe.threshold:
                tell(now=False, why=why)
            await asyncio.sleep(probe.period)

    async def _asked(self, probe: Probe) -> str | None:
        """Return why the probe fails, or nothing; the port is the one mapped to the pod's."""
        url = f"http://127.0.0.1:{self.container.port}{probe.path}"
        try:
            answer = await self.http.get(url, timeout=patient(probe.timeout))
        except httpx.TransportError as error:
            return type(error).__name__
        good = httpx.codes.OK <= answer.status_code < httpx.codes.BAD_REQUEST
        return None if good else f"{answer.status_code} {answer.text}"


async def wait_for_end(container: ServiceProcess) -> None:
    """Return when the process has ended."""
    await wait_until(lambda: not container.alive, FOR_EVER)
