"""Describes how a metric is declared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Labels = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Declared:
    """A metric as the operator reads it.

    `advice` is what to do when it moves; `labels` gives every known value, all start at 0.
    """

    name: str
    meaning: str
    advice: str
    labels: Labels = field(default_factory=dict)
    buckets: Sequence[float] = ()
