"""Pipeline: windows, slots, pauses and drains, on made-up time."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.bitrix.errors import budget_spent
from service.domain.batch import Batch
from service.domain.batching import BatchPolicy
from service.domain.circuit_breaker import Mode, PausePolicy
from service.domain.decisions import Decision, Rules
from service.domain.delivery import Parking, Settlement
from service.domain.events import PRIORITY, BatchKey, ExternalId, ItemEvent, Malformed
from service.domain.last_words import LastWords, Word, word_on
from service.domain.limits import Limits
from service.domain.outcomes import Accepted, CallFailed, Imported, PauseReason, Report
from service.domain.parking import DOUBT, LINK, Stay
from service.domain.retry import RetryPolicy
from service.domain.witnessing import Seen
from service.importer.pipeline import Pipeline
from service.importer.results import Confirmed
from service.telemetry import steady
from service.telemetry.metrics import Metrics
from tests.fakes import (
    QUOTE,
    FakeDelivery,
    FakePortal,
    Nature,
    Weather,
    item_event,
    malformed,
    value,
)
from tests.unit.importer.test_memory import THEIRS, Notes
from tests.virtual_time import START, now, run

LIMITS = Limits(
    batch=BatchPolicy(20, 30.0, 1_000_000),
    pause=PausePolicy(after=60, probe=15, probe_cap=300),
    rules=Rules(retry=RetryPolicy(1, 60, 5), settle=65, recheck=3),
    slots=2,
    prefetch=200,
    hold=600,
    remember=1_000,
    deadline=90,
    call=70,
    ask="doubtful",
)


class Intake:
    """Notes what it is told; is fit while it is told so."""

    def __init__(self) -> None:
        self.told: list[tuple[float, int | None]] = []
        self.up = True
        self.flushed = 0

    @property
    def active(self) -> bool | None:
        return None

    def fit(self) -> bool:
        return self.up

    async def attach(self, prefetch: int) -> None:
        self.told.append((now() - START, prefetch))

    async def detach(self) -> None:
        self.told.append((now() - START, None))

    @asynccontextmanager
    async def cancelled(self) -> AsyncIterator[None]:
        self.told.append((now() - START, None))
        yield
        self.told.append((now() - START, 0))

    async def flush(self) -> None:
        self.flushed += 1


class Elsewhere:
    """Inner queues that take every copy; nothing comes back."""

    def __init__(self) -> None:
        self.parked: dict[str, tuple[str, str]] = {}

    async def usable(self, _: str) -> bool:
        return True

    async def park(self, parkings: Sequence[Parking]) -> list[bool]:
        for each in parkings:
            self.parked[each.delivery.event.event_id] = (each.queue, each.reason)
        return [True] * len(parkings)

    async def take(self, _: str, __: int) -> tuple[int, int]:
        return 0, 0

    async def depths(self) -> dict[str, int]:
        return {}

    def known(self) -> Sequence[str]:
        return []

    def ask(self, _: object) -> None:
        """Do nothing."""

    def ack_after(self, _: str) -> float:
        return 0.0


class Publisher:
    """Keeps what is published, unless it is shut."""

    def __init__(self) -> None:
        self.kept: list[Settlement] = []
        self.buried: list[Settlement] = []
        self.shut = False

    async def ready(self) -> None:
        pass

    async def results(self, settlements: Sequence[Settlement]) -> list[Confirmed]:
        await asyncio.sleep(0.01)
        if not self.shut:
            self.kept += settlements
        return [not self.shut] * len(settlements)

    async def dead_letters(self, settlements: Sequence[Settlement]) -> list[Confirmed]:
        self.buried += settlements
        return [True] * len(settlements)


class Portal(FakePortal):
    """Notes when each call begins, and may be held up."""

    def __init__(self) -> None:
        super().__init__(random.Random(1))
        self.began: list[float] = []
        self.seconds = 0.0
        self.bug: Exception | None = None
        self.flying = self.most_flying = 0

    async def import_items(self, key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        self.began.append(now() - START)
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        try:
            await asyncio.sleep(self.seconds)
            if self.bug is not None:
                bug, self.bug = self.bug, None
                raise bug
            return await super().import_items(key, events)
        finally:
            self.flying -= 1


class Room:
    """A pipeline with all it needs."""

    def __init__(self, limits: Limits) -> None:
        self.intake, self.publisher, self.portal = Intake(), Publisher(), Portal()
        self.metrics = Metrics()
        self.pipeline = Pipeline(
            portal=self.portal,
            intake=self.intake,
            publisher=self.publisher,
            limits=limits,
            metrics=self.metrics,
            clock=asyncio.get_running_loop().time,
        )

    def bring(
        self, *events: ItemEvent | Malformed, copy: bool = False, priority: int = PRIORITY
    ) -> list[FakeDelivery]:
        """Deliver messages, one after the other."""
        deliveries = [
            FakeDelivery(event, received_at=now(), copy=copy, priority=priority)
            for event in events
        ]
        for each in deliveries:
            self.pipeline.accept(each)
        return deliveries

    def closed_by(self, reason: str) -> float:
        """Return how many batches left for a reason."""
        return value(self.metrics.batches.labels(reason))

    def mode(self) -> Mode:
        """Return how far the gate is open."""
        return self.pipeline.breaker.mode

    def outcomes(self) -> dict[str, object]:
        """Return the outcome kept for each event."""
        return {each.event.event_id: each.outcome for each in self.publisher.kept}


def play(story: Callable[[Room], Awaitable[None]], limits: Limits = LIMITS) -> Room:
    """Run a story beside a pipeline, then stop it."""

    async def act() -> Room:
        room = Room(limits)
        task = asyncio.create_task(room.pipeline.run())
        await asyncio.sleep(0)
        await story(room)
        room.pipeline.stop()
        await task
        return room

    return run(act())


def events(count: int, entity_type_id: int = 2, *, first: int = 0) -> list[ItemEvent]:
    """Return good events."""
    return [item_event(f"e{number}", entity_type_id) for number in range(first, first + count)]


def policy(**changes: float) -> Limits:
    """Return the limits with another batch policy."""
    return replace(LIMITS, batch=replace(LIMITS.batch, **changes))  # type: ignore[arg-type]


def test_batch_leaves_when_its_window_ends() -> None:
    """Count from the first item, however many follow."""

    async def story(room: Room) -> None:
        room.bring(item_event("first"))
        await asyncio.sleep(29.9)
        room.bring(item_event("last"))
        assert [] == room.portal.began
        await asyncio.sleep(5)

    room = play(story)
    assert [["first", "last"]] == room.portal.calls
    assert [pytest.approx(30.0, abs=0.01)] == room.portal.began
    assert 1.0 == room.closed_by("window")


def test_full_batch_leaves_at_once() -> None:
    """Wait for nothing; the rest opens a window of its own."""

    async def story(room: Room) -> None:
        room.bring(*events(25))
        await asyncio.sleep(5)
        assert [20] == [len(call) for call in room.portal.calls]
        await asyncio.sleep(30)

    room = play(story)
    assert [
        [f"e{number}" for number in range(20)],
        [f"e{number}" for number in range(20, 25)],
    ] == (room.portal.calls)
    assert (1.0, 1.0) == (room.closed_by("size"), room.closed_by("window"))


def test_heavy_batch_leaves_before_it_is_too_heavy() -> None:
    """Never let the messages of a call exceed the bytes."""

    async def story(room: Room) -> None:
        room.bring(*events(7))
        await asyncio.sleep(5)

    room = play(story, policy(max_bytes=350))
    assert [3, 3, 1] == [len(call) for call in room.portal.calls]
    assert (2.0, 1.0) == (room.closed_by("bytes"), room.closed_by("drain"))


def test_oldest_batch_leaves_under_pressure() -> None:
    """Wait for no window while nothing more can come."""

    async def story(room: Room) -> None:
        for number in range(40):
            room.bring(item_event(f"e{number}", 128 + number % 4))
        await asyncio.sleep(5)

    room = play(story, replace(LIMITS, prefetch=40))
    assert 1.0 <= room.closed_by("pressure")
    assert room.portal.calls[0][0] == "e0"


def test_types_and_names_do_not_mix() -> None:
    """Send one call per batch key."""

    async def story(room: Room) -> None:
        room.bring(
            item_event("a", 2), item_event("b", 31), item_event("c", 2, original_names=True)
        )
        await asyncio.sleep(40)

    room = play(story)
    assert ([["a"], ["b"], ["c"]], []) == (sorted(room.portal.calls), room.portal.violations)


def test_no_more_calls_than_slots() -> None:
    """Keep what is full waiting, and start it when a slot is free."""

    async def story(room: Room) -> None:
        room.portal.seconds = 10.0
        room.bring(*events(100))
        await asyncio.sleep(100)

    room = play(story)
    assert (2, 5) == (room.portal.most_flying, len(room.portal.calls))


def test_an_urgent_event_for_which_an_ended_batch_made_room_leaves_in_the_next() -> None:
    """The broker hands it over a moment after the acknowledgements, if priorities are used."""
    limits = replace(LIMITS, slots=1)

    async def story(room: Room) -> None:
        room.portal.seconds = 3.0
        room.bring(*events(60))
        room.bring(item_event("before"), priority=9)
        for _ in range(1000):
            if room.publisher.kept:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
        room.bring(item_event("urgent"), priority=9)
        await asyncio.sleep(20)

    room = play(story, limits)
    assert "urgent" in room.portal.calls[1]


@pytest.mark.parametrize("comes_at", [3.3, 3.5, 4.2, 5.0, 6.6, 7.5, 8.0])
def test_an_urgent_event_is_in_within_two_calls_whatever_is_held(comes_at: float) -> None:
    """Calls end one after the other, so that room is soon made for it, whenever it comes."""
    seconds, took = 3.2, list[float]()

    async def exact(_: BatchKey, events: Sequence[ItemEvent]) -> Report:
        await asyncio.sleep(seconds)
        first = int(now() * 1000) * 20
        return Report(len(events), {at: Accepted(first + at) for at in range(len(events))})

    async def story(room: Room) -> None:
        room.portal.import_items = exact  # type: ignore[method-assign, assignment]
        waiting = room.bring(*events(200), priority=0)
        begun, number, urgent = now(), 200, list[FakeDelivery]()
        while not took:
            await asyncio.sleep(0.01)
            for each in [each for each in waiting if each.acked]:
                waiting.remove(each)
                number += 1
                if not urgent and now() - begun >= comes_at:
                    urgent += room.bring(item_event("urgent"), priority=9)
                else:
                    waiting += room.bring(item_event(f"e{number}"), priority=0)
            took.extend(now() - begun - comes_at for each in urgent if each.acked)

    play(story)
    assert took[0] <= 1.9 * seconds


def test_nothing_leaves_while_the_broker_is_away() -> None:
    """Start a call only where its outcome could be published."""

    async def story(room: Room) -> None:
        room.intake.up = False
        room.bring(*events(20))
        await asyncio.sleep(60)
        assert [] == room.portal.calls
        room.intake.up = True
        room.pipeline.wake()
        await asyncio.sleep(5)

    assert 1 == len(play(story).portal.calls)


def test_acknowledged_only_after_the_outcome_is_confirmed() -> None:
    """Hold message and slot while nothing can be published."""

    async def story(room: Room) -> None:
        room.publisher.shut = True
        (delivery, *_) = room.bring(*events(20))
        await asyncio.sleep(60)
        assert (0, 1) == (delivery.acked, len(room.portal.calls))
        room.publisher.shut = False
        await asyncio.sleep(15)
        assert 1 == delivery.acked

    play(story)


def test_malformed_message_disturbs_nobody() -> None:
    """Settle it at once, beside the batches."""

    async def story(room: Room) -> None:
        (broken, good) = room.bring(malformed(), item_event("a"))
        await asyncio.sleep(1)
        assert (1, 0, []) == (broken.acked, good.acked, room.portal.calls)

    play(story)


def test_copy_joins_the_one_in_flight() -> None:
    """Import once, publish once, acknowledge both."""

    async def story(room: Room) -> None:
        room.portal.seconds = 10.0
        (first,) = room.bring(item_event("a"))
        await asyncio.sleep(35)
        (copy,) = room.bring(item_event("a"), copy=True)
        await asyncio.sleep(60)
        assert (1, 1) == (first.acked, copy.acked)

    room = play(story)
    assert ([["a"]], 1) == (room.portal.calls, len(room.publisher.kept))


def test_repeat_of_an_imported_event_is_told_again() -> None:
    """Answer a new publish from memory; say that it is a duplicate, of another body."""

    async def story(room: Room) -> None:
        room.bring(item_event("a"))
        await asyncio.sleep(40)
        (again,) = room.bring(item_event("a", body="other"))
        await asyncio.sleep(1)
        assert 1 == again.acked

    room = play(story)
    assert [["a"]] == room.portal.calls
    again = Imported(1, duplicate=True, other_body=True)
    assert [Imported(1), again] == [e.outcome for e in room.publisher.kept]


def test_failed_message_that_comes_again_is_tried_again() -> None:
    """The cause may be gone, and it may be a new publish whose delivery came back."""

    async def story(room: Room) -> None:
        room.bring(item_event("a", nature=Nature.BAD))
        await asyncio.sleep(40)
        (copy,) = room.bring(item_event("a", nature=Nature.BAD), copy=True)
        await asyncio.sleep(200)
        assert 1 == copy.acked

    room = play(story)
    assert (2, 2) == (len(room.publisher.kept), len(room.portal.calls))


def test_nothing_is_published_for_a_message_that_is_gone() -> None:
    """Its outcome is kept, and published once, for its copy; no second call is made."""

    async def story(room: Room) -> None:
        room.portal.seconds = 10.0
        deliveries = room.bring(item_event("a"), item_event("bad", nature=Nature.BAD))
        await asyncio.sleep(35)
        for each in deliveries:
            each.live = False
        await asyncio.sleep(60)
        assert ([], 2.0) == (room.publisher.kept, value(room.metrics.lost))
        copies = room.bring(item_event("a"), item_event("bad", nature=Nature.BAD), copy=True)
        await asyncio.sleep(1)
        assert [1, 1] == [each.acked for each in copies]

    room = play(story)
    kept, buried = room.publisher.kept, room.publisher.buried
    assert (1, 2, 1) == (len(room.portal.calls), len(kept), len(buried))
    assert Imported(1) == room.outcomes()["a"]


def test_delivered_before_waits_for_the_portal_to_settle() -> None:
    """Look up only when a look-up proves something, and take no slot for the wait."""

    async def story(room: Room) -> None:
        room.bring(item_event("a"), copy=True)
        room.bring(item_event("b"))
        await asyncio.sleep(64)
        assert [["b"]] == room.portal.calls
        await asyncio.sleep(60)

    room = play(story)
    assert [["b"], ["a"]] == room.portal.calls
    assert 65.0 + 30.0 + 3.0 <= room.portal.began[1]


def test_delivered_before_and_not_to_be_asked_for_is_ambiguous() -> None:
    """Leave it to a human rather than import it twice."""

    async def story(room: Room) -> None:
        room.bring(item_event("q", QUOTE), copy=True)
        await asyncio.sleep(40)

    room = play(story)
    (settlement,) = room.publisher.kept
    assert ([], "ambiguous") == (room.portal.calls, getattr(settlement.outcome, "kind", ""))


def test_what_is_held_too_long_goes_back() -> None:
    """Return it before the broker takes it away."""

    async def story(room: Room) -> None:
        room.intake.up = False
        (delivery,) = room.bring(item_event("a"))
        await asyncio.sleep(595)
        assert 0 == delivery.returned
        await asyncio.sleep(10)
        assert (1, 0) == (delivery.returned, len(room.pipeline.settler.held))

    play(story)


def test_what_is_held_too_long_goes_back_while_nothing_is_consumed() -> None:
    """It would come again at once, before everything that waits."""
    consumed: list[int | None] = []

    class Watched(FakeDelivery):
        intake: Intake

        async def give_back(self) -> None:
            consumed.append(self.intake.told[-1][1])
            await super().give_back()

    async def story(room: Room) -> None:
        room.publisher.shut = True
        late = Watched(item_event("a"), received_at=now())
        late.intake = room.intake
        room.pipeline.accept(late)
        await asyncio.sleep(700)
        assert [LIMITS.prefetch, None, 0] == [prefetch for _, prefetch in room.intake.told]

    play(story)
    assert [None] == consumed


def test_stale_delivery_is_let_go() -> None:
    """Forget what the broker delivers again."""

    async def story(room: Room) -> None:
        (delivery,) = room.bring(item_event("a"))
        delivery.live = False
        await asyncio.sleep(2)
        assert ({}, 0) == (room.pipeline.settler.held, delivery.returned)
        await asyncio.sleep(40)

    room = play(story)
    assert ([], 1.0) == (room.portal.calls, value(room.metrics.lost))


@pytest.mark.error_logs
def test_bug_costs_no_event_and_no_neighbour() -> None:
    """Whatever a bug has struck is tried again alone, after a wait."""

    async def story(room: Room) -> None:
        room.portal.bug = ValueError("bug")
        deliveries = room.bring(*events(20))
        await asyncio.sleep(200)
        assert [1] * 20 == [each.acked for each in deliveries]

    room = play(story)
    assert (20, 20) == (len(room.publisher.kept), len(room.portal.ledger))
    assert 1.0 == value(room.metrics.unexpected)


@pytest.mark.error_logs
def test_a_bug_after_the_portal_was_found_shut_keeps_nobody_from_probing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The intake is let go, and taken up again."""

    async def story(room: Room) -> None:
        importer = room.pipeline._importer  # noqa: SLF001 - where a bug may be

        async def struck(_: Batch) -> Decision:
            room.pipeline.breaker.trip(PauseReason.CREDENTIALS, now())
            monkeypatch.undo()
            raise KeyError

        monkeypatch.setattr(importer, "carry", struck)
        room.bring(*events(1))
        await asyncio.sleep(100.0)
        room.bring(*events(1), copy=True)
        await asyncio.sleep(100.0)

    room = play(story)
    assert [200, None, 200] == [prefetch for _, prefetch in room.intake.told][:3]
    assert 1 == len(room.portal.ledger)


