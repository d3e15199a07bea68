"""Publishes settlements and tells, for each, whether the broker has confirmed it."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic as _now
from typing import NamedTuple

from aiormq import Channel

from service.domain.delivery import Settlement
from service.domain.refusals import Refusals
from service.rabbit.blockage import Blockage
from service.rabbit.confirms import BodyLimit, PublishResult, published, result_of, spared
from service.rabbit.connection import Connection, ConnectionLost, Late, unless_lost
from service.rabbit.encoding import Encoder, Outgoing
from service.rabbit.writing import frames, written
from service.telemetry.labels import PUBLISH_RESULTS, TARGETS
from service.telemetry.metrics import Metrics

CONFIRM_SECONDS = 15.0
LOOK_SECONDS = 1.0
"""How often we check whether the broker blocks us."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Pending:
    """A publish without an answer yet."""

    message: Outgoing
    since: float
    late: bool = False
    gone: asyncio.Event | None = None

    @property
    def unique(self) -> str:
        return self.message.properties.message_id or ""


class _Ready(NamedTuple):
    """A publish that goes together with others: its place among them all, and its frames."""

    place: int
    pending: _Pending
    payload: bytes


class Publisher:
    """Results and dead letters out: persistent, mandatory, confirmed.

    Makes one try and never raises for trouble of the broker; who calls tries again.
    Repeats carry the same ids, so consumers of results that drop repeated ids see one.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        encoder: Encoder,
        metrics: Metrics,
        repair: Callable[[], Awaitable[None]],
        queues: Mapping[str, str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Publish over the connection what the writer writes; `repair` mends missing queues.

        `queues` names the queue in which each target ends.
        """
        self.blockage = Blockage(queues, metrics)
        self._connection = connection
        self._encoder = encoder
        self._repair = repair
        self._now = now
        self._limit = BodyLimit()
        self._in_flight: dict[str, _Pending] = {}
        self._refusals: defaultdict[str, Refusals] = defaultdict(Refusals)
        self._published = {
            (target, result): metrics.published.labels(target, result)
            for target in TARGETS
            for result in PUBLISH_RESULTS
        }
        self._confirm_seconds = {
            target: metrics.confirm_seconds.labels(target) for target in TARGETS
        }

    async def ready(self) -> None:
        """Return when there is a connection to publish on."""
        await self._connection.channel()

    async def results(self, settlements: Sequence[Settlement]) -> list[bool | Exception]:
        """Publish result events; return for each whether it is confirmed as routed.

        Waits while there is no connection. A bug in writing one is returned in its place.
        """
        return await self._try(settlements, self._encoder.result)

    async def dead_letters(self, settlements: Sequence[Settlement]) -> list[bool | Exception]:
        """Publish the originals of failed events, as `results` does."""
        return await self._try(settlements, self._encoder.dead_letter)

    async def parked(self, messages: Sequence[Outgoing]) -> list[PublishResult | Exception]:
        """Publish copies for inner queues, one try; return what the broker made of each.

        Waits for no connection. A bug in writing one is returned in its place.
        """
        results: list[PublishResult | Exception] = [PublishResult.LOST] * len(messages)
        if self._connection.is_up:
            channel = await self._connection.channel()
            with suppress(ConnectionLost):
                await unless_lost(channel, self._all(channel, messages, results))
        return results

    async def _try(
        self, settlements: Sequence[Settlement], write: Callable[[Settlement, datetime], Outgoing]
    ) -> list[bool | Exception]:
        channel = await self._connection.channel()
        now = self._now()
        flat = [_written(write, settlement, now) for settlement in settlements]
        results: list[PublishResult | Exception] = [PublishResult.LOST] * len(flat)
        with suppress(ConnectionLost):
            await unless_lost(channel, self._all(channel, flat, results))
        failures = [
            result
            for result in results
            if isinstance(result, PublishResult) and result != PublishResult.CONFIRMED
        ]
        await self._complain(Counter(failures))
        return [
            result if isinstance(result, Exception) else result is PublishResult.CONFIRMED
            for result in results
        ]

    async def _complain(self, failures: Counter[PublishResult]) -> None:
        """Log what was not confirmed, and mend the topology when a queue was missing."""
        if not failures:
            return
        told = {str(result): count for result, count in failures.items()}
        # `blockage` logs lasting trouble, once for each change.
        log.debug("publishes not confirmed, trying again", extra=told)
        if failures[PublishResult.RETURNED]:
            with suppress(ConnectionLost):
                await self._repair()

    async def watch(self, every: float) -> None:
        """Look, for ever, for publishes that wait too long for their confirm.

        A blocked connection (memory or disk alarm) is waited for; a silent one is made again.
        """
        while True:
            await asyncio.sleep(min(every, LOOK_SECONDS))
            blocked = await self._is_blocked()
            self.blockage.look(blocked=blocked, now=_now())
            oldest = min((each.since for each in self._in_flight.values()), default=None)
            if oldest is None or _now() - oldest < CONFIRM_SECONDS * self._connection.patience:
                continue
            late = [each for each in self._in_flight.values() if not each.late]
            for each in late:
                each.late = True
                self._published[each.message.target, "timeout"].inc()
            if not blocked:
                self._connection.fail(Late("a publish was not confirmed in time"))

    async def _is_blocked(self) -> bool:
        try:
            return await self._connection.blocked()
        except ConnectionLost:
            return False

    async def _all(
        self,
        channel: Channel,
        flat: Sequence[Outgoing | Exception],
        results: list[PublishResult | Exception],
    ) -> None:
        """Publish messages at once and write down what the broker says of each."""

        async def alone(place: int, message: Outgoing) -> None:
            results[place] = await self._one(channel, message)

        ready: list[_Ready] = []
        async with asyncio.TaskGroup() as others:
            try:
                for place, message in enumerate(flat):
                    if isinstance(message, Exception):
                        results[place] = message
                    elif payload := self._payload(channel, message):
                        ready.append(_Ready(place, self._begin(message), payload))
                    else:
                        others.create_task(alone(place, message))
                if ready:
                    await self._together(channel, ready, results)
            finally:
                for each in ready:
                    self._end(each.pending)

    def _payload(self, channel: Channel, message: Outgoing) -> bytes | None:
        """Return the frames of a message that may go together with others."""
        twin = message.properties.message_id in self._in_flight
        return frames(channel, message) if not twin and self._limit.admits(message.body) else None

    async def _together(
        self,
        channel: Channel,
        ready: Sequence[_Ready],
        results: list[PublishResult | Exception],
    ) -> None:
        """Publish messages in one write; their answers come one by one."""
        payloads = {each.pending.unique: each.payload for each in ready}
        try:
            async with written(channel, payloads) as answers:
                for each, answer in zip(ready, answers, strict=True):
                    results[each.place] = await self._told(channel, each.pending, answer)
        except ConnectionLost:
            for each in ready:
                self._count(each.pending, PublishResult.LOST)

    async def _one(self, channel: Channel, message: Outgoing) -> PublishResult | Exception:
        """Publish one message and return what the broker said of it, or the bug that it met."""
        unique = message.properties.message_id or ""
        while twin := self._in_flight.get(unique):
            # Two publishes of one id in flight would take each other's answers.
            twin.gone = twin.gone or asyncio.Event()
            await twin.gone.wait()
        pending = self._begin(message)
        try:
            return await self._told(channel, pending, None)
        finally:
            self._end(pending)

    def _begin(self, message: Outgoing) -> _Pending:
        pending = _Pending(message, _now())
        self._in_flight[pending.unique] = pending
        return pending

    def _end(self, pending: _Pending) -> None:
        del self._in_flight[pending.unique]
        if pending.gone is not None:
            pending.gone.set()

    async def _told(
        self, channel: Channel, pending: _Pending, answer: Awaitable[object] | None
    ) -> PublishResult | Exception:
        """Return what the broker says of a message; without an answer to wait for, publish it."""
        message = pending.message
        try:
            if answer is None:
                result = await published(channel, message, self._limit)
            else:
                result = await result_of(answer, message.body, self._limit)
            if result is PublishResult.UNWRITABLE:
                result = await published(channel, spared(message, self._limit), self._limit)
            self._count(pending, result)
        except Exception as error:  # noqa: BLE001 - handed to the caller; the others go on
            return error
        return result

    def _count(self, pending: _Pending, result: PublishResult) -> None:
        """Note what became of a publish; a queue that refuses everything is asked anew."""
        message, now = pending.message, _now()
        self._published[message.target, result].inc()
        self.blockage.answered(message.target, result, now)
        # Each inner queue refuses for itself.
        refusals = self._refusals[
            message.routing_key if message.exchange == "" else message.target
        ]
        if result is PublishResult.CONFIRMED:
            self._confirm_seconds[message.target].observe(now - pending.since)
            refusals.confirmed()
        elif result is PublishResult.NACKED and refusals.refused(now):
            self._connection.fail(
                ConnectionLost(
                    f"a queue refuses every publish ({message.target}): asked over a new one"
                )
            )


def _written(
    write: Callable[[Settlement, datetime], Outgoing], settlement: Settlement, now: datetime
) -> Outgoing | Exception:
    try:
        return write(settlement, now)
    except Exception as error:  # noqa: BLE001 - a bug that one message strikes costs no other
        return error
