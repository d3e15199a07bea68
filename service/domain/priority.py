"""Decides which events go first: those of higher priority, but none waits for ever."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Ranked(Protocol):
    """What has a priority, and came at a time (loop time)."""

    priority: int
    since: float
    size: int


R = TypeVar("R", bound=Ranked)
FIRST = 256
"""Above every priority that AMQP knows."""


def rank(claim: Ranked, now: float, longest: float) -> int:
    """Return the priority of a claim; the highest when it has waited for the longest time."""
    return FIRST if now - claim.since > longest else claim.priority


def order(claims: Sequence[R], now: float, longest: float) -> list[R]:
    """Return claims by priority; equal ones keep their order."""
    return sorted(claims, key=lambda each: -rank(each, now, longest))


def packed(claims: Sequence[R], *, room: int, max_bytes: int) -> list[list[R]]:
    """Cut claims, in their order, into lists of at most this many, and this many bytes."""
    lists: list[list[R]] = []
    size = 0
    for claim in claims:
        if not lists or len(lists[-1]) >= room or size + claim.size > max_bytes:
            lists.append([])
            size = 0
        lists[-1].append(claim)
        size += claim.size
    return lists
