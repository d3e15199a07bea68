"""Validator: what the portal would drop is said, at the price of one question in ten minutes."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from service.domain.claim import Claim
from service.domain.events import BatchKey, Links, Reference
from service.domain.fields import Field, Policy
from service.domain.outcomes import CallKind, Failed, FailureKind
from service.importer.field_check import (
    AGAIN_SECONDS,
    FRESH_SECONDS,
    MAX_KINDS,
    MAX_PARTS,
    WAIT_SECONDS,
    Validator,
)
from service.telemetry.metrics import Metrics
from tests.fakes import value
from tests.unit.bitrix.scripted import Clock, ScriptedPortal
from tests.unit.domain.samples import batch, claim, event, fault
from tests.virtual_time import run

DOWN = fault(CallKind.UNAVAILABLE, "CONNECTION_LOST", None, answered=False)
SMALL = 199
UNKNOWN = "titel is unknown to the portal, which ignores it: did you mean title?"


class Silent(ScriptedPortal):
    """A portal that never describes anything."""

    async def fields(self, key: BatchKey) -> Mapping[str, Field]:
        self.described.append(key)
        await asyncio.Event().wait()
        return {}


class Slow(ScriptedPortal):
    """A portal that takes its time to describe a type."""

    async def fields(self, key: BatchKey) -> Mapping[str, Field]:
        await asyncio.sleep(WAIT_SECONDS / 2)
        return await super().fields(key)


class Room:
    """A validator, the portal it asks, and the time."""

    def __init__(self, policy: Policy = "warn", portal: ScriptedPortal | None = None) -> None:
        self.portal = portal or ScriptedPortal()
        self.clock = Clock()
        self.metrics = Metrics()
        self.validator = Validator(
            portal=self.portal, policy=policy, metrics=self.metrics, clock=self.clock
        )

    async def judge(self, *claims: Claim) -> list[tuple[str, Failed]]:
        """Return who of a batch is refused, and why."""
        whole = batch(*claims)
        await self.validator.look(whole)
        refused = self.validator.refused(whole)
        return [(each.event.event_id, failed) for each, failed in refused]


def item(name: str = "a", *, original_names: bool = False, **fields: object) -> Claim:
    """Return the claim of an item with these fields."""
    raw = memoryview(json.dumps(fields).encode())
    return claim(replace(event(name, original_names=original_names), fields=raw))


class Endless(ScriptedPortal):
    """A portal whose types have as many fields as an answer can describe, but for one."""

    async def fields(self, key: BatchKey) -> Mapping[str, Field]:
        self.described.append(key)
        many = 10 if key.entity_type_id == SMALL else MAX_PARTS // 3
        return dict.fromkeys(map(str, range(many)), Field("string"))


async def test_descriptions_of_many_types_take_a_bounded_memory() -> None:
    """The largest are forgotten, and not asked for at once again: their items go unjudged."""
    room = Room(portal=Endless())
    for _ in range(2):
        for kind in (SMALL, *range(200, 210)):
            one = item(titel="x")
            one.event = replace(one.event, entity_type_id=kind)
            await room.judge(one)
    kept = [told.fields for told in room.validator._described.values()]  # noqa: SLF001
    assert sum(len(fields or {}) for fields in kept) <= MAX_PARTS
    assert 10 == len(kept[0] or {})
    assert 11 == len(room.portal.described)


async def test_warnings_are_kept_and_counted() -> None:
    """The item goes on; its result will say what was lost."""
    room = Room()
    good, bad = item("good", title="x"), item("bad", titel="x")
    assert [] == await room.judge(good, bad)
    assert ((), (UNKNOWN,)) == (good.known.warnings, bad.known.warnings)
    assert 1.0 == value(room.metrics.field_complaints.labels("unknown"))


async def test_flawed_items_are_refused_if_asked() -> None:
    """Only they, each with what is wrong and why nobody called the portal."""
    room = Room("reject")
    ((name, failed),) = await room.judge(item("good", title="x"), item("bad", titel="x"))
    assert ("bad", FailureKind.REJECTED, "VALIDATION_FAILED") == (name, failed.kind, failed.code)
    assert UNKNOWN in failed.message
    assert failed.http_status is None


async def test_nobody_asks_when_it_is_off() -> None:
    """Off costs nothing."""
    room, bad = Room("off"), item(titel="x")
    assert [] == await room.judge(bad)
    assert ([], None) == (room.portal.described, bad.known.warnings)


async def test_type_is_described_once_until_it_is_old() -> None:
    """Many batches, one question; ten minutes later one more."""
    room = Room()
    for number in range(50):
        await room.judge(item(f"e{number}", title="x"))
    assert 1 == len(room.portal.described)
    room.clock.now += FRESH_SECONDS
    room.portal.known_fields["titel"] = Field("string")
    await room.judge(late := item("late", titel="x"))
    assert (2, ()) == (len(room.portal.described), late.known.warnings)


async def test_names_are_described_as_the_batch_spells_them() -> None:
    """Two spellings are two descriptions."""
    room = Room()
    await room.judge(item(title="x"))
    await room.judge(item(title="x", original_names=True))
    assert [False, True] == [key.original_names for key in room.portal.described]


async def test_item_is_judged_once() -> None:
    """A second try neither counts nor asks again."""
    room, bad = Room(), item(titel="x")
    await room.judge(bad)
    room.clock.now += FRESH_SECONDS
    await room.judge(bad)
    assert (1, 1.0) == (
        len(room.portal.described),
        value(room.metrics.field_complaints.labels("unknown")),
    )


@pytest.mark.parametrize("policy", ["warn", "reject"])
async def test_items_go_unjudged_while_fields_are_not_described(policy: Policy) -> None:
    """Nothing waits and nothing is refused; it is asked again a minute later."""
    room = Room(policy)
    room.portal.field_faults.append(DOWN)
    first, second, third = item("a", titel="x"), item("b", titel="x"), item("c", titel="x")
    assert [] == await room.judge(first)
    assert [] == await room.judge(second)
    assert (None, None) == (first.known.warnings, second.known.warnings)
    assert 1 == len(room.portal.described)
    room.clock.now += AGAIN_SECONDS
    await room.judge(third)
    assert (UNKNOWN,) == third.known.warnings


async def test_old_description_is_better_than_none() -> None:
    """A portal that does not answer just now takes nothing away."""
    room = Room()
    await room.judge(item("a", title="x"))
    room.clock.now += FRESH_SECONDS
    room.portal.field_faults.append(DOWN)
    await room.judge(bad := item("b", titel="x"))
    assert (UNKNOWN,) == bad.known.warnings


def test_silent_portal_is_not_waited_for() -> None:
    """Some seconds once a minute, never the time of a call."""

    async def story() -> float:
        room, loop = Room(portal=Silent()), asyncio.get_running_loop()
        before = loop.time()
        assert [] == await room.judge(item("a", titel="x"))
        assert [] == await room.judge(item("b", titel="x"))
        return loop.time() - before

    assert WAIT_SECONDS == pytest.approx(run(story()), abs=0.1)


def test_batches_that_come_together_share_one_question() -> None:
    """The second waits for the first one's answer: it is judged as well."""

    async def story() -> Room:
        room, items = Room("reject", Slow()), [item("a", titel="x"), item("b", titel="x")]
        refused = await asyncio.gather(*map(room.judge, items))
        assert ["a", "b"] == [name for each in refused for name, _ in each]
        return room

    assert 1 == len(run(story()).portal.described)


