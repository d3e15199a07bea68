"""Tests where the numbers for links come from, and what follows while one is not known."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import pytest

from service.domain.batch import Batch, ClosedBy
from service.domain.claim import Claim
from service.domain.claims import Claims
from service.domain.decisions import Decision
from service.domain.events import Identity, ItemEvent, Links, Reference, event_digest
from service.domain.external_id import ExternalIds
from service.domain.history import History
from service.domain.last_words import LastWord, LastWords, Word
from service.domain.linking import Linking
from service.domain.outcomes import (
    CallKind,
    Failed,
    FailureKind,
    Fault,
    Imported,
    PauseReason,
)
from service.importer.link_numbers import MAX_ASKED
from service.importer.link_resolution import LinkResolution, to_send
from service.importer.memory import CallNotes
from service.telemetry.metrics import Metrics
from tests.unit.bitrix.scripted import Clock, ScriptedPortal
from tests.unit.domain.samples import RULES, batch, claim, event, fault

IDS = ExternalIds("crm-importer")
WAIT, GAP = 100.0, 5.0
UNKNOWN_TYPE = fault(CallKind.UNSUPPORTED, "NOT_FOUND")
REFUSED = Failed(FailureKind.REJECTED, "0", '"[Contact #5] denied"', 200)


@dataclass
class Words:
    """A memory that keeps what it is told."""

    words: LastWords
    writer: int = 1
    reliable: bool = True
    tells_queues: bool = True

    async def catch_up(self) -> bool:
        """Know everything."""
        return True

    async def before_call(self, _: Sequence[LastWord]) -> list[LastWord | None] | None:
        """Know of nothing that stands in the way."""
        return None

    async def add(self, words: Sequence[LastWord]) -> bool:
        """Take words."""
        for each in words:
            self.words.say(each)
        return True

    async def set_back(self) -> None:
        """Do nothing."""


class Bench:
    """One resolution with its neighbours."""

    def __init__(self) -> None:
        """Start with an empty portal, and an empty memory."""
        self.portal = ScriptedPortal()
        self.claims = Claims(remember=100)
        self.metrics, self.clock, self.open_seconds = Metrics(), Clock(), Clock(0.0)
        self.notes = CallNotes(proof=135.0, clock=self.clock)
        self.words = LastWords(100)
        self.notes.memory = Words(self.words)
        self.links = LinkResolution(
            portal=self.portal,
            claims=self.claims,
            rules=replace(RULES, links_wait=WAIT, links_gap=GAP),
            metrics=self.metrics,
            notes=self.notes,
            open_seconds=self.open_seconds,
        )

    async def prepare(self, *claims: Claim) -> tuple[list[Claim], Decision]:
        """Resolve a batch; return what may be sent, and what follows for the rest."""
        decision = Decision()
        prepared = await self.links.prepare(batch(*claims), decision)
        ready = list(prepared.ready.claims) if prepared.ready is not None else []
        kept = prepared.kept.claims if prepared.kept is not None else ()
        told = [*ready, *kept, *(claim for claim, _ in decision.ended)]
        told += [claim for claim, _ in decision.later]
        told += [claim for claim, _, _ in decision.parked]
        assert sorted(map(id, told)) == sorted(map(id, claims))
        return ready, await self.links.after(decision)

    def imported(self, entity_type_id: int, name: str) -> int:
        """Put the item of an event into the portal."""
        return self.portal.create(
            replace(
                event(name, entity_type_id=entity_type_id),
                external_id=IDS.of(entity_type_id, name),
            )
        )

    def remembered(self, entity_type_id: int, name: str, item_id: int, at: float = 1.0) -> None:
        """Let the memory know an imported item."""
        digest = event_digest(Identity(entity_type_id, name))
        self.words.say(LastWord(digest, Word.IMPORTED, entity_type_id, at, 7, item_id))

    def passes(self, seconds: float) -> None:
        """Let time pass in which the portal takes imports."""
        self.clock.now += seconds
        self.open_seconds.now += seconds

    def counted(self, result: str) -> float:
        """Return how many references were resolved so, or given up for that."""
        name = "importer_links_total"
        return self.metrics.registry.get_sample_value(name, {"result": result}) or 0.0


def ref(entity_type_id: int, name: str, originator: str | None = None) -> Reference:
    """Return a reference as the decoder makes it."""
    external = IDS.of(entity_type_id, name, originator)
    return Reference(entity_type_id, name, originator, external)


def linked(name: str, links: Links | None = None, *, entity_type_id: int = 2) -> Claim:
    """Return the claim of an event that refers to others, by default to one contact."""
    item: ItemEvent = replace(
        event(name, entity_type_id=entity_type_id),
        links=links if links is not None else {"contactId": ref(3, "c")},
    )
    return claim(item)


@pytest.fixture
def bench() -> Bench:
    """Give the test a resolution."""
    return Bench()


async def test_a_number_comes_from_the_memory_without_a_call(bench: Bench) -> None:
    """One field, or a list; the event that is sent has them before its own fields."""
    bench.remembered(3, "c", 4711)
    bench.remembered(3, "d", 4712)
    one = linked("a", {"contactId": ref(3, "c"), "contactIds": (ref(3, "d"), ref(3, "c"))})
    ready, _ = await bench.prepare(one, linked("plain", {}))
    assert [one, ready[1]] == ready
    assert b'"contactId": 4711,"contactIds": [4712, 4711],' == to_send(one).linked.replace(
        b":", b": "
    )
    assert {"contactId": 4711, "contactIds": [4712, 4711]} == one.known.links.values
    assert [] == bench.portal.failed_look_ups
    assert 2 == bench.counted("memory")
    assert to_send(one).content == one.event.content
    assert to_send(ready[1]) is ready[1].event


async def test_what_is_not_remembered_is_looked_up_once_a_type_and_batch(bench: Bench) -> None:
    """By the external id that stamping gives, also of another originator; the lowest id counts."""
    item_ids = [bench.imported(3, "c"), bench.imported(3, "c"), bench.imported(4, "f")]
    foreign = replace(event("o", entity_type_id=3), external_id=IDS.of(3, "o", "1c"))
    item_ids.append(bench.portal.create(foreign))
    claims = [
        linked("a", {"contactId": ref(3, "c"), "companyId": ref(4, "f")}),
        linked("b", {"contactId": ref(3, "c")}),
        linked("d", {"contactId": ref(3, "o", "1c")}),
    ]
    ready, _ = await bench.prepare(*claims)
    assert claims == ready
    assert {"contactId": item_ids[0], "companyId": item_ids[2]} == claims[0].known.links.values
    assert {"contactId": item_ids[3]} == claims[2].known.links.values
    assert [["c", "o"], ["f"]] == bench.portal.failed_look_ups
    await bench.prepare(linked("later"))
    assert 2 == len(bench.portal.failed_look_ups)
    assert (4, 1) == (bench.counted("looked_up"), bench.counted("memory"))


async def test_an_item_of_another_originator_is_not_ours(bench: Bench) -> None:
    """Whatever the memory says of our event with the same id."""
    bench.remembered(3, "c", 4711)
    ready, decision = await bench.prepare(linked("a", {"contactId": ref(3, "c", "1c")}))
    assert ([], 1) == (ready, len(decision.parked))


async def test_our_event_in_flight_is_not_the_one_of_another_originator(bench: Bench) -> None:
    """What is meant is asked for, and waited for elsewhere."""
    bench.claims.admit(linked("c", {}, entity_type_id=3), copy=False)
    order = linked("a", {"contactId": ref(3, "c", "1c")})
    _, decision = await bench.prepare(order)
    assert [["c"]] == bench.portal.failed_look_ups
    assert ([], [(order, "links", "link")]) == (decision.later, decision.parked)


async def test_an_event_waits_here_for_one_in_flight(bench: Bench) -> None:
    """Not asked for; it goes on when that one's item is known, and waits elsewhere after 5 s."""
    contact, order = linked("c", {}, entity_type_id=3), linked("a")
    bench.claims.admit(contact, copy=False)
    _, decision = await bench.prepare(order)
    assert [(order, bench.clock.now + 5.0)] == decision.later
    assert ([], False) == (bench.portal.failed_look_ups, bench.links.may_go_on(order))
    await bench.links.after(Decision(ended=[(contact, Imported(9))]))
    assert bench.links.may_go_on(order)
    ready, _ = await bench.prepare(order)
    assert ([order], {"contactId": 9}) == (ready, order.known.links.values)
    assert 1 == bench.counted("in_flight")
    other = linked("b", {"companyId": ref(4, "f")})
    bench.claims.admit(linked("f", {}, entity_type_id=4), copy=False)
    await bench.prepare(other)
    bench.passes(5.1)
    _, decision = await bench.prepare(other)
    assert [(other, "links", "link")] == decision.parked


