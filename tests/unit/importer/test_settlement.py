"""Settler: published until confirmed, acknowledged after, counted once."""

import asyncio
from collections.abc import Sequence

import pytest

from service.domain.claim import Claim
from service.domain.claims import Claims, Resolved
from service.domain.delivery import Settlement
from service.domain.history import Doubt
from service.domain.outcomes import Failed, FailureKind, Imported, Outcome
from service.importer.results import Confirmed
from service.importer.settlement import Settler
from service.telemetry.metrics import Metrics
from tests.fakes import FakeDelivery, item_event, malformed, value
from tests.virtual_time import START, now, run

DONE = Imported(7)
REJECTED = Failed(FailureKind.REJECTED, "BX_INVALID_VALUE", "wrong")


class Publisher:
    """Answers as it is told, then always yes."""

    def __init__(self, *answers: list[Confirmed]) -> None:
        self.answers = list(answers)
        self.letters: list[list[Confirmed]] = []
        self.published: list[Settlement] = []
        self.buried: list[Settlement] = []

    async def ready(self) -> None:
        await asyncio.sleep(0)

    async def results(self, settlements: Sequence[Settlement]) -> list[Confirmed]:
        self.published += settlements
        return self.answers.pop(0) if self.answers else [True] * len(settlements)

    async def dead_letters(self, settlements: Sequence[Settlement]) -> list[Confirmed]:
        self.buried += settlements
        return self.letters.pop(0) if self.letters else [True] * len(settlements)


class Room:
    """A settler with all it needs."""

    def __init__(self, *answers: list[Confirmed], publisher: Publisher | None = None) -> None:
        self.publisher = publisher or Publisher(*answers)
        self.metrics = Metrics()
        self.claims = Claims(remember=10)
        self.settler = Settler(
            publisher=self.publisher,
            claims=self.claims,
            metrics=self.metrics,
            clock=now,
            remember=10,
        )
        self.resolved: list[Resolved] = []

    def claim(self, *deliveries: FakeDelivery) -> Claim:
        """Claim the event of some copies."""
        for each in deliveries:
            self.settler.held[each] = None
        event = deliveries[0].event
        assert not hasattr(event, "code")
        claim = Claim(event, list(deliveries), START, 1)
        self.claims.admit(claim, copy=False)
        return claim

    def note(self, resolved: Resolved, _: Outcome) -> None:
        self.resolved.append(resolved)

    def items(self, outcome: str, kind: str = "2") -> float:
        """Return how many messages were counted."""
        return value(self.metrics.items.labels(kind, outcome))


def delivery(event_id: str = "a") -> FakeDelivery:
    """Return a delivery that came at the start."""
    return FakeDelivery(item_event(event_id), received_at=START)


def test_nothing_is_acknowledged_before_its_outcome_is_confirmed() -> None:
    """Publish again and again, with growing waits, and acknowledge once."""
    room, message = Room([False], [False], [False]), delivery()

    async def settle() -> float:
        await room.settler.settle([(room.claim(message), DONE)], room.note)
        return now() - START

    waited = run(settle())
    assert (4, 1, {}) == (len(room.publisher.published), message.acked, room.settler.held)
    assert 0.7 <= waited <= 1.4


def test_each_is_acknowledged_as_soon_as_its_own_is_confirmed() -> None:
    """Publish again only what was not confirmed."""
    room, first, second = Room([True, False]), delivery("a"), delivery("b")
    ended: list[tuple[Claim, Outcome]] = [
        (room.claim(first), DONE),
        (room.claim(second), REJECTED),
    ]
    run(room.settler.settle(ended, room.note))
    published = [each.event.event_id for each in room.publisher.published]
    assert ["a", "b", "b"] == published
    assert (1, 1) == (first.acked, second.acked)


def test_copies_share_one_outcome() -> None:
    """Publish it once; acknowledge and count every copy."""
    room, first, copy = Room(), delivery(), delivery()
    run(room.settler.settle([(room.claim(first, copy), DONE)], room.note))
    assert (1, 1, 1) == (len(room.publisher.published), first.acked, copy.acked)
    assert (1.0, 1.0) == (room.items("imported"), room.items("duplicate"))


def test_copy_whose_connection_is_gone_is_lost_not_settled() -> None:
    """Keep the sum: received = settled + held + returned + lost."""
    room, first, copy = Room(), delivery(), delivery()
    copy.live = False
    run(room.settler.settle([(room.claim(first, copy), DONE)], room.note))
    assert (1.0, 0.0) == (room.items("imported"), room.items("duplicate"))
    assert 1.0 == value(room.metrics.lost)