def test_pause_lets_go_once_and_probes_until_one_batch_is_accepted() -> None:
    """Detach, return everything, probe at growing intervals, try one batch, flow."""
    weather = [Weather.BARRED]

    async def story(room: Room) -> None:
        room.portal.weather = lambda: weather[0]
        deliveries = room.bring(*events(20), item_event("waits", 31))
        await asyncio.sleep(50)
        assert [1] * 21 == [each.returned for each in deliveries]
        assert [15, 45] == [round(at - START) for at in room.portal.probes]
        weather[0] = Weather.FINE
        await asyncio.sleep(60)
        assert Mode.HALF_OPEN == room.mode()
        room.bring(*events(20, first=100))
        await asyncio.sleep(2)
        assert Mode.FLOWING == room.mode()

    room = play(story)
    assert [200, None, 200, None] == [prefetch for _, prefetch in room.intake.told]


def test_half_open_sends_one_batch_at_a_time() -> None:
    """Try with one, whatever the slots."""

    async def story(room: Room) -> None:
        room.pipeline.breaker.mode = Mode.HALF_OPEN
        room.portal.seconds = 5.0
        room.bring(*events(60))
        await asyncio.sleep(4)
        assert 1 == room.portal.most_flying

    play(story)


def test_refused_item_is_alone_in_its_fault() -> None:
    """Import its neighbours."""

    async def story(room: Room) -> None:
        room.bring(*events(3), item_event("bad", nature=Nature.BAD))
        await asyncio.sleep(40)

    outcomes = play(story).outcomes()
    imported = {name for name, outcome in outcomes.items() if isinstance(outcome, Imported)}
    assert {"e0", "e1", "e2"} == imported
    assert "rejected" == getattr(outcomes["bad"], "kind", "")