async def test_one_of_several_that_came_wakes_an_event_once(bench: Bench) -> None:
    """It then waits for the others: what is known already is no reason to look again."""
    contact = linked("c", {}, entity_type_id=3)
    for each in (contact, linked("f", {}, entity_type_id=4)):
        bench.claims.admit(each, copy=False)
    order = linked("a", {"contactId": ref(3, "c"), "companyId": ref(4, "f")})
    await bench.prepare(order)
    await bench.links.after(Decision(ended=[(contact, Imported(9))]))
    assert bench.links.may_go_on(order)
    await bench.prepare(order)
    assert not bench.links.may_go_on(order)


async def test_what_waits_here_needs_room(bench: Bench) -> None:
    """Where much is held it waits in the inner queue."""
    bench.claims.admit(linked("c", {}, entity_type_id=3), copy=False)
    bench.links.may_hold = lambda: False
    order = linked("a")
    _, decision = await bench.prepare(order)
    assert [(order, "links", "link")] == decision.parked


async def test_an_imported_item_wakes_what_waits_for_it(bench: Bench) -> None:
    """A failed one does not, nor one that nobody waits for."""
    await bench.prepare(linked("a"))
    contact, other = linked("c", {}, entity_type_id=3), linked("d", {}, entity_type_id=3)
    assert not bench.links.wakes([(contact, REFUSED), (other, Imported(1))])
    assert bench.links.wakes([(contact, Imported(1))])
    assert 1 == bench.metrics.registry.get_sample_value("importer_links_waiting")


