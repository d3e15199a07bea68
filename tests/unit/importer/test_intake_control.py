"""Intake control: the intake follows the circuit breaker, and a paused portal is probed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from service.domain.circuit_breaker import CircuitBreaker, Mode, PausePolicy
from service.domain.outcomes import CallFailed, CallKind, Fault, PauseReason
from service.importer.intake_control import IntakeControl, why_shut
from service.telemetry.metrics import Metrics
from tests.fakes import REFUSALS, Weather, value
from tests.virtual_time import START, now, run


class Intake:
    """Notes what it is told, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, int | None]] = []

    @property
    def active(self) -> bool | None:
        return None

    def fit(self) -> bool:
        return True

    async def attach(self, prefetch: int) -> None:
        self.told.append((now() - START, prefetch))

    async def detach(self) -> None:
        self.told.append((now() - START, None))

    @asynccontextmanager
    async def cancelled(self) -> AsyncIterator[None]:
        yield

    async def flush(self) -> None:
        pass


class Portal:
    """Is shut until it is opened."""

    def __init__(self) -> None:
        self.shut = True
        self.asks_for_rest_until = START
        self.fault = REFUSALS[Weather.BARRED]
        self.probes: list[float] = []

    def shut_for(self, reason: PauseReason | None) -> float:
        assert reason is not None
        return max(0.0, self.asks_for_rest_until - now())

    async def probe(self) -> None:
        self.probes.append(now() - START)
        if self.shut:
            raise CallFailed(self.fault)


class Room:
    """A warden with all it needs."""

    def __init__(self) -> None:
        self.breaker = CircuitBreaker(PausePolicy(after=60, probe=15, probe_cap=100))
        self.intake, self.portal, self.metrics = Intake(), Portal(), Metrics()
        self.released: list[float] = []
        self.held = False
        self.intake_control = IntakeControl(
            breaker=self.breaker,
            intake=self.intake,
            portal=self.portal,
            metrics=self.metrics,
            room=self,
            prefetch=200,
        )

    def busy(self) -> bool:
        return self.held

    def return_all(self) -> None:
        assert self.intake.told[-1][1] is None, "what goes back now comes again at once"
        self.released.append(now() - START)

    def trip(self, reason: PauseReason = PauseReason.CREDENTIALS) -> None:
        """Pause."""
        self.breaker.trip(reason, now())
        self.intake_control.look()

    def paused(self, reason: PauseReason) -> float:
        """Return the metric of a reason."""
        return value(self.metrics.paused.labels(reason))


def watch(story: Callable[[Room], Awaitable[None]]) -> Room:
    """Run a story beside a warden."""

    async def play() -> Room:
        room = Room()
        task = asyncio.create_task(room.intake_control.run())
        await asyncio.sleep(0)
        await story(room)
        task.cancel()
        await asyncio.wait([task])
        return room

    return run(play())


def test_flowing_attaches_with_the_whole_prefetch() -> None:
    """Begin at once, and say nothing about it twice."""

    async def story(_: Room) -> None:
        await asyncio.sleep(1_000)

    assert [(0.0, 200)] == watch(story).intake.told


def test_pause_detaches_first_and_lets_go_once() -> None:
    """Let nothing come back that was just given back."""

    async def story(room: Room) -> None:
        room.trip()
        await asyncio.sleep(500)

    room = watch(story)
    assert [(0.0, 200), (0.0, None)] == room.intake.told
    assert [0.0] == room.released


def test_probes_come_at_growing_intervals() -> None:
    """Double the wait up to its cap."""

    async def story(room: Room) -> None:
        room.trip()
        await asyncio.sleep(450)

    probes = watch(story).portal.probes
    gaps = [round(after - before) for before, after in zip([0.0, *probes], probes, strict=False)]
    assert [15, 30, 60, 100, 100, 100] == gaps


def test_new_credentials_while_all_is_well_hurry_no_later_pause() -> None:
    """It is tried first when its line in the log said so."""

    async def story(room: Room) -> None:
        room.intake_control.hurry()
        await asyncio.sleep(1)
        room.trip()
        await asyncio.sleep(20)

    assert [16] == [round(each) for each in watch(story).portal.probes]


def test_new_credentials_in_a_pause_are_tried_at_once() -> None:
    """And the interval begins anew."""

    async def story(room: Room) -> None:
        room.trip()
        await asyncio.sleep(2)
        room.intake_control.hurry()
        await asyncio.sleep(1)

    assert [2] == [round(each) for each in watch(story).portal.probes]


def test_the_portal_is_not_probed_before_a_probe_can_help() -> None:
    """It asked to be left alone; then it is asked at once."""

    async def story(room: Room) -> None:
        room.portal.asks_for_rest_until = START + 700
        room.trip()
        await asyncio.sleep(740)

    assert [700, 730] == [round(each) for each in watch(story).portal.probes]


