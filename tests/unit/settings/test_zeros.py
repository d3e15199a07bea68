"""Zeros: what still works where a setting is 0."""

import asyncio
from dataclasses import replace

from tests.fakes import Weather, item_event
from tests.unit.importer.test_pipeline import LIMITS, Room, events, play, policy


def test_without_a_window_items_leave_at_once() -> None:
    """What came together still travels together, and nothing is left behind."""

    async def story(room: Room) -> None:
        room.bring(*events(3))
        await asyncio.sleep(0.5)
        assert [["e0", "e1", "e2"]] == room.portal.calls
        room.bring(item_event("alone"))
        await asyncio.sleep(0.5)
        assert ["alone"] == room.portal.calls[-1]

    room = play(story, policy(window=0.0))
    assert 4 == len(room.portal.ledger) == len(room.outcomes())
    assert 2.0 == room.closed_by("window")


def test_without_settling_a_lost_call_is_looked_up_at_once() -> None:
    """Within less than the usual settling, and no item is imported twice."""
    rules = replace(LIMITS.rules, settle=0.0)
    weather = [Weather.LOST]

    async def story(room: Room) -> None:
        room.portal.bounds = replace(room.portal.bounds, settle=0.0)
        room.portal.weather = lambda: weather.pop() if weather else Weather.FINE
        room.bring(*events(3))
        room.bring(item_event("copy"), copy=True)
        await asyncio.sleep(60)
        assert 4 == len(room.outcomes())

    limits = replace(policy(window=0.0), rules=rules)
    room = play(story, limits)
    assert 4 == len(room.portal.ledger) == len({item.identity for item in room.portal.ledger})
