"""Proves "effectively once" under everything the portal can do wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.world import World, deals

EVENTS = 60
POISON = "the poisoned one"

Script = Sequence[Mapping[str, Any]]

FAULTS: Mapping[str, Script] = {
    "hang before commit": [{"kind": "hang_before_commit", "seconds": 4, "times": 2}],
    "hang after commit": [{"kind": "hang_after_commit", "seconds": 4, "times": 2}],
    "cut before commit": [{"kind": "cut_before_commit", "times": 3}],
    "cut after commit": [{"kind": "cut_after_commit", "times": 3}],
    "partial then error": [{"kind": "partial_then_error", "items": 7, "times": 2}],
    "partial then cut": [{"kind": "partial_then_cut", "items": 7, "times": 2}],
    "HTML 502, committed": [{"kind": "html", "status": 502, "committed": True, "times": 2}],
    "HTML 503, not committed": [{"kind": "html", "status": 503, "times": 2}],
    "HTML 504, committed": [{"kind": "html", "status": 504, "committed": True, "times": 2}],
    "truncated answer": [{"kind": "truncated", "times": 2}],
    "entry missing": [{"kind": "wrong_count", "missing": 1, "times": 2}],
    "entry too many": [{"kind": "wrong_count", "surplus": 1, "times": 2}],
    "null entry": [{"kind": "null_entry", "index": 3, "times": 2}],
    "id zero": [{"kind": "id_zero", "index": 3, "times": 2}],
    "list for keys": [{"kind": "list_form", "times": 3}],
    "error in a 200": [{"kind": "error_200", "code": "0", "committed": True, "times": 1}],
    "empty body": [{"kind": "empty_body", "times": 2}],
    "not JSON in a 200": [{"kind": "not_json_200", "times": 2}],
    "rate refusal": [
        {"kind": "refuse", "code": "QUERY_LIMIT_EXCEEDED", "status": 503, "times": 4}
    ],
    "look-up fails too": [
        {"kind": "cut_after_commit", "times": 2},
        {"kind": "html", "status": 502, "method": "crm.item.list", "times": 2, "after": 1},
    ],
    "all of it": [
        {
            "kind": "random",
            "seed": 11,
            "share": 0.4,
            "times": 12,
            "kinds": [
                "cut_before_commit",
                "cut_after_commit",
                "partial_then_error",
                "truncated",
                "null_entry",
                "id_zero",
            ],
        }
    ],
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_portal_fault_loses_and_doubles_nothing(
    broker: Broker, vhost: str, name: str
) -> None:
    """Whatever one call does wrong, every event is in the CRM exactly once."""
    ids = [f"e{n}" for n in range(EVENTS)]
    async with World(broker, vhost, portal={"admin": True}) as world:
        world.portal.faults(FAULTS[name])
        await world.start_service()
        await world.publish(deals(*ids[::2]) + deals(*ids[1::2], entity_type=128))
        await world.settle(ids)
        world.assert_effectively_once(ids)
        assert [] == world.books.dead


@pytest.mark.parametrize("then", ["error", "html", "cut"])
async def test_one_poison_item_is_found_and_the_others_are_imported(
    broker: Broker, vhost: str, then: str
) -> None:
    """The item that breaks its call is set aside; its neighbours are imported once."""
    ids = [f"e{n}" for n in range(30)]
    bodies = deals(*ids)
    bodies[11]["fields"]["title"] = POISON
    script = {"kind": "poison", "match": POISON, "then": then, "times": -1}
    async with World(broker, vhost, portal={"admin": True}) as world:
        world.portal.faults([script])
        await world.start_service()
        await world.publish(bodies)
        await world.settle(ids)
        world.assert_effectively_once(ids, failed={"e11": "rejected"})


async def test_an_item_saved_although_refused_is_not_sent_again(
    broker: Broker, vhost: str
) -> None:
    """A per-item error 0 hides a saved item: it is looked up and settled as succeeded."""
    ids = [f"e{n}" for n in range(10)]
    script = {"kind": "item_error", "match": '"originId":"e4"', "code": 0, "saved": True}
    async with World(broker, vhost, portal={"admin": True}) as world:
        world.portal.faults([script])
        await world.start_service()
        await world.publish(deals(*ids))
        books = await world.settle(ids)
        world.assert_effectively_once(ids)
        assert ["e4"] == [
            each["data"]["eventId"] for each in books.succeeded if each["data"]["reconciled"]
        ]


async def test_an_item_refused_with_zero_and_absent_is_rejected(
    broker: Broker, vhost: str
) -> None:
    """A per-item error 0 that saved nothing ends as rejected, with the portal's code."""
    script = {"kind": "item_error", "match": '"originId":"e4"', "code": 0, "saved": False}
    async with World(broker, vhost, portal={"admin": True}) as world:
        world.portal.faults([script])
        await world.start_service()
        await world.publish(deals("e3", "e4"))
        books = await world.settle(["e3", "e4"])
        world.assert_effectively_once(["e3", "e4"], failed={"e4": "rejected"})
        assert ["0"] == list(books.codes())


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("credentials", "credentials"),
        ("scope", "scope"),
        ("plan", "plan"),
        ("overload", "blocked"),
        ("deleted", "portal_deleted"),
        ("auth_server", "auth_server"),
        ("html503", "unavailable"),
    ],
)
async def test_a_shut_portal_pauses_and_dead_letters_nothing(
    broker: Broker, vhost: str, state: str, reason: str
) -> None:
    """What only a person or time can mend pauses intake, visibly, and resumes by itself."""
    ids = [f"e{n}" for n in range(EVENTS)]
    async with World(broker, vhost, portal={"admin": True}) as world:
        service = await world.start_service()
        await world.publish(deals("first"))
        await world.settle(["first"])
        world.portal.settings({"state": state})
        await world.publish(deals(*ids))
        service.until(lambda: service.probe("readyz")[1].get("paused") == reason, reason, 20)
        assert 200 == service.probe("readyz")[0]
        assert 1.0 == service.metrics()[f'importer_paused{{reason="{reason}"}}']
        world.portal.settings({"state": "ok"})
        await world.settle(ids)
        world.assert_effectively_once(["first", *ids])
        assert [] == world.books.dead
        service.until(lambda: service.probe("readyz")[1].get("paused") is None, "flowing", 10)
