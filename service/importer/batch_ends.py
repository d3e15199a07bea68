"""Tells the circuit breaker how the events of a batch ended."""

from typing import TypeVar

from service.domain.batching import Batch
from service.domain.circuit_breaker import CircuitBreaker
from service.domain.decisions import Decision
from service.domain.outcomes import Failed, FailureKind, Imported
from service.importer.field_check import VALIDATION_FAILED
from service.importer.link_failures import CODES as LINK_CODES

D = TypeVar("D")


def tell(breaker: CircuitBreaker, batch: Batch[D], decision: Decision[D], now: float) -> None:
    """Note what was accepted and refused; what failed for want of a link was no answer."""
    ends = [outcome for _, outcome in decision.ended]
    done = [end for end in ends if isinstance(end, Imported)]
    failed = [e for e in ends if isinstance(e, Failed) and e.kind is FailureKind.REJECTED]
    refused = [each for each in failed if each.code not in LINK_CODES]
    judged = sum(each.code == VALIDATION_FAILED for each in refused)
    breaker.ended(
        sum(not end.reconciled for end in done),
        len(refused) - judged,
        now,
        entity_type_id=batch.key.entity_type_id,
        found=sum(end.reconciled and not end.duplicate for end in done),
        judged=judged,
    )
