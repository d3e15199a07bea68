"""Decides for each entity type whether its events may leave: one circuit breaker a type, a lane.

    OPEN ──close──▶ CLOSED ──its interval is over──▶ TRIAL ──an item is accepted──▶ OPEN
                      ▲                                 │
                      └──────────refused again──────────┘   (the interval doubles, up to its cap)

A closed lane's events wait elsewhere and take neither prefetch nor slots; a lane on trial has one
call in flight at most. Lanes know nothing of each other, and none of them ever pauses the intake:
whether the portal itself is shut is told by a probe, and decided in `pausing`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.circuit_breaker import PausePolicy
from service.domain.events import Identity
from service.domain.outcomes import PauseReason

MAX_IDENTITIES = 8
"""Different items that were refused alone; two are enough to tell."""
BROKEN_CALLS = 3
"""So many calls of a lane must break in a row, while others pass, before it closes."""


class LaneState(StrEnum):
    """Whether events of a type may leave."""

    OPEN = "open"
    CLOSED = "closed"
    """They wait, until the time of the next try."""
    TRIAL = "trial"
    """One batch may leave; what becomes of it decides."""


class Refusal(StrEnum):
    """What follows for an item that was refused alone, by a code that may be its own fault."""

    REJECT = "reject"
    """Others of its type pass: the fault is its own."""
    CLOSE = "close"
    """A second item was refused so, or there is nothing to compare: it is the lane's."""
    AGAIN = "again"
    """Nobody can tell yet: try it again alone, later."""


@dataclass(slots=True)
class _Lane:
    """The mutable state of one lane; only `Lanes` changes it.

    `reason`, `since`, `next_try`: while it is not open; `interval`: seconds until the next try
    but one; `answers`: True for each rejected one of the newest answered items; `refused`: items
    refused alone since one was accepted; `broken`: calls that broke since an answer;
    `passed_at`: when an item was last accepted; `trying`: the trial's batch is under way.
    """

    interval: float
    answers: deque[bool]
    state: LaneState = LaneState.OPEN
    reason: PauseReason | None = None
    since: float = 0.0
    next_try: float = 0.0
    refused: dict[str, set[Identity]] = field(default_factory=dict)
    broken: int = 0
    passed_at: float | None = None
    trying: bool = False


@dataclass(frozen=True, slots=True)
class ClosedLane:
    """A lane that is not open, as people see it; loop times in seconds."""

    entity_type_id: int
    state: LaneState
    reason: PauseReason
    since: float
    next_try: float