async def test_looking_for_what_waits_is_paced(bench: Bench) -> None:
    """One call in ten: what was asked for in vain, and what is new after a futile look-up."""
    for name in ("a", "b", "d"):
        await bench.prepare(linked(name))
    assert [["c"]] == bench.portal.failed_look_ups
    new = linked("n", {"contactId": ref(3, "new")})
    _, decision = await bench.prepare(new)
    assert [(new, bench.clock.now + GAP)] == decision.later
    bench.passes(GAP)
    await bench.prepare(new, linked("a"))
    assert ["new", "c"] == bench.portal.failed_look_ups[1]
    bench.imported(5, "x")
    await bench.prepare(linked("e", {"companyId": ref(4, "f")}))
    assert 3 == len(bench.portal.failed_look_ups)


async def test_a_new_event_that_a_batch_could_not_resolve_need_not_join_one(bench: Bench) -> None:
    """Nothing of it is in flight, and nothing may be asked for; its waiting counts from now on."""
    await bench.prepare(linked("a"))
    waits, asks = linked("b"), linked("new", {"contactId": ref(3, "new")})
    assert bench.links.must_wait(waits)
    assert not bench.links.must_wait(asks)
    assert not bench.links.must_wait(linked("other type", {"companyId": ref(4, "f")}))
    await bench.prepare(linked("d", {"contactId": ref(3, "d")}))
    bench.passes(GAP)
    await bench.prepare(linked("e", {"contactId": ref(3, "e")}))
    assert bench.links.must_wait(asks)
    assert 5 == bench.metrics.registry.get_sample_value("importer_links_waiting")
    bench.remembered(3, "c", 7)
    for each in (linked("g"), linked("plain", {}), linked("x", {"x": ref(9, "never")})):
        assert not bench.links.must_wait(each)
    bench.claims.admit(linked("new", {}, entity_type_id=3), copy=False)
    assert not bench.links.must_wait(asks)