def test_poison_item_is_found_and_its_neighbours_are_imported_once() -> None:
    """Set the one aside that breaks its call."""

    async def story(room: Room) -> None:
        room.bring(*events(8), item_event("poison", nature=Nature.POISON), *events(8, first=8))
        await asyncio.sleep(400)

    room = play(story)
    assert 16 == len(room.portal.ledger) == len({item.identity for item in room.portal.ledger})
    assert "rejected" == getattr(room.outcomes()["poison"], "kind", "")


def test_drain_finishes_what_is_in_time() -> None:
    """Send open batches at once, and end when all is settled."""

    async def story(room: Room) -> None:
        room.portal.seconds = 10.0
        room.bring(*events(5))

    room = play(story)
    assert (5, 1.0) == (len(room.publisher.kept), room.closed_by("drain"))
    assert ({}, 1) == (room.pipeline.settler.held, room.intake.flushed)


def test_drain_returns_what_is_late_and_classifies_nothing() -> None:
    """Give back what cannot begin in time, and fail nothing."""
    deliveries: list[FakeDelivery] = []

    async def story(room: Room) -> None:
        room.portal.seconds = 60.0
        deliveries.extend(room.bring(*events(100)))

    room = play(story)
    assert 40 == sum(each.acked for each in deliveries)
    assert 20 <= sum(each.returned for each in deliveries) <= 60
    assert all(isinstance(each.outcome, Imported) for each in room.publisher.kept)
    assert 90.0 >= value(room.metrics.drain_seconds)


