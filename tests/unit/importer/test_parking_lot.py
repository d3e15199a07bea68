"""Tests when an original is let go that waits elsewhere, and what its copy says of the waiting."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from service.domain.claim import Claim
from service.domain.claim_making import claim_of
from service.domain.claims import Claims
from service.domain.delivery import Parking
from service.domain.history import Doubt
from service.domain.outcomes import Failed, FailureKind
from service.domain.parking import DOUBT, LINK, Stay
from service.domain.retry import RetryPolicy
from service.importer import parking_lot
from service.importer.background import BackgroundTasks
from service.importer.inner_queues import InnerQueues
from service.importer.parking_lot import GoOn, ParkingLot
from service.importer.results import Publisher
from service.importer.settlement import Settler
from service.telemetry.metrics import Metrics
from tests.fakes import QUOTE, FakeDelivery, item_event
from tests.virtual_time import START, now, run


class Losing:
    """Inner queues whose connection is lost while a copy is published."""

    def __init__(self, *, confirms: bool) -> None:
        self.confirms = confirms

    async def usable(self, _: str) -> bool:
        return True

    async def park(self, parkings: Sequence[Parking]) -> list[bool]:
        for each in parkings:
            cast("FakeDelivery", each.delivery).live = False
        return [self.confirms] * len(parkings)

    def ack_after(self, _: str) -> float:
        return 0.0


class Taking(Losing):
    """Inner queues that take every copy."""

    def __init__(self) -> None:
        super().__init__(confirms=True)

        self.taken: list[Parking] = []

    async def park(self, parkings: Sequence[Parking]) -> list[bool]:
        self.taken += parkings
        return [True] * len(parkings)


class Refusing(Losing):
    """Inner queues that may not be used."""

    def __init__(self) -> None:
        super().__init__(confirms=False)

    async def usable(self, _: str) -> bool:
        return False


@asynccontextmanager
async def parking(
    queues: object, go_on: GoOn, clock: Callable[[], float] = lambda: 0.0
) -> AsyncIterator[tuple[ParkingLot, Settler, Claims]]:
    """Lend a lot with these queues; at the end everything that it started has ended."""
    metrics, claims = Metrics(), Claims(remember=10)
    settler = Settler(
        publisher=cast("Publisher", None),
        claims=claims,
        metrics=metrics,
        clock=clock,
        remember=10,
    )
    async with asyncio.TaskGroup() as tasks:
        background = BackgroundTasks(on_end=lambda: None, metrics=metrics)
        background.tasks = tasks
        lot = ParkingLot(
            claims=claims,
            settler=settler,
            background=background,
            metrics=metrics,
            clock=clock,
            go_on=go_on,
        )
        lot.queues = cast("InnerQueues", queues)
        yield lot, settler, claims


@pytest.mark.parametrize("confirms", [False, True])
async def test_what_is_known_of_an_event_outlives_a_parking_that_was_cut(
    *, confirms: bool
) -> None:
    """An estimate that was never sent is no doubtful one because its message comes again."""
    event = item_event("a", QUOTE)
    async with parking(Losing(confirms=confirms), lambda _: None) as (lot, settler, claims):
        first = FakeDelivery(event)
        settler.held[first] = None
        claim = claim_of(first, event, ask="doubtful", settle=1.0)
        assert claims.admit(claim, copy=False) is claim
        lot.park([claim], str(QUOTE), "plan")
    assert (0, {}) == (len(claims), settler.held)
    again = FakeDelivery(event, copy=True, times=1)
    copy = claim_of(again, event, ask="doubtful", settle=1.0)
    doubts = [copy.known.doubt]
    assert claims.admit(copy, copy=True) is copy
    assert [Doubt.STRONG, Doubt.NONE] == [*doubts, copy.known.doubt]


async def test_others_are_told_by_the_systems_clock_from_when_a_look_up_proves_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody has set it since this process started."""
    told = time.time() + 3600.0
    monkeypatch.setattr(time, "time", lambda: told)
    event, queues = item_event("a", 2), Taking()
    async with parking(queues, lambda _: None) as (lot, settler, claims):
        delivery = FakeDelivery(event, copy=True)
        settler.held[delivery] = None
        claim = claim_of(delivery, event, ask="doubtful", settle=65.0)
        claims.admit(claim, copy=True)
        lot.park([claim], "doubtful", "doubt")
    (parked,) = queues.taken
    assert parked.perhaps_sent == pytest.approx(told + 65.0)