async def test_an_event_of_a_shut_lane_waits_for_items_first(bench: Bench) -> None:
    """Without a call; what can be resolved, or never, waits for the lane alone."""
    waits = linked("a")
    assert bench.links.lacks(waits)
    assert 1 == bench.metrics.registry.get_sample_value("importer_links_waiting")
    never, plain = linked("n", {"x": ref(9, "never")}), linked("p", {})
    assert [False, False] == [bench.links.lacks(each) for each in (never, plain)]
    bench.remembered(3, "c", 7)
    assert not bench.links.lacks(waits)
    assert not bench.portal.failed_look_ups


async def test_a_fruitful_type_is_asked_without_a_pause(bench: Bench) -> None:
    """Orders of customers that were imported long ago need a call for each batch."""
    for number in range(4):
        bench.imported(3, f"c{number}")
        ready, _ = await bench.prepare(linked("a", {"contactId": ref(3, f"c{number}")}))
        assert 1 == len(ready)


async def test_one_look_up_asks_for_no_more_than_a_page(bench: Bench) -> None:
    """The rest is asked for at once after it; nothing is asked for twice."""
    names = [f"c{number}" for number in range(2 * MAX_ASKED)]
    for each in names:
        bench.imported(3, each)
    order = linked("a", {"contactIds": tuple(ref(3, each) for each in names)})
    _, decision = await bench.prepare(order)
    assert [(order, bench.clock.now)] == decision.later
    ready, _ = await bench.prepare(order)
    assert ([order], names) == (ready, [*chain(*bench.portal.failed_look_ups)])


@pytest.mark.parametrize(
    ("number", "said"), [(9, "no field for an external id"), (77, "knows no entity type 77")]
)
async def test_what_cannot_be_found_by_anybody_fails_at_once(
    bench: Bench, number: int, said: str
) -> None:
    """A type without external id, or that the portal does not know; with the remedy."""
    ids = ExternalIds("crm-importer", {77: "ufCrm_1"})
    bench.portal.look_up_faults.append(UNKNOWN_TYPE)
    order = linked("a", {"parentId9": Reference(number, "x", None, ids.of(number, "x"))})
    _, decision = await bench.prepare(order)
    [(claim, end)] = decision.ended
    assert isinstance(end, Failed)
    assert (order, "LINK_NOT_POSSIBLE", FailureKind.REJECTED) == (claim, end.code, end.kind)
    assert said in end.message
    assert 'links "parentId9": ' in end.message
    assert f"{number}/x" in end.message
    assert 1 == bench.counted("impossible")


async def test_a_failed_look_up_keeps_back_only_what_needs_it(bench: Bench) -> None:
    """The rest of the batch goes, and the portal's trouble is told."""
    bench.portal.look_up_faults.append(fault(CallKind.UNAVAILABLE, "CONNECTION_LOST", None))
    bench.remembered(3, "known", 5)
    order, other = linked("a"), linked("b", {"contactId": ref(3, "known")})
    decision = Decision()
    prepared = await bench.links.prepare(batch(order, other), decision)
    assert prepared.kept is not None
    assert prepared.ready is not None
    assert prepared.fault is not None
    assert ((order,), (other,)) == (prepared.kept.claims, prepared.ready.claims)