def test_drain_returns_what_would_be_looked_up_after_the_deadline() -> None:
    """Wait for nothing that cannot come in time."""
    deliveries: list[FakeDelivery] = []

    async def story(room: Room) -> None:
        deliveries.extend(room.bring(item_event("a"), copy=True))

    room = play(story, replace(LIMITS, deadline=30))
    assert ([1], []) == ([each.returned for each in deliveries], room.publisher.kept)
    assert 1.0 > value(room.metrics.drain_seconds)


def test_drain_of_a_paused_importer_is_short() -> None:
    """Return everything: the portal will not answer."""

    async def story(room: Room) -> None:
        room.portal.weather = lambda: Weather.BARRED
        room.bring(*events(20))
        await asyncio.sleep(5)

    room = play(story)
    assert 1.0 > value(room.metrics.drain_seconds)


def test_drain_ends_at_its_deadline_whatever_happens() -> None:
    """Cut off what hangs; its messages are delivered again."""

    async def story(room: Room) -> None:
        room.portal.seconds = 10_000.0
        room.bring(*events(20))
        await asyncio.sleep(1)

    room = play(story)
    assert 95.0 >= value(room.metrics.drain_seconds)
    assert [] == room.publisher.kept


def test_a_rare_type_waits_for_what_is_older_and_for_nothing_else() -> None:
    """A flood of one type keeps every slot busy; the two of the other type go in their turn."""

    async def story(room: Room) -> None:
        room.portal.seconds = 5.0
        room.bring(*events(100))
        room.bring(*events(2, 31, first=100))
        room.bring(*events(98, first=200))
        await asyncio.sleep(60)

    room = play(story, policy(window=0.5))
    assert 5 == [call[0] for call in room.portal.calls].index("e100")


