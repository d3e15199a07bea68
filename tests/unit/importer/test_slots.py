"""Proves how many calls are in flight, and that an ill lane takes no slot from all others."""

import asyncio

import pytest

from service.domain.circuit_breaker import PausePolicy
from service.domain.events import BatchKey
from service.domain.lanes import Lanes, LaneState
from service.domain.outcomes import PauseReason
from service.importer.slots import Slots

ILL, OTHER_ILL, WELL = (BatchKey(kind, original_names=False) for kind in (128, 130, 2))


def setting(limit: int = 2) -> tuple[Slots, Lanes]:
    """Return slots, with a lane whose calls break, and one on trial."""
    lanes = Lanes(PausePolicy(after=60, probe=15, probe_cap=300))
    lanes.broke(ILL.entity_type_id, 0.0)
    lanes.close(OTHER_ILL.entity_type_id, PauseReason.SCOPE, 0.0)
    lanes.due(15.0)
    slots = Slots(lanes)
    slots.limit = limit
    return slots, lanes


def flying() -> "asyncio.Task[None]":
    """Return a batch that is under way."""
    return asyncio.create_task(asyncio.sleep(99))


async def test_no_more_calls_are_in_flight_than_the_limit() -> None:
    """Of whatever type."""
    slots, _ = setting()
    tasks = [flying(), flying()]
    for task in tasks:
        assert slots.admit(WELL)
        slots.take(task, WELL)
    assert (True, False, 2) == (slots.full, slots.admit(WELL), len(slots))
    slots.free(tasks[0])
    assert (slots.admit(WELL), slots.admit(ILL)) == (True, True)
    slots.cancel()


async def test_ill_lanes_have_one_slot_all_together() -> None:
    """The others keep theirs."""
    slots, _ = setting(limit=3)
    task = flying()
    slots.take(task, ILL)
    assert (False, False, True) == tuple(map(slots.admit, (ILL, OTHER_ILL, WELL)))
    slots.free(task)
    assert (True, True) == (slots.admit(ILL), slots.admit(OTHER_ILL))
    slots.cancel()


async def test_a_trial_has_one_call_at_a_time() -> None:
    """The lane is told when it leaves, and when it is back without a word."""
    slots, lanes = setting()
    task = flying()
    assert [OTHER_ILL.entity_type_id] == lanes.on_trial()
    slots.take(task, OTHER_ILL)
    assert [] == lanes.on_trial()
    slots.free(task)
    assert LaneState.TRIAL is lanes.state(OTHER_ILL.entity_type_id)
    assert [OTHER_ILL.entity_type_id] == lanes.on_trial()
    slots.cancel()


async def test_what_is_in_flight_can_be_ended() -> None:
    """At the deadline of a stop."""
    slots, _ = setting()
    task = flying()
    slots.take(task, WELL)
    slots.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert 1 == slots.started


async def test_a_batch_without_a_call_keeps_none_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where urgent events may come calls leave apart; a batch whose events all wait makes none."""
    slots = Slots(Lanes(PausePolicy(after=60, probe=15, probe_cap=300)), ranked=lambda: True)
    loop = asyncio.get_running_loop()
    slots.limit, now = 2, loop.time()
    task, call = flying(), flying()
    slots.take(task, WELL)
    assert not slots.free_at(now)
    slots.made_no_call(task)
    slots.free(task)
    assert slots.free_at(now)
    slots.take(call, WELL)
    monkeypatch.setattr(loop, "time", lambda: now + 0.02)
    slots.free(call)
    # Of a call of 20 ms no more than 5 are waited.
    assert [False, True] == [slots.free_at(now + each) for each in (0.024, 0.026)]
    slots.cancel()


async def test_calls_of_an_ill_lane_keep_no_others_apart() -> None:
    """Each may hang as long as a call may last."""
    slots, lanes = setting()
    ranked = Slots(lanes, ranked=lambda: True)
    ranked.limit, now = slots.limit, asyncio.get_running_loop().time()
    task = flying()
    ranked.take(task, ILL)
    assert ranked.free_at(now)
    ranked.free(task)
    assert ranked.free_at(now)
    task.cancel()


async def test_a_stop_lets_all_leave_at_once() -> None:
    """Nothing urgent comes any more."""
    may_come = True
    slots = Slots(Lanes(PausePolicy(after=60, probe=15, probe_cap=300)), ranked=lambda: may_come)
    slots.limit, now = 2, asyncio.get_running_loop().time()
    slots.take(flying(), WELL)
    before = slots.free_at(now)
    may_come = False
    assert (False, True) == (before, slots.free_at(now))
    slots.cancel()


async def test_a_portal_that_is_back_is_not_left_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that hung until it broke down tell nothing of those that come after."""
    loop = asyncio.get_running_loop()
    slots = Slots(Lanes(PausePolicy(after=60, probe=15, probe_cap=300)), ranked=lambda: True)
    slots.limit, now = 1, loop.time()
    for at in (0.0, 70.0, 140.0, 300.0):
        task = flying()
        monkeypatch.setattr(loop, "time", lambda at=at: now + at)
        slots.take(task, WELL)
        seconds = at + (70.0 if at < 300.0 else 0.3)
        monkeypatch.setattr(loop, "time", lambda at=seconds: now + at)
        slots.free(task)
        task.cancel()
    assert slots.free_at(now + 301.0)
