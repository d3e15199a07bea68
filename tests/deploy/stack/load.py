"""Publishes item events all the time, whatever happens to the broker meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aio_pika.exceptions import AMQPError

from tests.support.amqp import wait_until
from tests.support.environment import Environment, deals
from tests.support.patience import at_most

WAVE = 20
PAUSE_SECONDS = 0.25
PATIENCE_SECONDS = 10.0


@dataclass(slots=True)
class Load:
    """Counts what the broker has confirmed; a wave without a word is sent again, as it is."""

    environment: Environment
    name: str
    ids: list[str] = field(default_factory=list)

    async def grows(self, by: int, timeout: float = 60.0) -> None:
        """Wait until so many more have been published."""
        wanted = len(self.ids) + by
        await wait_until(lambda: len(self.ids) >= wanted, timeout, what="publishing")

    async def run(self) -> None:
        """Publish until cancelled, a wave at a time."""
        while True:
            wave = [f"{self.name}-{len(self.ids) + n}" for n in range(WAVE)]
            if await self._published(wave):
                self.ids += wave
            await asyncio.sleep(PAUSE_SECONDS)

    async def _published(self, wave: list[str]) -> bool:
        with suppress(AMQPError, OSError, TimeoutError):
            async with at_most(PATIENCE_SECONDS):
                await self.environment.publish(deals(*wave))
                return True
        return False


@asynccontextmanager
async def under_load(environment: Environment, name: str) -> AsyncIterator[Load]:
    """Publish during the block; afterwards everything published counts."""
    load = Load(environment, name)
    task = asyncio.create_task(load.run(), name="load")
    try:
        yield load
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