def test_time_is_told_by_phase() -> None:
    """Where it goes: waiting for a slot, in calls, in settling."""

    async def story(room: Room) -> None:
        room.portal.seconds = 10.0
        room.bring(*events(60))
        await asyncio.sleep(60)

    spent = play(story).metrics.spent
    assert 10.0 == pytest.approx(value(spent["wait_slot"]), abs=1)
    assert 30.0 == pytest.approx(value(spent["call"]), abs=3)
    assert 0.03 == pytest.approx(value(spent["settle"]), abs=0.01)


def test_what_was_parked_before_messages_came_here_is_looked_up() -> None:
    """Another process may have sent it since; what was parked afterwards only this one had."""
    asked: list[str] = []

    async def story(room: Room) -> None:
        find = room.portal.find

        async def noted(
            entity_type_id: int, wanted: Sequence[ExternalId]
        ) -> dict[ExternalId, list[Seen]]:
            asked.extend(each.value for each in wanted)
            return await find(entity_type_id, wanted)

        room.portal.find = noted  # type: ignore[method-assign]  # to see what is asked for
        room.bring(item_event("fresh"))
        for name, moved in (("before", -5.0), ("after", 5.0)):
            stay = Stay("links", LINK, 0.0, steady.time() + moved, None, 0, steady.time())
            room.pipeline.accept(FakeDelivery(item_event(name), received_at=now(), stay=stay))
        await asyncio.sleep(60)

    room = play(story)
    assert ({"before"}, 3) == (set(asked), len(room.portal.ledger))