class Lanes:
    """The lanes of all entity types; every change is an explicit call with `now`."""

    def __init__(self, policy: PausePolicy, *, max_attempts: int, fresh: float) -> None:
        """Start with every lane open; `fresh`: seconds for which an accepted item tells."""
        self._policy = policy
        self._fresh = fresh
        self._max_attempts = max_attempts
        self._lanes: dict[int, _Lane] = {}

    def state(self, entity_type_id: int) -> LaneState:
        """Return the state of a lane."""
        lane = self._lanes.get(entity_type_id)
        return LaneState.OPEN if lane is None else lane.state

    def may_leave(self, entity_type_id: int) -> bool:
        """Tell whether a batch of this type may leave now."""
        lane = self._lanes.get(entity_type_id)
        if lane is None or lane.state is LaneState.OPEN:
            return True
        return lane.state is LaneState.TRIAL and not lane.trying

    def not_open(self) -> Iterator[ClosedLane]:
        """Return the lanes that are closed or on trial, the longest closed first."""
        for number, lane in sorted(self._lanes.items(), key=lambda each: each[1].since):
            if lane.reason is not None:
                yield ClosedLane(number, lane.state, lane.reason, lane.since, lane.next_try)

    def passed_since(self, entity_type_id: int, since: float, now: float) -> bool:
        """Tell whether an item of a type was accepted after a time, and not too long ago."""
        lane = self._lanes.get(entity_type_id)
        passed = None if lane is None else lane.passed_at
        return passed is not None and passed > since and now - passed <= self._fresh

    def left(self, entity_type_id: int) -> None:
        """Note that a batch of a type has left: on trial there is one at a time."""
        lane = self._lanes.get(entity_type_id)
        if lane is not None and lane.state is LaneState.TRIAL:
            lane.trying = True

    def back(self, entity_type_id: int) -> None:
        """Note that a trial's batch came back without a word on the lane; the next one may go."""
        lane = self._lanes.get(entity_type_id)
        if lane is not None:
            lane.trying = False

    def answered(self, entity_type_id: int, *, accepted: int, rejected: int, now: float) -> bool:
        """Note how many items of a type were accepted and refused; tell whether its lane changed.

        An item that was found by a look-up counts as accepted: it was.
        """
        lane = self._lane(entity_type_id)
        before = lane.state
        lane.answers.extend([False] * accepted + [True] * rejected)
        if accepted:
            lane.refused.clear()
            lane.passed_at, lane.broken = now, 0
        if lane.state is LaneState.TRIAL:
            self._judge_trial(lane, accepted, rejected, now)
        elif lane.state is LaneState.OPEN and self._brakes(lane):
            self._close(lane, PauseReason.FAILURE_SHARE, now)
        return lane.state is not before

    def refused_alone(
        self, identity: Identity, code: str, *, attempts: int, since: float, now: float
    ) -> Refusal:
        """Judge an item that was refused alone by a code that may be its own fault.

        `since`: when it was first refused; `attempts`: how often it was tried alone. Closing is
        left to the caller, who asks the portal first.
        """
        lane = self._lane(identity.entity_type_id)
        if self.passed_since(identity.entity_type_id, since, now):
            return Refusal.REJECT
        refused = lane.refused.setdefault(code, set())
        if len(refused) < MAX_IDENTITIES:
            refused.add(identity)
        if len(refused) > 1 or attempts >= self._max_attempts:
            return Refusal.CLOSE
        return Refusal.CLOSE if lane.state is LaneState.TRIAL else Refusal.AGAIN

    def broke(self, entity_type_id: int, *, others_pass: bool, now: float) -> bool:
        """Note a call that broke with items of a type; tell whether its lane closed.

        It does when calls of it keep breaking while those of others pass.
        """
        lane = self._lane(entity_type_id)
        lane.broken += 1
        if others_pass and lane.broken >= BROKEN_CALLS:
            self._close(lane, PauseReason.UNAVAILABLE, now)
            return True
        return False

    def close(self, entity_type_id: int, reason: PauseReason, now: float) -> None:
        """Close a lane, or close it again after a trial."""
        self._close(self._lane(entity_type_id), reason, now)

    def due(self, now: float) -> list[int]:
        """Return the closed lanes whose interval is over; each is on trial from now on."""
        ready = [
            number
            for number, lane in self._lanes.items()
            if lane.state is LaneState.CLOSED and lane.next_try <= now
        ]
        for number in ready:
            lane = self._lanes[number]
            lane.state, lane.trying = LaneState.TRIAL, False
        return ready

    def next_try(self) -> float | None:
        """Return the time of the next trial; None when no lane is closed."""
        return min(
            (e.next_try for e in self._lanes.values() if e.state is LaneState.CLOSED),
            default=None,
        )

    def try_now(self, entity_type_id: int, now: float) -> None:
        """Note that somebody asks for a trial at once; the interval starts anew."""
        lane = self._lanes.get(entity_type_id)
        if lane is not None and lane.state is LaneState.CLOSED:
            lane.next_try, lane.interval = now, self._policy.probe

    def _lane(self, entity_type_id: int) -> _Lane:
        lane = self._lanes.get(entity_type_id)
        if lane is None:
            answers: deque[bool] = deque(maxlen=max(self._policy.brake_items, 1))
            lane = self._lanes[entity_type_id] = _Lane(self._policy.probe, answers)
        return lane

    def _judge_trial(self, lane: _Lane, accepted: int, rejected: int, now: float) -> None:
        brake = lane.reason is PauseReason.FAILURE_SHARE
        too_many = rejected > self._policy.brake_share * (accepted + rejected)
        if accepted and not (brake and too_many):
            lane.state, lane.reason, lane.trying = LaneState.OPEN, None, False
            lane.interval, lane.broken = self._policy.probe, 0
            lane.answers.clear()
        elif brake and rejected:
            self._close(lane, PauseReason.FAILURE_SHARE, now)
        else:
            # Refused for its own content: that says nothing of the lane.
            lane.trying = False

    def _brakes(self, lane: _Lane) -> bool:
        items, share = self._policy.brake_items, self._policy.brake_share
        if not items or not share or len(lane.answers) < items:
            return False
        return sum(lane.answers) > share * items

    def _close(self, lane: _Lane, reason: PauseReason, now: float) -> None:
        if lane.reason is None:
            lane.since = now
        lane.state, lane.reason, lane.trying = LaneState.CLOSED, reason, False
        lane.next_try = now + lane.interval
        lane.interval = min(lane.interval * 2, self._policy.probe_cap)
        lane.refused.clear()
        lane.broken = 0
