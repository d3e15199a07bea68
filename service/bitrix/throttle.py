"""Waits, in order of arrival, until the portal's limits let the next call leave."""

import asyncio

from service.domain.pacing import LeakyBucket
from service.telemetry.metrics import Metrics


class Throttle:
    """The one gate that every call to the portal passes."""

    def __init__(self, bucket: LeakyBucket, metrics: Metrics) -> None:
        """Pace by the portal's request bucket."""
        self._bucket = bucket
        self._wait = metrics.pacer_wait.labels("bucket")
        self._turn = asyncio.Lock()

    async def pass_(self) -> None:
        """Return when a call may leave; callers pass one after another."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            while (wait := self._bucket.wait(loop.time())) > 0:
                self._wait.inc(wait)
                await asyncio.sleep(wait)
            self._bucket.take(loop.time())

    def refused(self) -> None:
        """Note that the portal found its bucket full."""
        self._bucket.refused(asyncio.get_running_loop().time())