async def test_a_type_that_may_not_be_read_is_waited_for(bench: Bench) -> None:
    """Rights come back; a portal that is shut to everything is told."""
    denied = fault(CallKind.SUSPECT, "ACCESS_DENIED", pause=PauseReason.PLAN)
    bench.portal.look_up_faults += [denied, denied]
    _, decision = await bench.prepare(linked("a"))
    assert 1 == len(decision.parked)
    bench.passes(GAP)
    bench.portal.probe_faults.append(fault(CallKind.BARRED, "INVALID_CREDENTIALS", 401))
    prepared = await bench.links.prepare(
        batch(linked("b", {"contactId": ref(3, "d")})), Decision()
    )
    assert isinstance(prepared.fault, Fault)


async def test_after_long_enough_it_is_asked_for_once_more_and_fails(bench: Bench) -> None:
    """The time counts while the portal takes imports; the message names field and reference."""
    order = linked("a", {"contactIds": (ref(3, "c"), ref(3, "d"))})
    await bench.prepare(order)
    bench.clock.now += 10 * WAIT
    _, decision = await bench.prepare(order)
    assert 1 == len(decision.parked)
    bench.passes(WAIT - 1.0)
    assert 1 == len((await bench.prepare(order))[1].parked)
    calls = len(bench.portal.failed_look_ups)
    bench.passes(1.0)
    _, decision = await bench.prepare(order)
    [(_, end)] = decision.ended
    assert isinstance(end, Failed)
    assert ("LINK_NOT_FOUND", calls + 1) == (end.code, len(bench.portal.failed_look_ups))
    for said in ('links "contactIds"', "3/c", "3/d", "100 s", "redrive"):
        assert said in end.message
    assert 1 == bench.counted("timed_out")
    assert 0 == bench.metrics.registry.get_sample_value("importer_links_waiting")


async def test_the_last_look_up_may_find_it(bench: Bench) -> None:
    """Then it is sent."""
    order = linked("a")
    await bench.prepare(order)
    bench.passes(WAIT)
    bench.imported(3, "c")
    assert [order] == (await bench.prepare(order))[0]


async def test_many_last_references_are_each_asked_for_once_more(bench: Bench) -> None:
    """A page at a time, until all are."""
    names = [f"c{number}" for number in range(2 * MAX_ASKED + 1)]
    order = linked("a", {"contactIds": tuple(ref(3, each) for each in names)})
    for _ in range(4):
        await bench.prepare(order)
        bench.passes(GAP)
    bench.passes(WAIT)
    bench.portal.failed_look_ups.clear()
    ends = [len((await bench.prepare(order))[1].ended) for _ in range(3)]
    assert [0, 0, 1] == ends
    assert sorted(names) == sorted([*chain(*bench.portal.failed_look_ups)])


async def test_time_in_which_a_lane_is_closed_does_not_count(bench: Bench) -> None:
    """Its own, or one that it refers to."""
    for closed in (2, 3):
        order = linked(f"a{closed}")
        bench.links.waiting.lane_is_open = lambda each, closed=closed: each != closed  # type: ignore[misc]
        await bench.prepare(order)
        bench.passes(10 * WAIT)
        assert not (await bench.prepare(order))[1].ended
        bench.links.waiting.lane_is_open = lambda _: True
        await bench.prepare(order)
        bench.passes(WAIT)
        assert (await bench.prepare(order))[1].ended


async def test_waiting_goes_on_being_counted_in_another_process(bench: Bench) -> None:
    """Only what the processes ran of it: what the message says, and what has run here since."""
    order = linked("a")
    order.known = History(links=Linking().came_back(WAIT - 10.0, time.time() - 10 * WAIT, 0.0))
    bench.passes(9.0)
    assert not (await bench.prepare(order))[1].ended
    bench.passes(1.0)
    assert (await bench.prepare(order))[1].ended
    late = linked("b")
    late.known = History(links=Linking().came_back(WAIT - 10.0, time.time() - 1.0, 0.0))
    assert not (await bench.prepare(late))[1].ended
    seen, back = linked("c"), linked("c")
    await bench.prepare(seen)
    bench.passes(WAIT)
    back.known = History(links=Linking().came_back(WAIT - 10.0, time.time() - 1.0, 0.0))
    assert not (await bench.prepare(back))[1].ended, "who parked it had counted that already"