def test_what_waits_for_a_closed_lane_waits_elsewhere_and_nothing_else_does() -> None:
    """Whether it was here before or comes now; what was perhaps sent is looked up first."""
    elsewhere = Elsewhere()

    async def story(room: Room) -> None:
        room.pipeline.use(cast("Any", elsewhere))
        room.bring(item_event("here"), item_event("contact", 31))
        early = FakeDelivery(item_event("doubtful here"), received_at=now() - 100.0, copy=True)
        room.pipeline.accept(early)
        await asyncio.sleep(1)
        await room.pipeline.lane_control.close(2, PauseReason.SCOPE, None)
        room.bring(item_event("new"), item_event("new contact", 31))
        room.bring(item_event("doubtful"), copy=True)
        await asyncio.sleep(1)
        assert elsewhere.parked == {
            "here": ("2", "scope"),
            "new": ("2", "scope"),
            "doubtful": ("doubtful", "doubt"),
        }
        await asyncio.sleep(60)

    room = play(story)
    sent = {event for call in room.portal.calls for event in call}
    assert {"contact", "new contact"} == sent


@pytest.mark.parametrize("closed", ["before", "while it waits here"])
def test_what_waits_for_a_proof_does_not_go_to_its_closed_lane_in_between(closed: str) -> None:
    """There its waiting would begin anew, and it would go to and fro; it is looked up again."""
    elsewhere, waited = Elsewhere(), 3_000.0

    async def story(room: Room) -> None:
        room.pipeline.use(cast("Any", elsewhere))
        # An item of ours is known, and the portal does not show it.
        recovery = room.pipeline._importer._recovery  # noqa: SLF001 - else a story of an hour
        recovery._witnesses.made(item_event("witness"), 1, 0.0)  # noqa: SLF001 - likewise
        at = steady.time() - 50.0
        stay = Stay("doubtful", DOUBT, waited, at, None, 0, at)
        came = FakeDelivery(item_event("a"), received_at=now(), stay=stay, redriven=True)
        if closed != "before":
            room.pipeline.accept(came)
            await asyncio.sleep(1)
        await room.pipeline.lane_control.close(2, PauseReason.SCOPE, None)
        if closed == "before":
            room.pipeline.accept(came)
        await asyncio.sleep(60)

    play(story)
    assert {"a": ("doubtful", "doubt")} == elsewhere.parked


