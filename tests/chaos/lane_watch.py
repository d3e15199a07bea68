"""Follows the events of closed lanes along the wire, and acts at a step of their way."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from tests.chaos.trial import PARKED, Trial, event
from tests.support.amqp import wait_until

LANE, OTHER_LANE = 128, 31
WAITS = "w"
"""What the ids of a lane's events begin with, so that they are known on the wire."""
Place = tuple[int, int, int]


class Step(StrEnum):
    """A frame on the way of an event into the queue of its lane, and out again."""

    COPY_SENT = "its copy is sent"
    COPY_CONFIRMED = "its copy is confirmed"
    LET_GO = "the original is acknowledged"
    TAKEN = "it is taken out of the lane's queue"
    ENDED = "what was taken is acknowledged"


class LaneWatch:
    """Knows which events lie in their lane's queue; made before the first one is published."""

    def __init__(self, trial: Trial) -> None:
        self.copied: set[str] = set()
        self.parked: set[str] = set()
        """Their copies are confirmed and their originals gone."""
        self.taken: set[str] = set()
        self._sent: dict[Place, str] = {}
        self._held: dict[Place, tuple[str, bool]] = {}
        self._at: tuple[Step, int, Callable[[], None]] | None = None
        trial.log.on_note = self._note

    def at(self, step: Step, number: int, act: Callable[[], None]) -> None:
        """Act once, at the n-th event that comes to a step, before the frame is passed on."""
        self._at = (step, number, act)

    async def reached(self) -> None:
        """Wait until that was done."""
        await wait_until(lambda: self._at is None, what=f"{self._at}")

    async def wait_copied(self, count: int) -> None:
        """Wait until the lane's queue has had so many events."""
        await wait_until(lambda: len(self.copied) >= count, what=f"{count} copies")

    async def wait_parked(self, count: int) -> None:
        """Wait until so many events were in the lane's queue and nowhere else."""
        await wait_until(lambda: len(self.parked) >= count, what=f"{count} parked events")

    def _note(self, line: Mapping[str, Any]) -> None:
        match line:
            case {"op": "send", "to": "parked", "event": name} if name.startswith(WAITS):
                self._sent[_place(line, "number")] = name
                self._step(Step.COPY_SENT)
            case {"op": "confirm"} if name := self._sent.pop(_place(line, "number"), ""):
                self.copied.add(name)
                self._step(Step.COPY_CONFIRMED)
            case {"op": "deliver", "event": name, "queue": queue} if name.startswith(WAITS):
                waited = queue.startswith(PARKED)
                self._held[_place(line, "tag")] = (name, waited)
                if waited:
                    self.taken.add(name)
                    self._step(Step.TAKEN)
            case {"op": "ack"} if held := self._held.pop(_place(line, "tag"), None):
                self._gone(*held)
            case _:
                pass

    def _gone(self, name: str, waited: bool) -> None:  # noqa: FBT001 - as it is kept
        if waited:
            self._step(Step.ENDED)
        elif name in self.copied:
            self.parked.add(name)
            self._step(Step.LET_GO)

    def _step(self, step: Step) -> None:
        if self._at is None or self._at[0] is not step:
            return
        _, left, act = self._at
        self._at = (step, left - 1, act) if left > 1 else None
        if left <= 1:
            act()


def deny(trial: Trial, *types: int) -> None:
    """Take away the right to import some types; those not named have it again."""
    trial.environment.portal.settings({"import_denied": [*types]})


async def begin(trial: Trial, **settings: str) -> LaneWatch:
    """Start a service before a portal that denies a type; what waits is watched from now on."""
    watch = LaneWatch(trial)
    deny(trial, LANE)
    await trial.start(**settings)
    return watch


def waiting(count: int, kind: int = LANE, *, first: int = 0) -> Sequence[Mapping[str, Any]]:
    """Return events of a lane."""
    return [event(f"{WAITS}{kind}-{number}", kind) for number in range(first, first + count)]


async def lane_is_closed(trial: Trial, kind: int = LANE) -> None:
    """Wait until a living service says that a lane is closed."""
    await wait_until(
        lambda: any(
            str(kind) in (each.probe("readyz")[1].get("lanes") or {})
            for each in trial.environment.survivors()
        ),
        what="a closed lane",
    )


def _place(line: Mapping[str, Any], number: str) -> Place:
    return line["line"], line["channel"], line[number]
