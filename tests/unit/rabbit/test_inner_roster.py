"""Tests for how long a queue counts as young, whatever was known of one with its name before."""

import asyncio
import time
from typing import cast

import pytest

from service.rabbit import inner_asking
from service.rabbit.address import Address
from service.rabbit.connection import Connection
from service.rabbit.inner_asking import MissingError
from service.rabbit.inner_roster import InnerNames, Roster
from service.telemetry import steady
from service.telemetry.metrics import Metrics

LANE = 128


class Up:
    """A connection that is up."""

    is_up = True
    side_channel = None

    async def blocked(self) -> bool:
        """Tell that the broker takes publishes."""
        return False


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names of the queues that the broker has."""
    names: set[str] = set()

    async def ready(_: object, name: str) -> int:
        if name not in names:
            raise MissingError
        return 0

    async def make(_: object, name: str, __: object) -> None:
        names.add(name)

    async def allowed(*_: object) -> None:
        pass

    monkeypatch.setattr(inner_asking, "ready", ready)
    monkeypatch.setattr(inner_asking, "make", make)
    monkeypatch.setattr(inner_asking, "try_reading", allowed)
    monkeypatch.setattr(inner_asking, "try_writing", allowed)
    return names


def roster() -> Roster:
    """Return a roster on a connection that is up."""
    return Roster(
        InnerNames("parked", "dlx", "portal.example"),
        address=cast("Address", None),
        connection=cast("Connection", Up()),
        metrics=Metrics(),
    )


def is_young(ours: Roster) -> bool:
    """Tell whether originals of what is put into the lane's queue are kept for some seconds."""
    state = ours.state(str(LANE))
    assert state is not None
    return state.ack_after() > asyncio.get_running_loop().time() + 5.0


async def test_a_queue_that_is_made_again_is_young(there: set[str]) -> None:
    """Somebody deleted the one that the memory tells of, or a killed broker has lost it."""
    ours = roster()
    ours.made(LANE, steady.time() - 3600.0)
    assert await ours.look(str(LANE), make=True) == 0
    first = is_young(ours)
    ours.made(LANE, steady.time() - 3600.0)
    assert (True, False) == (first, is_young(ours))
    there.clear()
    assert await ours.look(str(LANE), make=True) == 0
    assert is_young(ours)


async def test_a_clock_that_is_set_makes_no_young_queue_old(
    monkeypatch: pytest.MonkeyPatch, there: set[str]
) -> None:
    """Notes tell times by the clock that nobody sets."""
    told = time.time() + 3600.0
    monkeypatch.setattr(time, "time", lambda: told)
    there.add(f"parked.{LANE}")
    ours = roster()
    ours.made(LANE, steady.time())
    assert await ours.look(str(LANE), make=False) == 0
    ours.made(LANE, steady.time())
    assert is_young(ours)