def test_what_cannot_be_looked_up_for_long_waits_elsewhere_and_takes_no_room() -> None:
    """The portal has no time left for look-ups; what its messages do not tell stays here."""
    elsewhere = Elsewhere()

    async def spent(
        entity_type_id: int, wanted: Sequence[ExternalId]
    ) -> dict[ExternalId, list[Seen]]:
        raise CallFailed(budget_spent(300.0))

    async def story(room: Room) -> None:
        room.pipeline.use(cast("Any", elsewhere))
        room.portal.find = spent  # type: ignore[method-assign]  # to be asked in vain
        for event, says in (("sent", {"copy": True}), ("again", {"redriven": True}), ("new", {})):
            given: Any = says
            came = FakeDelivery(item_event(event), received_at=now() - 100.0, **given)
            room.pipeline.accept(came)
        await asyncio.sleep(60)
        assert {"new": Imported(1)} == room.outcomes()
        assert Mode.FLOWING is room.mode()

    play(story)
    assert dict.fromkeys(["sent", "again"], ("doubtful", "doubt")) == elsewhere.parked


@pytest.mark.parametrize(("read", "asks_at"), [(True, 30.0), (False, 65.0 + 30.0)])
def test_a_memory_that_could_not_be_read_decides_nothing(*, read: bool, asks_at: float) -> None:
    """No word is no proof then: what was delivered before may be in a call that was noted."""
    asked: list[float] = []

    async def catch_up() -> bool:
        return read

    async def noted(_: object) -> None:
        return None

    async def story(room: Room) -> None:
        find = room.portal.find
        room.pipeline.notes.memory = cast(
            "Any",
            SimpleNamespace(
                writer=1,
                words=LastWords(10),
                reliable=True,
                tells_queues=True,
                catch_up=catch_up,
                before_call=noted,
                add=noted,
            ),
        )

        async def seen(
            entity_type_id: int, wanted: Sequence[ExternalId]
        ) -> dict[ExternalId, list[Seen]]:
            asked.append(now() - START)
            return await find(entity_type_id, wanted)

        room.portal.find = seen  # type: ignore[method-assign]  # to see when it is asked
        room.bring(item_event("a"), copy=True)
        await asyncio.sleep(120)

    play(story)
    assert asks_at == pytest.approx(asked[0], abs=1.0)