async def test_copies_of_a_waiting_event_share_its_time(bench: Bench) -> None:
    """However many there are, and in turn: each has waited as long as the event."""
    copies = [linked("a") for _ in range(4)]
    looks = 0
    while not (decision := (await bench.prepare(copies[looks % 4]))[1]).ended:
        copy, looks = copies[looks % 4], looks + 1
        links = copy.known.links
        copy.known = History(links=Linking().came_back(links.waited, time.time() - WAIT, 0.0))
        bench.passes(WAIT / 8)
    assert 8 == looks, "eight times an eighth since the first of them was published"
    assert "was not found in" in _message(decision)


async def test_no_message_has_waited_since_before_it_came(bench: Bench) -> None:
    """An earlier one may have ended in another process, or had other links."""
    old, moment = linked("a"), time.time()
    for _ in range(4):
        await bench.prepare(old)
        bench.passes(WAIT * 0.33)
    redriven = linked("a", {"contactId": ref(3, "right")})
    redriven.known = History(links=Linking().came_back(2.0, moment - 1.0, moment - 3.0))
    assert not (await bench.prepare(redriven))[1].ended
    assert 2.0 <= redriven.known.links.waited < WAIT / 2


async def test_a_new_publish_of_a_failed_event_waits_anew(bench: Bench) -> None:
    """What an earlier one has waited is no part of it."""
    await bench.prepare(linked("a"))
    bench.passes(10 * WAIT)
    assert not (await bench.prepare(linked("a")))[1].ended


async def test_events_that_wait_for_one_another_are_named(bench: Bench) -> None:
    """Each ends with the whole circle; who only waits for one of them does not name it."""
    circle = [
        linked("a", {"x": ref(3, "b")}),
        linked("b", {"x": ref(4, "c")}, entity_type_id=3),
        linked("c", {"x": ref(2, "a")}, entity_type_id=4),
    ]
    outside = linked("o", {"x": ref(2, "a")})
    for each in (*circle, outside):
        bench.claims.admit(each, copy=False)
        await bench.prepare(each)
    bench.passes(WAIT)
    _, decision = await bench.prepare(outside)
    assert "one another" not in _message(decision)
    names = ["2/a", "3/b", "4/c"] * 2
    for place in (0, 2, 1):
        _, decision = await bench.prepare(circle[place])
        bench.claims.resolve(*decision.ended[0])
        assert " → ".join(names[place : place + 4]) in _message(decision)


async def test_what_is_being_imported_is_waited_for_beyond_the_end(bench: Bench) -> None:
    """It ends soon, one way or the other."""
    order, contact = linked("a"), linked("c", {}, entity_type_id=3)
    await bench.prepare(order)
    bench.passes(WAIT)
    bench.claims.admit(contact, copy=False)
    assert not (await bench.prepare(order))[1].ended
    bench.claims.resolve(contact, REFUSED)
    assert (await bench.prepare(order))[1].ended


async def test_a_set_back_portal_makes_every_number_a_question(bench: Bench) -> None:
    """Remembered, looked up, or resolved already."""
    bench.remembered(3, "c", 4711, at=10.0)
    order = linked("a")
    await bench.prepare(order)
    bench.words.set_back(time.time() + 1.0)
    _, decision = await bench.prepare(order)
    assert ([["c"]], 1) == (bench.portal.failed_look_ups, len(decision.parked))


async def test_what_was_looked_up_before_a_set_back_is_looked_up_again(bench: Bench) -> None:
    """The portal gives its numbers out anew: the old one may be another item by now."""
    bench.imported(3, "c")
    await bench.prepare(linked("before"))
    bench.words.set_back(2.0)
    ready, _ = await bench.prepare(after := linked("after"))
    assert ([after], [["c"], ["c"]]) == (ready, bench.portal.failed_look_ups)