def test_answered_probe_lets_one_batch_in() -> None:
    """Go half-open, and flow only after an accepted import."""

    async def story(room: Room) -> None:
        room.trip()
        room.portal.shut = False
        await asyncio.sleep(20)
        room.breaker.ended(1, 0, now())
        room.intake_control.look()
        await asyncio.sleep(1)

    assert [(0.0, 200), (0.0, None), (15.0, 200)] == watch(story).intake.told


@pytest.mark.parametrize(("held", "after"), [(False, Mode.FLOWING), (True, Mode.HALF_OPEN)])
def test_half_open_with_nothing_to_try_flows_after_one_interval(held: bool, after: Mode) -> None:  # noqa: FBT001
    """What waits in inner queues is read only then: it must not wait for a new event."""

    async def story(room: Room) -> None:
        room.held = held
        room.trip()
        room.portal.shut = False
        await asyncio.sleep(29)
        assert room.breaker.mode is Mode.HALF_OPEN
        await asyncio.sleep(2)
        assert room.breaker.mode is after

    watch(story)


def test_pause_for_the_failure_share_asks_nobody() -> None:
    """Wait for the interval: it is not the portal that we wait for."""

    async def story(room: Room) -> None:
        room.trip(PauseReason.FAILURE_SHARE)
        await asyncio.sleep(20)

    room = watch(story)
    assert ([], [(0.0, 200), (0.0, None), (15.0, 200)]) == (room.portal.probes, room.intake.told)


def test_metric_shows_the_one_reason() -> None:
    """Follow the breaker there and back."""

    async def story(room: Room) -> None:
        room.trip(PauseReason.PLAN)
        await asyncio.sleep(1)
        assert (1.0, 0.0) == (room.paused(PauseReason.PLAN), room.paused(PauseReason.SCOPE))
        room.portal.shut = False
        await asyncio.sleep(20)
        room.breaker.ended(1, 0, now())
        room.intake_control.look()
        await asyncio.sleep(1)

    assert 0.0 == watch(story).paused(PauseReason.PLAN)


def test_every_change_is_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """Say paused, half-open and flowing once each, and each probe, so that the log lives."""
    caplog.set_level(logging.INFO, "service")

    async def story(room: Room) -> None:
        room.trip()
        await asyncio.sleep(50)
        room.portal.shut = False
        await asyncio.sleep(100)
        room.breaker.ended(1, 0, now())
        room.intake_control.look()
        await asyncio.sleep(1)

    watch(story)
    lines = [(each.levelname, each.getMessage()) for each in caplog.records]
    assert [
        ("ERROR", "intake paused"),
        ("INFO", "portal asked: still shut"),
        ("INFO", "portal asked: still shut"),
        ("INFO", "intake half open: the portal answers, one batch is tried"),
        ("INFO", "intake flowing"),
    ] == lines


@pytest.mark.parametrize("reason", PauseReason)
def test_a_pause_that_needs_a_person_is_an_error(
    caplog: pytest.LogCaptureFixture, reason: PauseReason
) -> None:
    """What passes by itself is a warning; each says who must act, also without a cause."""

    async def story(room: Room) -> None:
        room.trip(reason)
        await asyncio.sleep(1)

    watch(story)
    (record,) = caplog.records
    passes = reason in {"unavailable", "auth_server", "operating_limit"}
    assert ("WARNING" if passes else "ERROR") == record.levelname
    assert record.__dict__["remedy"]


def test_a_pause_says_what_the_portal_answered_when_it_is_tried_next_and_who_must_act(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line per change: also when only the cause changes; none while nothing does."""
    caplog.set_level(logging.INFO, "service.importer.intake_control")

    async def story(room: Room) -> None:
        barred = Fault(CallKind.BARRED, "X", "said so", cause="refused", remedy="mend it")
        room.breaker.fault = room.portal.fault = barred
        room.trip()
        await asyncio.sleep(100)
        room.portal.fault = Fault(CallKind.UNAVAILABLE, "Y", "-", cause="nobody", remedy="look")
        await asyncio.sleep(500)

    room = watch(story)
    lines = [record.__dict__ for record in caplog.records if "paused" in record.message]
    shown = [(line["reason"], line["cause"], line["remedy"]) for line in lines]
    assert [("credentials", "refused", "mend it"), ("credentials", "nobody", "look")] == shown
    assert 15 == lines[0]["next_try_in"]
    assert "said so" not in caplog.text
    assert len(room.portal.probes) > 4


def test_the_runbook_that_is_named_is_the_one_of_what_is_shut() -> None:
    """The intake's by default; a lane has an entry of its own."""
    assert "runbook ImporterPaused for" in str(why_shut(PauseReason.SCOPE, None, 1.0)["remedy"])
    lane = why_shut(PauseReason.SCOPE, None, 1.0, "ImporterLaneClosed")
    assert "runbook ImporterLaneClosed for" in str(lane["remedy"])