def test_claim_is_resolved_before_its_deliveries_are_acknowledged() -> None:
    """Let a copy that comes during the acknowledgement find the outcome."""
    room = Room()
    seen: list[int] = []

    class Late(FakeDelivery):
        def ack(self) -> None:
            seen.append(len(room.claims))
            super().ack()

    message = Late(item_event("a"), received_at=START)
    run(room.settler.settle([(room.claim(message), DONE)], room.note))
    assert ([0], 1) == (seen, len(room.resolved))


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (DONE, "imported"),
        (Imported(7, duplicate=True), "duplicate"),
        (REJECTED, "failed"),
    ],
)
def test_outcome_is_counted_by_its_name(outcome: Outcome, name: str) -> None:
    """Count every settled message once."""
    room, message = Room(), delivery()
    room.settler.held[message] = None
    run(room.settler.settle_message(message, outcome))
    total = sum(room.items(each) for each in ("imported", "duplicate", "failed", "malformed"))
    assert (1.0, 1.0) == (room.items(name), total)


def test_malformed_message_is_settled_without_a_claim() -> None:
    """Count it under `other`: it has no type."""
    room, message = Room([False]), FakeDelivery(malformed(), received_at=START)
    failed = Failed(FailureKind.MALFORMED, "NOT_JSON", "not JSON")
    run(room.settler.settle_message(message, failed))
    assert (1, 1.0) == (message.acked, room.items("malformed", "other"))
    letters = value(room.metrics.dead_letters.labels("malformed"))
    assert 1.0 == letters


def test_deliveries_go_back_unsettled() -> None:
    """Return what is live, and count what went with its connection."""
    room, live, dead = Room(), delivery("a"), delivery("b")
    dead.live = False
    room.settler.held |= {live: None, dead: None}
    back = room.settler.taken([dead, live])
    assert [live, dead] == back
    run(room.settler.give_back(back))
    assert (1, 0, {}) == (live.returned, dead.returned, room.settler.held)
    assert 1.0 == value(room.metrics.returned)


def test_two_groups_of_messages_go_back_one_after_the_other() -> None:
    """They come again in the order in which they went."""
    room, order = Room(), list[str]()

    class Slow(FakeDelivery):
        async def give_back(self) -> None:
            await asyncio.sleep(1.0)
            order.append(self.event.event_id)

    first, second = ([Slow(item_event(each)) for each in names] for names in ("ab", "cd"))

    async def story() -> None:
        await asyncio.gather(room.settler.give_back(first), room.settler.give_back(second))

    run(story())
    assert ["a", "b", "c", "d"] == order


def test_what_is_late_belongs_to_its_claim_no_more() -> None:
    """Its outcome is published for the copy that is here, and acknowledged on that alone."""
    room, late, young = Room(), delivery(), FakeDelivery(item_event("a"), received_at=START + 9)
    claim = room.claim(late, young)
    assert [late] == room.settler.taken(room.settler.late(START + 5))
    assert [young] == claim.deliveries
    run(room.settler.settle([(claim, DONE)], room.note))
    assert (0, 1) == (late.acked, young.acked)


def test_oldest_held_is_the_first_that_came() -> None:
    """Show 0 when nothing is held."""
    room = Room()

    async def ages() -> list[float]:
        empty = room.settler.oldest_held()
        first = FakeDelivery(item_event("a"), received_at=START - 5)
        room.settler.held |= {first: None, delivery("b"): None}
        return [empty, room.settler.oldest_held()]

    assert [0.0, 5.0] == run(ages())


def test_oldest_held_leaves_out_what_waits_in_doubt() -> None:
    """Whoever must not hold a message for too long still counts it."""
    room = Room()

    async def ages() -> list[float]:
        doubtful = FakeDelivery(item_event("a"), received_at=START - 9)
        claim = room.claim(doubtful)
        claim.known = claim.known.suspected(Doubt.STRONG, 0.0)
        room.settler.held |= {FakeDelivery(item_event("b"), received_at=START - 5): None}
        return [room.settler.oldest_held(), room.settler.oldest_held(waiting=True)]

    assert [5.0, 9.0] == run(ages())