async def test_a_refused_number_that_is_gone_is_forgotten(bench: Bench) -> None:
    """The event is not ended; a new publish of the other is looked up, and sent if absent."""
    bench.remembered(3, "c", 4711)
    order = linked("a")
    await bench.prepare(order)
    order.known = order.known._replace(attempts=1)
    decision = await bench.links.after(Decision(ended=[(order, REFUSED)]))
    assert ([], [(order, bench.clock.now)]) == (decision.ended, decision.later)
    word = bench.words.of(event_digest(Identity(3, "c")))
    assert word is not None
    assert (Word.UNKNOWN, True) == (word.word, bench.notes.look_at(word) <= bench.clock.now)
    _, decision = await bench.prepare(order)
    assert [(order, "links", "link")] == decision.parked


async def test_a_refused_number_that_changed_is_sent_anew(bench: Bench) -> None:
    """The portal shows another item; refused again, that stands."""
    bench.remembered(3, "c", 4711)
    order = linked("a")
    await bench.prepare(order)
    order.known = order.known._replace(attempts=1)
    bench.imported(3, "c")
    assert not (await bench.links.after(Decision(ended=[(order, REFUSED)]))).ended
    assert [order] == (await bench.prepare(order))[0]
    assert {"contactId": 1} == order.known.links.values
    bench.portal.items.clear()
    bench.imported(3, "c")
    assert (await bench.links.after(Decision(ended=[(order, REFUSED)]))).ended


async def test_a_looked_up_number_that_is_gone_is_forgotten_too(bench: Bench) -> None:
    """Somebody has deleted the item since: it is waited for, and not sent again."""
    bench.imported(3, "c")
    order = linked("a")
    await bench.prepare(order)
    order.known = order.known._replace(attempts=1)
    bench.portal.items.clear()
    assert not (await bench.links.after(Decision(ended=[(order, REFUSED)]))).ended
    assert [(order, "links", "link")] == (await bench.prepare(order))[1].parked


@pytest.mark.parametrize(
    "end",
    [
        Failed(FailureKind.REJECTED, "CRM_FIELD_ERROR_REQUIRED", "no title", 200),
        Failed(FailureKind.AMBIGUOUS, "0", "perhaps", 200),
        Imported(5),
    ],
)
async def test_other_ends_stand(bench: Bench, end: Failed | Imported) -> None:
    """They have nothing to do with the links."""
    bench.remembered(3, "c", 4711)
    order = linked("a")
    await bench.prepare(order)
    order.known = order.known._replace(attempts=1)
    assert [(order, end)] == (await bench.links.after(Decision(ended=[(order, end)]))).ended
    assert [] == bench.portal.failed_look_ups


async def test_a_right_number_lets_the_refusal_stand(bench: Bench) -> None:
    """The fault is elsewhere in the item; so it is where nobody can look."""
    number = bench.imported(3, "c")
    bench.remembered(3, "c", number)
    for faults in ([], [fault(CallKind.SUSPECT, "ACCESS_DENIED")], [UNKNOWN_TYPE]):
        bench.portal.look_up_faults.extend(faults)
        order = linked("a")
        await bench.prepare(order)
        order.known = order.known._replace(attempts=1)
        assert (await bench.links.after(Decision(ended=[(order, REFUSED)]))).ended


async def test_while_nobody_can_be_asked_a_refused_event_is_tried_again(bench: Bench) -> None:
    """Later: nothing is forgotten."""
    bench.remembered(3, "c", 4711)
    bench.portal.look_up_faults.append(fault(CallKind.UNAVAILABLE, "CONNECTION_LOST", None))
    order = linked("a")
    await bench.prepare(order)
    order.known = order.known._replace(attempts=1)
    decision = await bench.links.after(Decision(ended=[(order, REFUSED)]))
    assert ([], [(order, bench.clock.now + 60.0)]) == (decision.ended, decision.later)
    assert [order] == (await bench.prepare(order))[0]


