"""Decides for each entity type whether its events may leave: one circuit breaker a type, a lane.

    OPEN ──close──▶ CLOSED ──its interval is over──▶ TRIAL ──an item is accepted──▶ OPEN
                      ▲                                 │
                      └──────────refused again──────────┘   (the interval doubles, up to its cap)

A closed lane's events wait elsewhere and take neither prefetch nor slots; a lane on trial has one
call in flight at most. Lanes know nothing of each other, and none of them ever pauses the intake:
whether the portal itself is shut is told by a probe, and decided in `circuit_breaker`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.circuit_breaker import PausePolicy
from service.domain.events import Identity
from service.domain.outcomes import PauseReason
from service.domain.shut_time import ShutTime

MAX_IDENTITIES = 8
"""Different items that were refused alone; two are enough to tell."""
MAX_LANES = 1_000  # Upstream may name any number of types.
BROKEN_CALLS = 3
"""So many calls of a lane must break in a row, while others pass, before it closes."""


class LaneState(StrEnum):
    """Whether events of a type may leave."""

    OPEN = "open"
    CLOSED = "closed"
    """They wait, until the time of the next try."""
    TRIAL = "trial"
    """One batch may leave; what becomes of it decides."""


@dataclass(slots=True)
class _Lane:
    """The mutable state of one lane; only `Lanes` changes it.

    `reason`, `since`, `next_try`: while it is not open; `interval`: seconds until the next try
    but one; `answers`: True for each rejected one of the newest answered items; `refused`: items
    refused alone since one was accepted, by code; `broke_alone`: items whose calls broke alone
    since then; `broken`: calls that broke since an answer, `broken_since`: the first of them,
    `broke_at`: the newest one ever; `passed_at`: when an item was last accepted or found,
    `imported_at`: accepted; `trying`: the trial's batch is under way; `from_queue`: it waited;
    `quiet`: nothing waits, so that it counts as open, and the next batch is its trial.
    """

    interval: float
    answers: deque[bool]
    state: LaneState = LaneState.OPEN
    reason: PauseReason | None = None
    since: float = 0.0
    next_try: float = 0.0
    refused: dict[str, set[Identity]] = field(default_factory=dict)
    broke_alone: set[Identity] = field(default_factory=set)
    broken: int = 0
    broken_since: float = 0.0
    broke_at: float = float("-inf")
    passed_at: float | None = None
    imported_at: float | None = None
    trying: bool = False
    from_queue: bool = False
    quiet: bool = False
    shut: ShutTime = field(default_factory=ShutTime)


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

    def __init__(self, policy: PausePolicy) -> None:
        """Start with every lane open."""
        self._policy = policy
        self._lanes: dict[int, _Lane] = {}

    def state(self, entity_type_id: int) -> LaneState:
        """Return the state of a lane."""
        lane = self._lanes.get(entity_type_id)
        return LaneState.OPEN if lane is None else lane.state

    def reason(self, entity_type_id: int) -> PauseReason | None:
        """Return why a lane is not open; None where it is."""
        lane = self._lanes.get(entity_type_id)
        return None if lane is None else lane.reason

    def is_open(self, entity_type_id: int) -> bool:
        """Tell whether nothing of a type has to wait elsewhere."""
        lane = self._lanes.get(entity_type_id)
        return lane is None or lane.reason is None or lane.quiet

    def admits(self, entity_type_id: int, *, waited: bool) -> bool:
        """Tell whether an event that comes now may join a batch; `waited`: in the lane's queue.

        On trial only what belongs to the trial may: what waited, or, where nothing did, what
        comes before the batch has left.
        """
        lane = self._lanes.get(entity_type_id)
        if lane is None or lane.state is LaneState.OPEN:
            return True
        fits = waited if lane.from_queue else not lane.trying
        return lane.state is LaneState.TRIAL and fits

    def is_ill(self, entity_type_id: int) -> bool:
        """Tell whether a lane is not to take the slots that others need: one call at a time."""
        lane = self._lanes.get(entity_type_id)
        return lane is not None and (lane.state is not LaneState.OPEN or lane.broken > 0)

    def not_open(self) -> Iterator[ClosedLane]:
        """Return the lanes that are closed or on trial, the longest closed first."""
        for number, lane in sorted(self._lanes.items(), key=lambda each: each[1].since):
            if lane.reason is not None and not lane.quiet:
                yield ClosedLane(number, lane.state, lane.reason, lane.since, lane.next_try)

    def shut_within(self, entity_type_id: int, since: float, now: float) -> float:
        """Return for how many seconds a lane was not open between a time and now."""
        lane = self._lanes.get(entity_type_id)
        return 0.0 if lane is None else lane.shut.within(since, now)

    def passed_at(self, entity_type_id: int, *, found: bool = True) -> float | None:
        """Return when an item of a type was last accepted, or `found`; None if none was."""
        lane = self._lanes.get(entity_type_id)
        return None if lane is None else lane.passed_at if found else lane.imported_at

    def others_passed(self, entity_type_id: int) -> bool:
        """Tell whether an item of another type was accepted since calls of this one break."""
        since = self._lane(entity_type_id).broken_since
        others = self._others(entity_type_id)
        return any(each.passed_at is not None and each.passed_at >= since for each in others)

    def others_break(self, entity_type_id: int, since: float) -> bool:
        """Tell whether calls of another type broke since a time, and none was accepted after."""
        others = self._others(entity_type_id)
        return any(each.broke_at >= max(since, each.passed_at or 0.0) for each in others)

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

    def answered(
        self, entity_type_id: int, *, accepted: int, rejected: int, now: float, found: int = 0
    ) -> bool:
        """Note how many items of a type were accepted and refused; tell whether the brake trips.

        An item that was `found` by a look-up was accepted earlier. A trial is decided here;
        an open lane is closed by the caller, who knows whether its events have where to wait.
        """
        lane = self._lane(entity_type_id)
        lane.answers.extend(_mixed(accepted + found, rejected))
        if accepted or found or rejected:
            lane.broken = 0
        lane.imported_at = now if accepted else lane.imported_at
        if accepted or found:
            lane.refused.clear()
            lane.broke_alone.clear()
            lane.passed_at = now
        if lane.state is LaneState.TRIAL:
            self._judge_trial(lane, accepted, rejected, now)
        return lane.state is LaneState.OPEN and self._brakes(lane)

    def suspect(self, code: str, identity: Identity) -> int:
        """Note an item refused alone by a code; return how many of its type were."""
        refused = self._lane(identity.entity_type_id).refused.setdefault(code, set())
        if len(refused) < MAX_IDENTITIES:
            refused.add(identity)
        return len(refused)

    def broke_alone(self, identity: Identity) -> int:
        """Note an item whose call broke alone; return how many of its type did so lately."""
        broke = self._lane(identity.entity_type_id).broke_alone
        if len(broke) < MAX_IDENTITIES:
            broke.add(identity)
        return len(broke)

    def broke(self, entity_type_id: int, now: float) -> tuple[int, float]:
        """Note a call that broke; return how many did since an answer, and for how long."""
        lane = self._lane(entity_type_id)
        if not lane.broken:
            lane.broken_since = now
        lane.broken += 1
        lane.broke_at = now
        return lane.broken, now - lane.broken_since

    def close(self, entity_type_id: int, reason: PauseReason, now: float) -> bool:
        """Close a lane, or close it again after a trial; return False if it is closed already."""
        return self._close(self._lane(entity_type_id), reason, now)

    def forget(self, entity_type_id: int, now: float) -> None:
        """Open a lane and start counting again: the whole intake is paused instead."""
        lane = self._lane(entity_type_id)
        lane.state, lane.reason, lane.broken = LaneState.OPEN, None, 0
        lane.trying = lane.quiet = False
        lane.shut.end(now)
        lane.answers.clear()
        lane.refused.clear()

    def due(self, now: float) -> list[int]:
        """Return the closed lanes whose interval is over; each is on trial from now on."""
        ready: list[int] = []
        for number, lane in self._lanes.items():
            if lane.state is LaneState.CLOSED and lane.next_try <= now:
                ready.append(number)
                lane.state, lane.trying, lane.from_queue = LaneState.TRIAL, False, True
                if lane.reason is PauseReason.FAILURE_SHARE:
                    lane.answers.clear()
        return ready

    def on_trial(self) -> list[int]:
        """Return the lanes on trial of which no batch is under way."""
        lanes = self._lanes.items()
        return [n for n, lane in lanes if lane.state is LaneState.TRIAL and not lane.trying]

    def trial_of(self, entity_type_id: int, now: float, *, waited: bool) -> None:
        """Say whether the trial's batch is one that waited; else the next one is tried."""
        lane = self._lane(entity_type_id)
        lane.from_queue, lane.quiet = waited, not waited
        if lane.quiet:
            lane.shut.end(now)

    def try_now(self, entity_type_id: int, now: float) -> None:
        """Note that somebody asks for a trial at once; the interval starts again."""
        lane = self._lanes.get(entity_type_id)
        if lane is not None and lane.state is LaneState.CLOSED:
            lane.next_try, lane.interval = now, self._policy.probe

    def _others(self, entity_type_id: int) -> Iterator[_Lane]:
        return (lane for number, lane in self._lanes.items() if number != entity_type_id)

    def _lane(self, entity_type_id: int) -> _Lane:
        lane = self._lanes.get(entity_type_id)
        if lane is None:
            if len(self._lanes) >= MAX_LANES:
                del self._lanes[min(self._lanes, key=self._worth)]
            answers: deque[bool] = deque(maxlen=max(self._policy.brake_items, 1))
            lane = self._lanes[entity_type_id] = _Lane(self._policy.probe, answers)
        return lane

    def _worth(self, entity_type_id: int) -> tuple[bool, float]:
        lane = self._lanes[entity_type_id]
        return lane.reason is not None, lane.passed_at or 0.0

    def _judge_trial(self, lane: _Lane, accepted: int, rejected: int, now: float) -> None:
        brake = lane.reason is PauseReason.FAILURE_SHARE
        too_many = rejected > self._policy.brake_share * (accepted + rejected)
        if accepted and not (brake and too_many):
            lane.shut.end(now)
            lane.state, lane.reason = LaneState.OPEN, None
            lane.trying = lane.quiet = False
            lane.interval, lane.broken = self._policy.probe, 0
            lane.answers.clear()
        elif brake and rejected:
            self._close(lane, PauseReason.FAILURE_SHARE, now)

    def _brakes(self, lane: _Lane) -> bool:
        items, share = self._policy.brake_items, self._policy.brake_share
        if not items or not share or len(lane.answers) < items:
            return False
        return sum(lane.answers) > share * items

    def _close(self, lane: _Lane, reason: PauseReason, now: float) -> bool:
        if lane.state is LaneState.CLOSED:
            # From an earlier call: it says nothing new, and must not delay the next try.
            return False
        if lane.reason is None or lane.quiet:
            lane.since = now
            lane.shut.begin(now)
        lane.quiet = False
        lane.state, lane.reason, lane.trying = LaneState.CLOSED, reason, False
        lane.next_try = now + lane.interval
        lane.interval = min(lane.interval * 2, self._policy.probe_cap)
        lane.refused.clear()
        lane.broken = 0
        return True


def _mixed(accepted: int, rejected: int) -> Iterator[bool]:
    """Spread the rejected items of a batch evenly: the brake may see the last part of it only."""
    total = accepted + rejected
    return ((at + 1) * rejected // total > at * rejected // total for at in range(total))
