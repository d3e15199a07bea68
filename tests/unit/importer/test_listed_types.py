"""Proves when the portal is asked which entity types it has, and what follows."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.domain.circuit_breaker import PausePolicy
from service.domain.outcomes import CallFailed, CallKind, Fault
from service.importer.listed_types import ListedTypes

PAUSE = PausePolicy(after=60.0, probe=15.0, probe_cap=300.0)
DENIED = Fault(CallKind.SUSPECT, "ACCESS_DENIED", "", http_status=400, answered=True)
DOWN = Fault(CallKind.UNAVAILABLE, "HTTP_502", "", http_status=502, answered=True)


class Scene:
    """A portal with a list, a memory that tells or not, and a clock that is set by hand."""

    def __init__(self, *, told: bool = False) -> None:
        self.now, self.calls, self.wait = 0.0, 0, 0.0
        self.answer: Fault | set[int] = {128}
        self.asked: list[set[int]] = []
        self.memory = SimpleNamespace(catch_up=self._catch_up, tells_queues=told)
        notes = SimpleNamespace(clock=lambda: self.now, memory=self.memory)
        self.listed = ListedTypes(self, cast("Any", notes), PAUSE)
        self.queues = cast("Any", SimpleNamespace(ask=lambda types: self.asked.append({*types})))

    async def types(self) -> frozenset[int]:
        """Give the list, or refuse it."""
        self.calls += 1
        if isinstance(self.answer, Fault):
            raise CallFailed(self.answer)
        return frozenset(self.answer)

    def pace(self) -> tuple[float, str]:
        """Tell how long a call would wait."""
        return self.wait, "bucket"

    async def _catch_up(self) -> bool:
        return True

    async def look(self, at: float) -> list[set[int]]:
        """Look at a time; return what was asked for."""
        self.now, self.asked = at, []
        await self.listed.look(self.queues)
        return self.asked


async def test_where_the_memory_tells_which_queues_exist_nobody_asks_the_portal() -> None:
    """It costs no call."""
    scene = Scene(told=True)
    assert [] == await scene.look(0.0)
    assert [] == await scene.look(15.0)
    assert 0 == scene.calls


async def test_without_a_memory_the_queues_of_listed_types_are_asked_for_once() -> None:
    """After an interval, when the portal is free; and once more when others may have made some."""
    scene = Scene()
    assert [] == await scene.look(0.0)
    assert [] == await scene.look(14.0)
    scene.wait = 3.0
    assert [] == await scene.look(15.0)
    scene.wait = 0.0
    assert [{128}] == await scene.look(16.0)
    assert [] == await scene.look(40.0)
    scene.listed.again()
    assert [] == await scene.look(41.0)
    assert [{128}] == await scene.look(56.0)
    scene.listed.again()
    assert [] == await scene.look(100.0)


async def test_a_portal_that_is_down_is_asked_again_at_growing_intervals() -> None:
    """What waits there must be found some day."""
    scene = Scene()
    scene.answer = DOWN
    tried = []
    for at in range(100):
        before = scene.calls
        assert [] == await scene.look(float(at))
        tried += [at] * (scene.calls - before)
    assert [15, 30, 60] == tried
    scene.answer = {1044}
    assert [{1044}] == await scene.look(1_000.0)


async def test_a_portal_that_refuses_its_list_is_left_alone() -> None:
    """Its queues of built-in and configured types are known; others come with their items."""
    scene = Scene()
    scene.answer = DENIED
    assert [] == await scene.look(0.0)
    assert [] == await scene.look(15.0)
    assert [] == await scene.look(1_000.0)
    assert 1 == scene.calls


@pytest.mark.parametrize(
    ("answer", "told"), [({128, 1044}, True), ({128}, False), (DENIED, None), (DOWN, None)]
)
async def test_a_type_is_listed_as_the_portal_says_now(
    *, answer: Fault | set[int], told: bool | None
) -> None:
    """A type may be new since the list was read."""
    scene = Scene()
    assert await scene.listed.has(128)
    scene.answer = answer
    assert told is await scene.listed.has(1044)
    assert await scene.listed.has(128)


async def test_a_refused_list_is_not_asked_for_at_every_refusal() -> None:
    """But again after the longest interval: the right may be there by then."""
    scene = Scene()
    scene.answer = DENIED
    for at in (0.0, 1.0, 299.0):
        scene.now = at
        assert await scene.listed.has(1044) is None
    assert 1 == scene.calls
    scene.now, scene.answer = 301.0, {1044}
    assert await scene.listed.has(1044)