async def test_the_result_of_a_found_item_tells_its_links_where_they_are_known(
    bench: Bench,
) -> None:
    """From memory; the portal is not asked for that."""
    bench.remembered(3, "c", 4711)
    known, unknown = linked("a"), linked("b", {"contactId": ref(3, "d")})
    ended = [(each, Imported(1, reconciled=True)) for each in (known, unknown)]
    await bench.links.after(Decision(ended=list(ended)))
    assert ({"contactId": 4711}, None) == (known.known.links.values, unknown.known.links.values)
    assert [] == bench.portal.failed_look_ups


def _claims(found: Batch | None) -> list[Claim]:
    return [] if found is None else list(found.claims)


def _message(decision: Decision) -> str:
    [(_, end)] = decision.ended
    assert isinstance(end, Failed)
    return end.message


async def test_others_take_the_places_of_those_that_wait_while_a_batch_is_full(
    bench: Bench,
) -> None:
    """While more wait than fit into a call; else, and where none waits, it is sent at once."""
    bench.remembered(3, "known", 5)
    few = [linked("a", {"contactId": ref(3, "known")}), linked("plain", {})]
    for closed_by, full in (
        (ClosedBy.WINDOW, False),
        (ClosedBy.SIZE, True),
        (ClosedBy.PRESSURE, True),
    ):
        decision = Decision()
        whole = batch(*few, linked(f"w{closed_by}"))._replace(closed_by=closed_by)
        prepared = await bench.links.prepare(whole, decision)
        assert (few, []) == (
            _claims(decision.again[0] if full else prepared.ready),
            decision.later,
        )
        if full:
            [rest] = decision.again
            assert (True, bench.clock.now) == (rest.refilled, rest.due)
            assert prepared.ready is None
            assert rest == (await bench.links.prepare(rest, Decision())).ready


async def test_what_may_go_is_not_kept_for_long_while_its_call_is_filled(bench: Bench) -> None:
    """However many come that wait: after a second it goes with the places empty."""
    bench.remembered(3, "known", 5)
    ready = linked("a", {"contactId": ref(3, "known")})
    whole = batch(ready, linked("w"))._replace(closed_by=ClosedBy.SIZE)
    rounds, decision = 0, Decision()
    while (prepared := await bench.links.prepare(whole, decision)).ready is None:
        [rest] = decision.again
        rounds, decision = rounds + 1, Decision()
        whole = rest.only([*rest.claims, linked(f"w{rounds}")])
        bench.clock.now += 0.1
    assert [ready] == _claims(prepared.ready)
    assert 10 <= rounds <= 12


@pytest.mark.parametrize("references", [90, 150, 500])
async def test_an_event_with_many_references_ends_too(bench: Bench, references: int) -> None:
    """One look-up asks for some of them; parked in between, it is known which it has asked for."""
    links = {"contactIds": tuple(ref(3, f"gone{n}") for n in range(references))}
    order = linked("a", links)
    order.known = History(links=Linking().came_back(10 * WAIT, time.time() - 1.0, 0.0))
    decision = Decision()
    for _ in range(20):
        _, decision = await bench.prepare(order)
        if decision.ended:
            break
        waited = order.known.links.waited
        bench.passes(WAIT)
        if decision.parked:
            order = linked("a", links)
            order.known = History(links=Linking().came_back(waited, time.time() - WAIT, 0.0))
    assert f"{references - 1} other references" in _message(decision)


async def test_look_ups_in_vain_become_rare(bench: Bench) -> None:
    """In a load of new items; one that finds something makes them frequent again."""
    asked = []
    for number in range(40):
        await bench.prepare(linked(f"a{number}", {"contactId": ref(3, f"new{number}")}))
        asked.append(len(bench.portal.failed_look_ups))
        bench.passes(GAP)
    assert (1, 2, 2, 3) == tuple(asked[:4])
    assert asked[-1] <= 7
    for number in range(60, 80):
        bench.imported(3, f"old{number}")
        await bench.prepare(linked(f"b{number}", {"contactId": ref(3, f"old{number}")}))
        bench.passes(GAP)
    assert len(bench.portal.failed_look_ups) >= asked[-1] + 8
