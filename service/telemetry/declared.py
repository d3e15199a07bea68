"""Describes how a metric is declared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

Labels = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Declared:
    """A metric as the operator reads it.

    `advice` is what to do when it moves; `labels` gives every known value. All combinations
    start at 0, or only those of `sets`, where not every one can be: an empty one starts none.
    """

    name: str
    meaning: str
    advice: str
    labels: Labels = field(default_factory=dict)
    buckets: Sequence[float] = ()
    sets: Sequence[Sequence[str]] = ()

    def starts(self) -> list[tuple[str, ...]]:
        """Return the label sets that start at 0."""
        combined = self.sets or product(*self.labels.values())
        return [tuple(map(str, values)) for values in combined if values or not self.labels]
