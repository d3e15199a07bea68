"""Holds what is known of the claims that leave in one call, and every way in which that changes.

A `Batch` is a value, as `History` is (`domain/history.py`): each method returns the next one.

=================  ==========================  ===================================================
transition         who may make it             when
=================  ==========================  ===================================================
`part`, `only`     whoever has the batch       only some of its claims go on together
`due_at`           whoever has the batch       it is to leave at another time
`refused`          domain/decisions            a call with it was refused before execution
`look_up_failed`   domain/decisions            it could not be looked up
`broke`            domain/decisions            a call with it broke: its claims are in doubt
`waits_for_proof`  domain/decisions            a look-up of it proved nothing
`ask_no_more`      domain/decisions            all its claims may be sent
`to_fill_up`       importer/link_resolution    some of its claims wait for other items
=================  ==========================  ===================================================

While it waits, `domain/batching.py` has it, adds claims, and closes it.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from service.domain.claim import Claim
from service.domain.events import BatchKey
from service.domain.outcomes import Fault


class ClosedBy(StrEnum):
    """Why a batch left (label of `importer_batches_total`)."""

    SIZE = "size"
    WINDOW = "window"
    BYTES = "bytes"
    PRESSURE = "pressure"
    DRAIN = "drain"


class Batch(NamedTuple):
    """Claims of one key that leave in one call, in their order. A value: it never changes.

    `due` is the loop time from which it may leave. `tries` counts calls that were refused
    before execution, `failed_look_ups` those that failed; `fault` is the whole-call failure after
    which its claims are in doubt, `some_found` that others of that call are in the CRM;
    `waits_since`: when its claims were last asked for, if they wait for a proof; `gathered`: its
    claims came one by one and were not tried yet, so that they may leave with others as well;
    `refilled`: it was taken once, and some of its claims had to wait: others take their places.
    """

    key: BatchKey
    claims: tuple[Claim, ...]
    opened_at: float
    due: float
    closed_by: ClosedBy | None = None
    tries: int = 0
    failed_look_ups: int = 0
    fault: Fault | None = None
    some_found: bool = False
    waits_since: float | None = None
    gathered: bool = False
    refilled: bool = False

    @property
    def size(self) -> int:
        """The bytes of its messages."""
        return sum([claim.size for claim in self.claims])

    @property
    def suspected(self) -> bool:
        """Whether one of its claims was part of a call that broke or was refused whole."""
        return any(claim.known.first_failed_at is not None for claim in self.claims)

    def part(self, claims: Iterable[Claim], due: float) -> "Batch":
        """Return a fresh batch of some of its claims, as old as this one."""
        return Batch(self.key, tuple(claims), self.opened_at, due, self.closed_by)

    def only(self, claims: Iterable[Claim]) -> "Batch":
        """Return it with some of its claims; what happened to it still counts."""
        return self._replace(claims=tuple(claims))

    def due_at(self, due: float) -> "Batch":
        """Return it, to leave at another time."""
        return self._replace(due=due)

    def refused(self, due: float) -> "Batch":
        """Note a call that was refused before execution."""
        return self._replace(tries=self.tries + 1, due=due)

    def look_up_failed(self) -> "Batch":
        """Note a look-up that failed."""
        return self._replace(failed_look_ups=self.failed_look_ups + 1)

    def broke(self, fault: Fault, due: float, *, some_found: bool = False) -> "Batch":
        """Note the call after which its claims are in doubt; `some_found`: see above."""
        return self._replace(fault=fault, due=due, some_found=some_found)

    def waits_for_proof(self, since: float, due: float) -> "Batch":
        """Note a look-up that proved nothing."""
        return self._replace(waits_since=since, due=due)

    def ask_no_more(self) -> "Batch":
        """Return it, to be sent: its claims wait for a proof no longer."""
        return self._replace(waits_since=None)

    def to_fill_up(self) -> "Batch":
        """Let others take the places of claims that wait for the items they refer to."""
        return self._replace(gathered=True, refilled=True)