def steps_of(portal: Portal) -> list[str]:
    """Return a list that tells, from now on, when the portal is asked and when it is called."""
    steps: list[str] = []
    find, call = portal.find, portal.import_items

    async def found(kind: int, wanted: Sequence[ExternalId]) -> dict[ExternalId, list[Seen]]:
        steps.append("asked")
        return await find(kind, wanted)

    async def called(key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        steps.append("called")
        return await call(key, events)

    portal.find = found  # type: ignore[assignment,method-assign]  # to see what is done
    portal.import_items = called  # type: ignore[method-assign]  # likewise
    return steps


def test_what_a_note_says_stays_true_when_the_memory_falls_silent() -> None:
    """An event of which another process has said that it was in a call is looked up first."""
    memory, steps = Notes(), list[str]()

    async def no_answer(_: object) -> None:
        return None

    async def story(room: Room) -> None:
        nonlocal steps
        steps = steps_of(room.portal)
        room.pipeline.notes.memory = memory
        memory.words.say(word_on(item_event("a"), Word.UNKNOWN, steady.time() - 500.0, THEIRS))
        memory.reliable = False
        memory.before_call = no_answer  # type: ignore[assignment,method-assign]
        room.bring(item_event("a"))
        await asyncio.sleep(60)

    play(story)
    assert "asked" == steps[0]


def steps_after_a_wait(memory: Notes, meanwhile: Callable[[Room], None]) -> list[str]:
    """Hold an event back by the portal's limits for minutes; return what is done then."""
    steps = list[str]()

    async def story(room: Room) -> None:
        nonlocal steps
        steps = steps_of(room.portal)
        room.pipeline.notes.memory = memory
        paces = [(1.0, "operating")]
        room.portal.pace = lambda: paces[0]  # type: ignore[method-assign]  # it waits
        room.bring(item_event("a"))
        await asyncio.sleep(1)
        meanwhile(room)
        await asyncio.sleep(200)
        assert [] == steps
        paces[0] = (0.0, "bucket")
        await asyncio.sleep(60)

    play(story)
    return steps


def test_what_is_held_for_long_is_asked_for_if_another_process_has_called_with_its_event() -> None:
    """With another message of it, and however long ago."""
    memory = Notes()

    def meanwhile(_: Room) -> None:
        memory.words.say(word_on(item_event("a"), Word.UNKNOWN, steady.time(), THEIRS))

    assert "asked" == steps_after_a_wait(memory, meanwhile)[0]


@pytest.mark.parametrize("joined", [True, False])
def test_what_was_judged_without_a_memory_is_judged_again_by_its_words(*, joined: bool) -> None:
    """It answers again while the event waits, and another process has called with it."""
    memory = Notes()
    memory.reliable = False

    def meanwhile(room: Room) -> None:
        memory.words.say(word_on(item_event("a"), Word.UNKNOWN, steady.time() - 6.0, THEIRS))
        memory.reliable = True
        if joined:
            room.bring(item_event("a"), copy=True)

    assert "asked" == steps_after_a_wait(memory, meanwhile)[0]


@pytest.mark.parametrize("gone", ["the message", "the broker"])
def test_nothing_is_sent_that_may_be_somebody_elses_by_now(gone: str) -> None:
    """A look-up takes time: meanwhile the broker may have given the message away."""

    async def story(room: Room) -> None:
        find = room.portal.find
        one = FakeDelivery(item_event("a"), received_at=now(), early=True)

        async def slow(
            entity_type_id: int, wanted: Sequence[ExternalId]
        ) -> dict[ExternalId, list[Seen]]:
            one.live = gone != "the message"
            room.intake.up = gone != "the broker"
            return await find(entity_type_id, wanted)

        room.portal.find = slow  # type: ignore[method-assign]  # things happen meanwhile
        room.pipeline.accept(one)
        await asyncio.sleep(60)
        assert not (one.live and room.intake.up)

    assert [] == play(story).portal.calls
