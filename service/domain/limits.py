"""Gathers the bounds of the pipeline."""

from dataclasses import dataclass
from typing import NamedTuple

from service.domain.batching import BatchPolicy
from service.domain.circuit_breaker import PausePolicy
from service.domain.decisions import Rules


class Load(NamedTuple):
    """How busy the pipeline is: batches that have a slot, and claims that wait for one."""

    in_flight: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The pipeline's bounds; seconds where times.

    `hold`: longest time a delivery waits here; `call`: longest time a call takes; `remember`:
    ended events remembered; `ask`: the setting `LOOKUP`.
    """

    batch: BatchPolicy
    pause: PausePolicy
    rules: Rules
    slots: int
    prefetch: int
    hold: float
    remember: int
    deadline: float
    call: float
    ask: str
