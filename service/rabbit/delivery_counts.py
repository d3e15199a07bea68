"""Reads how often the broker has delivered a message before, by the rule of its version."""

from collections.abc import Mapping
from typing import Any, Final

COUNTS: Final = frozenset({"x-delivery-count", "x-acquired-count"})
"""Up to RabbitMQ 4.2 the first header counts every return. From 4.3 on the second counts every
return, and the first only deliveries that were lost with their channel or rejected."""


def deliveries_before(headers: Mapping[str, Any], *, redelivered: bool) -> int:
    """Return how often a message was delivered before, if its queue counts.

    Without the broker's flag the counts are none of this queue's: they came with the message.
    """
    return returns(headers) if redelivered else 0


def returns(headers: Mapping[str, Any]) -> int:
    """Return the larger of the broker's counts: how often it came back to its queue."""
    counts = (headers.get(name) for name in COUNTS)
    return max((count for count in counts if isinstance(count, int) and count > 0), default=0)