async def test_number_beyond_all_bounds_is_no_trouble() -> None:
    """What the intake admits is read here, too: nobody is sent back for it."""
    room, raw = Room(), memoryview(b'{"title":"x","titel":-1e99999999999999999999}')
    odd = claim(replace(event("odd"), fields=raw))
    assert [] == await room.judge(odd, item("good", title="x"))
    assert (UNKNOWN,) == odd.known.warnings


async def test_refusal_stands_whatever_came_between() -> None:
    """Looked at before, and given back since: it is refused all the same."""
    room, bad = Room("reject"), item(titel="x")
    await room.validator.look(batch(bad))
    assert [("a", "VALIDATION_FAILED")] == [(n, f.code) for n, f in await room.judge(bad)]


def test_silent_portal_is_waited_for_once_whatever_the_number_of_types() -> None:
    """Twenty types do not wait twenty times."""

    async def story() -> float:
        room, loop = Room(portal=Silent()), asyncio.get_running_loop()
        before = loop.time()
        for number in range(1, 21):
            typed = replace(event("a"), entity_type_id=number)
            await room.judge(claim(typed))
        return loop.time() - before

    assert WAIT_SECONDS == pytest.approx(run(story()), abs=0.1)


def test_old_description_will_do_while_somebody_asks() -> None:
    """Only who asks waits for the refresh."""

    async def story() -> float:
        portal = Slow()
        room, loop = Room(portal=portal), asyncio.get_running_loop()
        await room.judge(item("a", title="x"))
        room.clock.now += FRESH_SECONDS
        asking = asyncio.ensure_future(room.judge(item("b", title="x")))
        await asyncio.sleep(0)
        before = loop.time()
        await room.judge(late := item("c", titel="x"))
        assert (UNKNOWN,) == late.known.warnings
        took = loop.time() - before
        await asking
        return took

    assert 0.0 == pytest.approx(run(story()), abs=0.01)


async def test_many_types_are_not_asked_for_again_and_again() -> None:
    """Those without a place go unjudged; in time there are places again."""
    room = Room()
    for _ in range(3):
        for number in range(1, MAX_KINDS + 50):
            await room.judge(claim(replace(event("a"), entity_type_id=number)))
    assert MAX_KINDS == len(room.portal.described)
    room.clock.now += FRESH_SECONDS
    await room.judge(claim(replace(event("a"), entity_type_id=MAX_KINDS + 99)))
    assert MAX_KINDS + 1 == len(room.portal.described)


async def test_fields_that_links_set_are_checked_as_well() -> None:
    """By their names, and whether they take one item or several."""
    room = Room()
    room.portal.known_fields |= {"contactIds": Field("crm_contact", multiple=True)}
    several = (Reference(3, "a"),)
    linked = item(title="x")
    links: Links = {"titel": Reference(3, "a"), "contactIds": several, "title2": several}
    linked.event = replace(linked.event, links=links)
    await room.judge(linked)
    assert linked.known.warnings is not None
    assert ["titel is", "title2 i"] == [each[:8] for each in linked.known.warnings]
