"""Compares items with the portal's own description of its fields, before they are sent."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import jiter

from service.domain.batch import Batch
from service.domain.claim import Claim
from service.domain.events import BatchKey, ItemEvent
from service.domain.fields import Complaint, Field, Policy, complaints, sentences
from service.domain.outcomes import CallFailed, Failed, FailureKind
from service.telemetry.metrics import Metrics

VALIDATION_FAILED = "VALIDATION_FAILED"
FRESH_SECONDS = 600.0
"""A field that was just added to the portal may be called unknown for this time."""
AGAIN_SECONDS = 60.0
MAX_KINDS = 256
"""Types (and spellings) checked at once; more are not checked, to limit the questions."""
MAX_PARTS = 300_000
"""Fields and choices remembered of all types together; each takes a hundred bytes."""
WAIT_SECONDS = 5.0
"""A description that takes longer is not waited for: items go unjudged."""

log = logging.getLogger(__name__)


class Describing(Protocol):
    """What can be asked about the fields of a type."""

    async def fields(self, key: BatchKey) -> Mapping[str, Field]:
        """Return the fields by the names that events of the key use; raises CallFailed."""


@dataclass(slots=True)
class _Description:
    """The fields of a type as last received; asked for again after `until` (loop time)."""

    fields: Mapping[str, Field] | None
    until: float


class Validator:
    """Says what of an item the portal would drop without a word; by policy, refuses the item.

    The description of a type is asked for once in ten minutes, never per batch; while it cannot
    be had, items go unjudged. A portal that does not answer is waited for once a minute at most,
    whatever the number of types.
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
        self._described: dict[BatchKey, _Description] = {}
        self._asking: dict[BatchKey, asyncio.Future[None]] = {}
        self._silent_until = float("-inf")

    async def look(self, batch: Batch) -> None:
        """Note the warnings of every claim, if the fields of its type are known."""
        fresh = [claim for claim in batch.claims if claim.known.warnings is None]
        known = await self._fields(batch.key) if fresh and self._policy != "off" else None
        if known is None:
            return
        for claim in fresh:
            fields = read_item(claim.event)
            found = complaints(fields, known, original_names=batch.key.original_names)
            self._count(found)
            claim.known = claim.known.warned(sentences(found))

    def refused(self, batch: Batch) -> list[tuple[Claim, Failed]]:
        """Return the claims that may not be sent, with why."""
        if self._policy != "reject":
            return []
        return [(c, validation_failed(c.known.warnings)) for c in batch.claims if c.known.warnings]

    async def _fields(self, key: BatchKey) -> Mapping[str, Field] | None:
        """Return the fields of a type; asked for only where none are known, or they are old."""
        told = self._described.get(key)
        if (told is None or told.until <= self._clock()) and self._may_ask(key):
            await self._ask_once(key, told.fields if told is not None else None)
            told = self._described.get(key)
        return told.fields if told is not None else None

    def _may_ask(self, key: BatchKey) -> bool:
        """Tell whether asking is worth a wait, and whether there is room for the answer."""
        now = self._clock()
        if now < self._silent_until:
            return False
        if key not in self._described and len(self._described) >= MAX_KINDS:
            fresh = {k: told for k, told in self._described.items() if told.until > now}
            self._described = fresh
        return key in self._described or len(self._described) < MAX_KINDS

    async def _ask_once(self, key: BatchKey, old: Mapping[str, Field] | None) -> None:
        """Ask, or wait for a question in flight; use an old answer if there is one."""
        asking = self._asking.get(key)
        if asking is not None:
            if old is None:
                await asyncio.shield(asking)
            return
        asking = self._asking[key] = asyncio.get_running_loop().create_future()
        try:
            self._described[key] = await self._ask(key, old)
            self._forget_largest()
        finally:
            del self._asking[key]
            asking.set_result(None)

    def _forget_largest(self) -> None:
        """Leave types unjudged for a while whose descriptions take too much memory together."""
        sizes = {key: _size(told) for key, told in self._described.items()}
        while sum(sizes.values()) > MAX_PARTS:
            key = max(sizes, key=lambda each: sizes[each])
            self._described[key].fields, sizes[key] = None, 0

    async def _ask(self, key: BatchKey, old: Mapping[str, Field] | None) -> _Description:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                fields = await self._portal.fields(key)
        except (CallFailed, TimeoutError) as error:
            again = self._clock() + AGAIN_SECONDS
            code = "no answer in time"
            if isinstance(error, CallFailed):
                code = error.fault.code
            if not isinstance(error, CallFailed) or not error.fault.answered:
                self._silent_until = again
            extra = {"entity_type": key.entity_type_id, "code": code}
            log.warning("field list could not be read, values are not checked", extra=extra)
            return _Description(old, again)
        return _Description(fields, self._clock() + FRESH_SECONDS)

    def _count(self, found: list[Complaint]) -> None:
        for each in found:
            self._metrics.field_complaints.labels(each.flaw).inc()


def _size(told: _Description) -> int:
    fields = told.fields or {}
    return len(fields) + sum(len(each.choices or ()) for each in fields.values())


def read_item(event: ItemEvent) -> Mapping[str, object]:
    """Return the fields of an event as they will be sent; links have become some number."""
    fields = _read(bytes(event.fields))
    if not event.links:
        return fields
    links = {name: [1] if isinstance(each, tuple) else 1 for name, each in event.links.items()}
    return {**fields, **links}


def _read(fields: bytes) -> Mapping[str, object]:
    """Return the fields with every digit of their numbers."""
    read: Mapping[str, object]
    try:
        read = jiter.from_json(fields, float_mode="decimal")
    except ValueError:
        # An exponent beyond all bounds is no decimal number; as a float it is infinite, or 0.
        read = jiter.from_json(fields)
    return read


def validation_failed(warnings: Sequence[str]) -> Failed:
    """Return how an item ends that may not be sent for what the portal would lose of it."""
    text = "; ".join(warnings)
    told = f"the portal would lose data silently (VALIDATION=reject): {text}"
    return Failed(FailureKind.REJECTED, VALIDATION_FAILED, told)
