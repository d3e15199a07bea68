"""Tests which queues are known, for how long one counts as young, and which one is broken."""

import asyncio
import time
from typing import cast

import pytest

from service.rabbit import inner_asking
from service.rabbit.address import Address
from service.rabbit.connection import Connection, ConnectionLost
from service.rabbit.inner_asking import MissingError
from service.rabbit.inner_roster import NO_CONNECTION, InnerNames, Roster
from service.rabbit.topology import SideChannel
from service.telemetry import steady
from service.telemetry.metrics import Metrics

LANE = 128


class Up:
    """A connection that is up, until told otherwise."""

    side_channel = None

    def __init__(self) -> None:
        self.is_up = True

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


def roster(connection: Up | None = None) -> Roster:
    """Return a roster on a connection that is up."""
    return Roster(
        InnerNames("parked", "dlx", "portal.example"),
        address=cast("Address", None),
        connection=cast("Connection", connection or Up()),
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


async def test_a_queue_that_returned_a_message_is_made_anew(there: set[str]) -> None:
    """Somebody deleted it: what was known of it is of no use."""
    ours = roster()
    assert await ours.look(str(LANE), make=True) == 0
    there.clear()
    ours.returned(str(LANE))
    assert [] == list(ours.known())
    state = ours.state(str(LANE))
    assert state is not None
    assert state.usable(0.0) is None


async def test_after_a_lost_connection_every_queue_is_asked_for_again(there: set[str]) -> None:
    """A killed broker may have lost a young one: what is put there would be returned."""
    ours = roster()
    assert await ours.look(str(LANE), make=True) == 0
    there.clear()
    await ours._attached()  # noqa: SLF001 - what a new channel leads to
    await ours._look()  # noqa: SLF001 - as above
    assert ["doubtful", "links"] == sorted(ours.known())


async def test_what_could_not_be_asked_for_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, there: set[str]
) -> None:
    """Somebody told of its queue, and the connection broke just then."""
    connection = Up()
    ours, ready = roster(connection), inner_asking.ready
    there.add(f"parked.{LANE}")
    ours.ask([LANE])

    async def broken(side: SideChannel, name: str) -> int:
        if name == f"parked.{LANE}":
            connection.is_up = False
            raise ConnectionLost("cut")
        return await ready(side, name)

    monkeypatch.setattr(inner_asking, "ready", broken)
    await ours._look()  # noqa: SLF001 - one round of `run`
    assert [] == list(ours.known())
    connection.is_up = True
    monkeypatch.setattr(inner_asking, "ready", ready)
    await ours._look()  # noqa: SLF001 - as above
    assert [str(LANE)] == list(ours.known())


@pytest.mark.parametrize(("why", "broken"), [("channel closed", True), (*NO_CONNECTION, False)])
async def test_a_queue_is_broken_only_by_what_asking_for_it_has_ended(
    monkeypatch: pytest.MonkeyPatch, there: set[str], why: str, *, broken: bool
) -> None:
    """Where there is no connection, nobody was asked."""
    ours = roster()

    async def lost(_: object, __: str) -> int:
        raise ConnectionLost(why)

    assert not there
    monkeypatch.setattr(inner_asking, "ready", lost)
    for _ in range(5):
        assert await ours.look(str(LANE), make=False) is None
    told = ours.broken().get(ours.name(str(LANE)), "")
    assert (broken, broken) == (why in told, "read the broker's log" in told)


async def test_other_processes_are_told_of_a_lanes_queue_once(there: set[str]) -> None:
    """After a restart somebody must know that events wait there; of the others all know."""
    ours, told = roster(), list[int]()

    async def note(lane: int) -> None:
        told.append(lane)

    ours.note = note
    there.add("parked.130")
    for queue, make in ((str(LANE), True), (str(LANE), False), ("130", False), ("links", True)):
        await ours.look(queue, make=make)
    assert [LANE, 130] == told