def test_result_of_a_failure_is_confirmed_before_its_dead_letter_is_published() -> None:
    """While its queue is full nothing piles up elsewhere."""
    room, message = Room([False], [False]), delivery()
    run(room.settler.settle([(room.claim(message), REJECTED)], room.note))
    assert (3, 1, 1) == (len(room.publisher.published), len(room.publisher.buried), message.acked)


def test_confirmed_result_is_not_published_again_for_its_dead_letter() -> None:
    """Only what is not confirmed goes again."""
    room, message = Room(), delivery()
    room.publisher.letters = [[False], [False]]
    run(room.settler.settle([(room.claim(message), REJECTED)], room.note))
    assert (1, 3, 1) == (len(room.publisher.published), len(room.publisher.buried), message.acked)


def test_confirmed_result_stays_so_when_the_message_goes_back_and_comes_again() -> None:
    """Its copy needs the dead letter only."""
    room, message = Room(), FakeDelivery(malformed(), START)
    copy = FakeDelivery(malformed(), copy=True)
    room.publisher.letters = [[False]] * 3
    failed = Failed(FailureKind.MALFORMED, "NOT_JSON", "not JSON")

    async def story() -> None:
        task = asyncio.create_task(room.settler.settle_message(message, failed))
        room.settler.held[message] = None
        await asyncio.sleep(0.1)
        assert [message] == room.settler.late(START + 1)
        await asyncio.wait([task])
        room.publisher.letters = []
        await room.settler.settle_message(copy, failed)

    run(story())
    assert (1, 0, 1) == (len(room.publisher.published), message.acked, copy.acked)


class SlowPublisher(Publisher):
    """Confirms a second after a dead letter was published."""

    async def dead_letters(self, settlements: Sequence[Settlement]) -> list[Confirmed]:
        told = await super().dead_letters(settlements)
        await asyncio.sleep(1.0)
        return told


@pytest.mark.parametrize("way", ["taken back", "connection lost"])
def test_what_ended_while_its_message_went_back_is_not_published_again(way: str) -> None:
    """Its copy is acknowledged, and nothing more."""
    room, message, copy = Room(publisher=SlowPublisher()), delivery(), delivery()

    async def story() -> None:
        task = asyncio.create_task(
            room.settler.settle([(room.claim(message), REJECTED)], room.note)
        )
        await asyncio.sleep(0.5)
        if way == "taken back":
            assert [message] == room.settler.taken(room.settler.late(START + 1))
        else:
            message.live = False
        await task
        claim = Claim(item_event("a"), [copy], START, 1)
        assert room.claims.admit(claim, copy=True) is claim
        assert REJECTED == claim.known.outcome
        await room.settler.settle([(claim, REJECTED)], room.note)

    run(story())
    published = len(room.publisher.published), len(room.publisher.buried)
    assert ((1, 1), 0, 1) == (published, message.acked, copy.acked)


@pytest.mark.parametrize("comes", [0.5, 2.0])
def test_malformed_message_that_went_back_while_it_ended_is_not_published_again(
    comes: float,
) -> None:
    """Its copy joins, or finds that all is out."""
    room, message = Room(publisher=SlowPublisher()), FakeDelivery(malformed(), START)
    copy = FakeDelivery(malformed(), copy=True)
    failed = Failed(FailureKind.MALFORMED, "NOT_JSON", "not JSON")

    async def story() -> None:
        room.settler.held[message] = None
        task = asyncio.create_task(room.settler.settle_message(message, failed))
        await asyncio.sleep(0.2)
        assert [message] == room.settler.taken(room.settler.late(START + 1))
        await asyncio.sleep(comes)
        await room.settler.settle_message(copy, failed)
        await task

    run(story())
    published = len(room.publisher.published), len(room.publisher.buried)
    assert ((1, 1), 0, 1) == (published, message.acked, copy.acked)


@pytest.mark.error_logs
def test_bug_in_one_publish_holds_up_no_other() -> None:
    """The struck one is handed back, to be settled alone; the others end."""
    room, good, bad = Room([True, KeyError("body")]), delivery("a"), delivery("b")
    struck = room.claim(bad)
    ended: list[tuple[Claim, Outcome]] = [(room.claim(good), DONE), (struck, DONE)]
    left = run(room.settler.settle(ended, room.note))
    assert ([(struck, DONE)], 1, 0) == (left, good.acked, bad.acked)
    assert 1.0 == value(room.metrics.unexpected)
    run(room.settler.settle_apart(left[0], room.note))
    assert 1 == bad.acked
