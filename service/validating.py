"""Compares items with the portal's own description of its fields, before they are sent."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from service.domain.batching import Batch
from service.domain.claims import Claim
from service.domain.events import BatchKey
from service.domain.fields import Complaint, Field, Policy, complaints
from service.domain.outcomes import CallFailed, Failed, FailureKind
from service.domain.remembering import Remembered
from service.telemetry.metrics import Metrics

D = TypeVar("D")

FRESH_SECONDS = 600.0
"""Somebody adds a field to the portal, and upstream uses it: so long it may be called unknown."""
AGAIN_SECONDS = 60.0
MOST_KINDS = 64
WAIT_SECONDS = 5.0
"""A description that takes longer is not waited for: items go unjudged."""

log = logging.getLogger(__name__)


class Describing(Protocol):
    """What can be asked about the fields of a type."""

    async def fields(self, key: BatchKey) -> Mapping[str, Field]:
        """Return the fields by the names that events of the key use; raises CallFailed."""


@dataclass(slots=True)
class _Description:
    """The fields of a type as last told; asked for again after `until` (loop time)."""

    fields: Mapping[str, Field] | None
    until: float


class Validator(Generic[D]):
    """Says what of an item the portal would drop without a word; by policy, refuses the item.

    The description of a type is asked for once in ten minutes, never per batch; while it cannot
    be had, items go unjudged.
    """

    def __init__(
        self,
        *,
        portal: Describing,
        policy: Policy,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """Judge by what the portal describes."""
        self._portal = portal
        self._policy = policy
        self._metrics = metrics
        self._clock = clock
        self._described: Remembered[BatchKey, _Description] = Remembered(MOST_KINDS)
        self._asking: dict[BatchKey, asyncio.Future[None]] = {}

    async def refused(self, batch: Batch[D]) -> list[tuple[Claim[D], Failed]]:
        """Note the warnings of every claim; return those that may not be sent, with why."""
        fresh = [claim for claim in batch.claims if claim.known.warnings is None]
        known = await self._fields(batch.key) if fresh and self._policy != "off" else None
        if known is None:
            return []
        ended = []
        for claim in fresh:
            found = complaints(msgspec.json.decode(claim.event.fields), known)
            self._count(found)
            claim.known.warnings = tuple(map(str, found))
            if found and self._policy == "reject":
                ended.append((claim, _failed(claim.known.warnings)))
        return ended

    async def _fields(self, key: BatchKey) -> Mapping[str, Field] | None:
        """Return the fields of a type; asked for only where none are known, or they are old."""
        told = self._described.get(key)
        if told is None or told.until <= self._clock():
            await self._ask_once(key, told.fields if told is not None else None)
            told = self._described.get(key)
        return told.fields if told is not None else None

    async def _ask_once(self, key: BatchKey, old: Mapping[str, Field] | None) -> None:
        """Ask, or wait for whoever asks already."""
        asking = self._asking.get(key)
        if asking is not None:
            await asyncio.shield(asking)
            return
        asking = self._asking[key] = asyncio.get_running_loop().create_future()
        try:
            self._described.put(key, await self._ask(key, old))
        finally:
            del self._asking[key]
            asking.set_result(None)

    async def _ask(self, key: BatchKey, old: Mapping[str, Field] | None) -> _Description:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                fields = await self._portal.fields(key)
        except (CallFailed, TimeoutError) as error:
            code = error.fault.code if isinstance(error, CallFailed) else "no answer in time"
            extra = {"entity_type": key.entity_type_id, "code": code}
            log.warning("fields not described, items go unjudged", extra=extra)
            return _Description(old, self._clock() + AGAIN_SECONDS)
        return _Description(fields, self._clock() + FRESH_SECONDS)

    def _count(self, found: list[Complaint]) -> None:
        for each in found:
            self._metrics.field_complaints.labels(each.flaw).inc()


def _failed(warnings: tuple[str, ...]) -> Failed:
    text = "the portal would lose data without a word (VALIDATION=reject): " + "; ".join(warnings)
    return Failed(FailureKind.REJECTED, "VALIDATION_FAILED", text)
