"""Combines acknowledgements: one frame for a run of messages that are all settled."""

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from aiormq import Channel

from service.rabbit.broken import ConnectionLost, broker_errors, unless_lost
from service.rabbit.writing import acknowledge
from service.telemetry.metrics import Metrics


class AckBatcher:
    """The delivery tags of one channel that await an answer, in order.

    What was acknowledged is sent by `flush`, in one write: one frame confirms all up to the first
    message that is still worked on, further ones are confirmed one by one.
    """

    def __init__(self, channel: Channel, metrics: Metrics) -> None:
        """Answer on a channel; answers that come too late for it are counted, not raised."""
        self._channel = channel
        self._stale = metrics.stale_acks
        self._open: dict[int, None] = {}
        self._acked: set[int] = set()
        self._flushing = False
        self._singly = 0

    @property
    def live(self) -> bool:
        """Whether the channel still takes answers; if not, the broker delivers again."""
        return not self._channel.is_closed

    def add(self, tag: int) -> None:
        """Note a message that was delivered."""
        behind = bool(self._open) and tag < next(reversed(self._open))
        self._open[tag] = None
        if behind:
            self._open = dict.fromkeys(sorted(self._open))

    @contextmanager
    def one_by_one(self) -> Iterator[None]:
        """Confirm nothing in runs meanwhile: a message that was asked for is added late.

        One that came after it may be settled first, and its run would take the other along.
        """
        self._singly += 1
        try:
            yield
        finally:
            self._singly -= 1

    def ack(self, tag: int) -> None:
        """Acknowledge a message with the next flush."""
        self._acked.add(tag)

    async def flush(self) -> None:
        """Send what was acknowledged; one at a time, so that no frame overtakes another."""
        if self._flushing:
            return
        self._flushing = True
        try:
            # Looked at here, so that nothing marked meanwhile is left to a flush that never comes.
            while self._acked:
                await self._send_acked()
        finally:
            self._flushing = False

    async def give_back(self, tag: int) -> None:
        """Return a message to its queue; until that is sent, no run goes past it."""
        nack = self._channel.basic_nack(tag, requeue=True, wait=False)
        try:
            await unless_lost(self._channel, self._send(nack, [tag]))
        except ConnectionLost:
            self._stale.inc()
            self._open.pop(tag, None)

    async def _send_acked(self) -> None:
        acked, self._acked = self._acked, set()
        run: list[int] = []
        for tag in self._open:
            if tag not in acked or self._singly:
                break
            run.append(tag)
        singly = sorted(acked.difference(run))
        frames = [(run[-1], len(run) > 1)] if run else []
        frames += [(tag, False) for tag in singly]
        try:
            await self._send(acknowledge(self._channel, frames), [*run, *singly])
        finally:
            # Interrupted acknowledgements go with the next flush; nothing else would send them.
            self._acked |= acked & self._open.keys()

    async def _send(self, answer: Coroutine[Any, Any, None], tags: list[int]) -> None:
        try:
            with broker_errors():
                await answer
        except ConnectionLost:
            self._stale.inc(len(tags))
        for tag in tags:
            self._open.pop(tag, None)