@pytest.mark.error_logs
async def test_a_bug_when_an_event_is_parked_leaves_nobody_waiting_for_it() -> None:
    """Its original is let go, and who waited for it goes on."""
    first, second = item_event("a", 2), item_event("a", 2, body="other")
    going: list[Claim] = []
    async with parking(Taking(), going.extend) as (lot, settler, claims):
        deliveries = [FakeDelivery(first), FakeDelivery(second)]
        settler.held.update(dict.fromkeys(deliveries))
        claim = claim_of(deliveries[0], first, ask="doubtful", settle=1.0)
        waiter = claim_of(deliveries[1], second, ask="doubtful", settle=1.0)
        claims.admit(claim, copy=False)
        assert claims.admit(waiter, copy=False) is None
        lot.on_parked = boom
        lot.park([claim], "2", "plan")
    assert ([waiter], 1, 0) == (going, deliveries[0].acked, deliveries[1].acked)


@pytest.mark.error_logs
async def test_a_bug_when_an_event_cannot_wait_elsewhere_leaves_none_in_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is kept here in the end, once, and until then it counts as one that is being parked."""
    monkeypatch.setattr(parking_lot, "AGAIN", RetryPolicy(base=0.0, cap=0.0, max_attempts=1))
    kept: list[Claim] = []
    bugs = [0]

    def keep(claim: Claim) -> None:
        bugs[0] += 1
        if bugs[0] == 2:
            boom()
        kept.append(claim)

    async with parking(Refusing(), lambda _: None) as (lot, settler, claims):
        here = [item_event("a", 2), item_event("b", 2), item_event("c", 2)]
        deliveries = [FakeDelivery(event) for event in here]
        settler.held.update(dict.fromkeys(deliveries))
        ours = [
            claim_of(each, event, ask="doubtful", settle=1.0)
            for each, event in zip(deliveries, here, strict=True)
        ]
        for claim in ours:
            claims.admit(claim, copy=False)
        lot.keep = keep
        lot.park(ours, "2", "plan")
    assert (ours, [False] * 3) == (kept, [claim.leaving for claim in ours])


class Slow(Taking):
    """Inner queues that confirm only some copies at first; they note what was acknowledged."""

    def __init__(self, *answers: list[bool], young_until: float = 0.0) -> None:
        super().__init__()
        self.answers = list(answers)
        self.young_until = young_until
        self.tries: list[list[FakeDelivery]] = []
        self.acked: list[int] = []
        self.joins: FakeDelivery | None = None
        self.doubt = Doubt.NONE

    async def park(self, parkings: Sequence[Parking]) -> list[bool]:
        here = [cast("FakeDelivery", each.delivery) for each in parkings]
        self.tries.append(here)
        self.acked.append(sum(each.acked for tried in self.tries for each in tried))
        await super().park(parkings)
        if self.joins is not None:
            self.claim.deliveries.append(self.joins)
            self.claim.known = self.claim.known._replace(doubt=self.doubt)
            self.joins = None
        return self.answers.pop(0) if self.answers else [True] * len(parkings)

    def ack_after(self, _: str) -> float:
        return self.young_until

    claim: Claim


def claimed(claims: Claims, settler: Settler, *deliveries: FakeDelivery) -> Claim:
    """Return the claim that has these messages of one event."""
    event = deliveries[0].event
    assert not hasattr(event, "code")
    settler.held.update(dict.fromkeys(deliveries))
    claim = claim_of(deliveries[0], event, ask="doubtful", settle=1.0)
    claim.deliveries[:] = deliveries
    claims.admit(claim, copy=False)
    return claim


def test_no_original_is_let_go_before_its_copy_is_confirmed() -> None:
    """And no event whose copy is confirmed is put there once more."""
    queues = Slow([True, False], [False])
    first, second = FakeDelivery(item_event("a", 2)), FakeDelivery(item_event("b", 2))

    async def story() -> None:
        async with parking(queues, lambda _: None, now) as (lot, settler, claims):
            lot.park([claimed(claims, settler, each) for each in (first, second)], "2", "plan")

    run(story())
    assert [[first, second], [second], [second]] == queues.tries
    assert ([0, 1, 1], 1, 1) == (queues.acked, first.acked, second.acked)


@pytest.mark.parametrize("urgent", [False, True])
def test_all_messages_of_an_event_leave_as_one_copy(*, urgent: bool) -> None:
    """They share its outcome; one copy for each would make more with every parking."""
    queues, event = Slow(), item_event("a", 2)
    first, second = FakeDelivery(event), FakeDelivery(event, priority=9 if urgent else 0)
    late = queues.joins = FakeDelivery(event)

    async def story() -> None:
        async with parking(queues, lambda _: None, now) as (lot, settler, claims):
            queues.claim = claimed(claims, settler, first, second)
            settler.held[late] = None
            lot.park([queues.claim], "2", "plan")

    run(story())
    assert [[second if urgent else first]] == queues.tries
    assert [1, 1, 1] == [each.acked for each in (first, second, late)]


def test_what_joins_in_doubt_is_not_let_go_for_a_copy_that_says_nothing_of_it() -> None:
    """Whoever reads that copy would send it without a look."""
    queues, event = Slow(), item_event("a", 2)
    first, late = FakeDelivery(event), FakeDelivery(event)
    queues.joins, queues.doubt = late, Doubt.STRONG

    async def story() -> None:
        async with parking(queues, lambda _: None, now) as (lot, settler, claims):
            queues.claim = claimed(claims, settler, first)
            settler.held[late] = None
            lot.park([queues.claim], "2", "plan")

    run(story())
    assert [False, True] == [each.perhaps_sent is not None for each in queues.taken]
    assert ([0, 0], 1, 1) == (queues.acked, first.acked, late.acked)


def test_the_original_is_kept_while_its_queue_is_young() -> None:
    """A broker that is killed then may lose the queue with all that it has confirmed."""
    queues, only = Slow(young_until=START + 10.0), FakeDelivery(item_event("a", 2))

    async def story() -> list[int]:
        acked = []
        async with parking(queues, lambda _: None, now) as (lot, settler, claims):
            lot.park([claimed(claims, settler, only)], "2", "plan")
            for seconds in (9.9, 0.2):
                await asyncio.sleep(seconds)
                acked.append(only.acked)
        return acked

    assert [0, 1] == run(story())


def test_a_lost_connection_is_no_reason_to_keep_an_event_here() -> None:
    """Its lane would pause the whole intake at each restart of the broker."""
    up, kept = [True], list[Claim]()

    class Restarting(Taking):
        asked = 0

        async def usable(self, _: str) -> bool:
            self.asked += 1
            up[0] = self.asked > 1
            if not up[0]:
                asyncio.get_running_loop().call_later(3.0, up.__setitem__, 0, True)  # noqa: FBT003
            return up[0]

    queues, only = Restarting(), FakeDelivery(item_event("a", 2))

    async def story() -> None:
        async with parking(queues, lambda _: None, now) as (lot, settler, claims):
            lot.connected, lot.keep = lambda: up[0], kept.append
            lot.park([claimed(claims, settler, only)], "2", "plan")

    run(story())
    assert ([], 1, 1) == (kept, len(queues.taken), only.acked)


async def test_a_copy_says_how_long_its_event_has_waited_for_items() -> None:
    """It would wait for ever if each stay began anew."""
    queues = Taking()
    async with parking(queues, lambda _: None) as (lot, settler, claims):
        claim = claimed(claims, settler, FakeDelivery(item_event("a", 2)))
        claim.known = claim.known.with_links(claim.known.links.came_back(33.0, 0.0, 0.0))
        lot.park([claim], "links", LINK)
    assert [33.0] == [each.waited for each in queues.taken]


async def test_waiting_for_a_proof_counts_on_from_stay_to_stay() -> None:
    """From the first look-up that was answered: before that nothing counts."""
    async with parking(Taking(), lambda _: None) as (lot, _, __):
        lot.open_since = lambda _, __: 5.0
        stays = [Stay("doubtful", DOUBT, waited, 0.0, None, 1, 0.0) for waited in (0.0, 7.0)]
        event = item_event("a", 2)
        assert [0.0, 12.0] == [lot.back(event, each).waited for each in stays]
        links = Stay("links", LINK, 7.0, 0.0, None, 1, 0.0)
        assert lot.back(event, links) == links


async def test_what_this_process_has_sent_itself_is_looked_up_here() -> None:
    """How its call broke tells whose fault that was; and what waits briefly need not move."""
    fault = Failed(FailureKind.REJECTED, "CALL_TIMED_OUT", "late")
    async with parking(Taking(), lambda _: None) as (lot, settler, claims):
        theirs = claimed(claims, settler, FakeDelivery(item_event("a", 2)))
        ours = claimed(claims, settler, FakeDelivery(item_event("b", 2)))
        ours.known = ours.known.perhaps_sent(fault, 60.0)
        estimate = claimed(claims, settler, FakeDelivery(item_event("c", QUOTE)))
        elsewhere = [lot.worth(each, 60.0) for each in (theirs, ours, estimate)]
        assert ([True, False, False], False) == (elsewhere, lot.worth(theirs, 4.0))


def boom(*_: object) -> None:
    """Be a bug."""
    raise RuntimeError("a bug")


async def test_an_event_of_a_shut_lane_that_lacks_items_waits_for_these_first() -> None:
    """In the order doubt, links, lane; the others wait for the lane."""
    queues = Taking()
    async with parking(queues, lambda _: None) as (lot, settler, claims):
        both = [item_event(name) for name in ("lacks", "has")]
        lot.lacks_items = lambda claim: claim.event is both[0]
        made = []
        for event in both:
            delivery = FakeDelivery(event)
            settler.held[delivery] = None
            made.append(claim_of(delivery, event, ask="doubtful", settle=1.0))
            claims.admit(made[-1], copy=False)
        lot.set_aside(made, 2, "scope")
    waits = {(each.delivery.event.event_id, each.queue, each.reason) for each in queues.taken}
    assert {("lacks", "links", "link"), ("has", "2", "scope")} == waits
