"""Proves that events may refer to one another: over a real broker, the service, and a portal."""

import asyncio
import random
from collections.abc import Iterable, Mapping
from typing import Any

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import Books, Environment
from tests.support.patience import Deadline

DEAL, CONTACT, COMPANY, ESTIMATE = 2, 3, 4, 7
SETTINGS = {"IMPORTER_BITRIX__REQUESTS_PER_SECOND": "20", "IMPORTER_LINKS__WAIT_SECONDS": "600"}
PORTAL = {"references": "checked"}


def item(entity_type: int, name: str, **links: Any) -> dict[str, Any]:
    """Return an item event that refers to others."""
    event = {"entityTypeId": entity_type, "id": name, "fields": {"comments": name}}
    return event | ({"links": links} if links else {})


def to(entity_type: int, name: str, **more: str) -> dict[str, Any]:
    """Return a reference."""
    return {"entityTypeId": entity_type, "id": name, **more}


def fields_of(environment: Environment) -> dict[str, Mapping[str, Any]]:
    """Return what the portal keeps of each item, by its external id."""
    return {str(e["externalId"]): e["fields"] for e in environment.portal.ledger()["items"]}


def links_in(books: Books) -> dict[str, Mapping[str, Any]]:
    """Return the links of each succeeded event that has some."""
    told = [event["data"] for event in books.succeeded]
    return {each["eventId"]: each["links"] for each in told if "links" in each}


async def told(environment: Environment, event_ids: Iterable[str]) -> None:
    """Wait until events have an outcome, whatever else is held."""
    await environment.wait_outcomes(event_ids, Deadline(60))


async def test_events_of_any_order_find_one_another(broker: Broker, vhost: str) -> None:
    """Several levels deep, lists, across types, all published at once in a random order."""
    events = [item(COMPANY, f"company-{n}") for n in range(3)]
    events += [
        item(CONTACT, f"contact-{n}", companyId=to(COMPANY, f"company-{n % 3}")) for n in range(20)
    ]
    events += [
        item(
            DEAL,
            f"deal-{n}",
            contactId=to(CONTACT, f"contact-{n % 20}"),
            contactIds=[to(CONTACT, "contact-1"), to(CONTACT, "contact-2")],
            **({"parentId2": to(DEAL, f"deal-{n - 1}")} if n % 10 else {}),
        )
        for n in range(40)
    ]
    random.Random(7).shuffle(events)
    ids = [str(each["id"]) for each in events]
    async with Environment(broker, vhost, settings=SETTINGS, portal=PORTAL) as environment:
        await environment.start_service()
        await environment.publish(events)
        books = await environment.settle(ids, 120)
        environment.assert_effectively_once(ids)
        numbers, kept = environment.crm_ids(), fields_of(environment)
    linked = links_in(books)
    assert 60 == len(linked)
    for n in range(40):
        expected = {
            "contactId": numbers[f"contact-{n % 20}"],
            "contactIds": [numbers["contact-1"], numbers["contact-2"]],
        }
        if n % 10:
            expected["parentId2"] = numbers[f"deal-{n - 1}"]
        assert expected == linked[f"deal-{n}"]
        assert expected == {name: kept[f"deal-{n}"][name] for name in expected}
        assert f"deal-{n}" == kept[f"deal-{n}"]["comments"]


async def test_what_was_imported_long_ago_is_found(broker: Broker, vhost: str) -> None:
    """After a restart from the memory; without one by a look-up; by somebody else's name, too."""
    async with Environment(broker, vhost, settings=SETTINGS, portal=PORTAL) as environment:
        first = await environment.start_service(BITRIX__ORIGINATOR="1c")
        await environment.publish([item(COMPANY, "theirs"), item(CONTACT, "their-contact")])
        await environment.settle(["theirs", "their-contact"])
        first.terminate()
        first.wait()
        second = await environment.start_service()
        await environment.publish([item(CONTACT, "ours")])
        await environment.settle(["ours"])
        second.terminate()
        second.wait()
        await environment.start_service(RABBIT__MEMORY_QUEUE="")
        deal = item(
            DEAL,
            "deal",
            contactIds=[
                to(CONTACT, "ours"),
                to(CONTACT, "their-contact", originatorId="1c"),
            ],
            companyId=to(COMPANY, "theirs", originatorId="1c"),
        )
        await environment.publish([deal])
        books = await environment.settle(["deal"])
        numbers, calls = environment.crm_ids(), environment.portal.ledger()["calls"]
    contacts = [numbers["ours"], numbers["their-contact"]]
    assert {"contactIds": contacts, "companyId": numbers["theirs"]} == links_in(books)["deal"]
    asked = [each["entity_type"] for each in calls if each["method"] == "crm.item.list"]
    assert {COMPANY, CONTACT} == set(asked[-2:])


async def test_an_event_waits_for_one_that_was_never_published(broker: Broker, vhost: str) -> None:
    """Nobody else waits meanwhile; a failed one is waited for until it is published mended."""
    bad = item(CONTACT, "contact") | {"fields": {"companyId": -1}}
    async with Environment(broker, vhost, settings=SETTINGS, portal=PORTAL) as environment:
        await environment.start_service()
        await environment.publish([item(DEAL, "waits", contactId=to(CONTACT, "contact")), bad])
        await environment.publish([item(DEAL, f"deal-{n}") for n in range(30)])
        await told(environment, [f"deal-{n}" for n in range(30)])
        assert "waits" not in environment.books.outcomes()
        assert {"rejected"} == environment.books.outcomes()["contact"]
        await environment.publish([item(CONTACT, "contact")])
        books = await environment.settle(["waits", "contact"])
        numbers = environment.crm_ids()
    assert {"contactId": numbers["contact"]} == links_in(books)["waits"]


async def test_what_waits_survives_a_stop(broker: Broker, vhost: str) -> None:
    """It goes on where the next process finds what it refers to."""
    async with Environment(broker, vhost, settings=SETTINGS, portal=PORTAL) as environment:
        first = await environment.start_service()
        await environment.publish([item(DEAL, "waits", contactId=to(CONTACT, "contact"))])
        await wait_until(
            lambda: first.metrics().get("importer_links_waiting") == 1, what="an event that waits"
        )
        first.terminate()
        first.wait()
        await environment.start_service()
        await environment.publish([item(CONTACT, "contact")])
        await environment.settle(["waits", "contact"])
        environment.assert_effectively_once(["waits", "contact"])


async def test_in_the_end_it_fails_and_says_for_what_it_waited(broker: Broker, vhost: str) -> None:
    """A circle is named as one; what nobody can refer to fails at once."""
    quick = {**SETTINGS, "IMPORTER_LINKS__WAIT_SECONDS": "3"}
    events = [
        item(DEAL, "lost", contactId=to(CONTACT, "nobody")),
        item(DEAL, "a", parentId2=to(DEAL, "b")),
        item(DEAL, "b", parentId2=to(DEAL, "a")),
        item(DEAL, "impossible", quoteId=to(ESTIMATE, "estimate")),
        item(DEAL, "unknown", parentId555=to(555, "x")),
        item(DEAL, "itself", parentId2=to(DEAL, "itself")),
    ]
    ids = [str(each["id"]) for each in events]
    async with Environment(broker, vhost, settings=quick, portal=PORTAL) as environment:
        await environment.start_service()
        await environment.publish(events)
        books = await environment.settle(ids)
        assert not environment.external_ids()
    errors = {e["data"]["eventId"]: e["data"]["error"] for e in books.failed}
    codes = {name: (error["kind"], error["code"]) for name, error in errors.items()}
    assert {
        **dict.fromkeys(("lost", "a", "b"), ("rejected", "LINK_NOT_FOUND")),
        **dict.fromkeys(("impossible", "unknown"), ("rejected", "LINK_NOT_POSSIBLE")),
        "itself": ("malformed", "WRONG_SHAPE"),
    } == codes
    assert "3/nobody" in errors["lost"]["message"]
    circle = errors["a"]["message"] + errors["b"]["message"]
    assert "2/a → 2/b → 2/a" in circle or "2/b → 2/a → 2/b" in circle


async def test_a_deleted_item_is_looked_up_and_its_event_imported_anew(
    broker: Broker, vhost: str
) -> None:
    """The portal refuses the remembered number; the referring event waits for the new one."""
    async with Environment(broker, vhost, settings=SETTINGS, portal=PORTAL) as environment:
        await environment.start_service()
        await environment.publish([item(CONTACT, "other"), item(CONTACT, "contact")])
        await environment.settle(["other", "contact"])
        old = environment.crm_ids()["contact"]
        environment.portal.delete_items(old)
        await environment.publish([item(DEAL, "deal", contactId=to(CONTACT, "contact"))])
        await asyncio.sleep(3)
        await environment.read()
        assert "deal" not in environment.books.outcomes()
        await environment.publish([item(CONTACT, "contact")])
        books = await environment.settle(["deal"])
        new = environment.crm_ids()["contact"]
        assert old != new
        assert {"contactId": new} == links_in(books)["deal"]
        assert 1 == environment.external_ids()["deal"]


async def test_an_event_in_doubt_is_waited_for(broker: Broker, vhost: str) -> None:
    """Its call broke, its item is there: the other one gets its number, nothing doubles."""
    async with Environment(broker, vhost, settings=SETTINGS, portal=PORTAL) as environment:
        await environment.start_service()
        environment.portal.faults([{"kind": "cut_after_commit"}])
        await environment.publish(
            [
                item(CONTACT, "contact"),
                item(DEAL, "deal", contactId=to(CONTACT, "contact")),
            ]
        )
        books = await environment.settle(["contact", "deal"])
        environment.assert_effectively_once(["contact", "deal"])
        numbers = environment.crm_ids()
    assert {"contactId": numbers["contact"]} == links_in(books)["deal"]


async def test_more_events_wait_than_the_importer_may_hold(broker: Broker, vhost: str) -> None:
    """They hold up nobody, and a kill loses and doubles none of them."""
    orders = [
        item(DEAL, f"order-{n}", contactId=to(CONTACT, f"customer-{n % 15}")) for n in range(120)
    ]
    plain, customers = [f"plain-{n}" for n in range(20)], [f"customer-{n}" for n in range(15)]
    settings = {**SETTINGS, "IMPORTER_BATCH__PREFETCH": "60", "IMPORTER_BATCH__MAX_ITEMS": "10"}
    async with Environment(broker, vhost, settings=settings, portal=PORTAL) as environment:
        first = await environment.start_service()
        await environment.publish(orders)
        await environment.publish([item(DEAL, each) for each in plain])
        await told(environment, plain)
        first.kill()
        await environment.start_service()
        await environment.publish([item(CONTACT, each) for each in customers])
        ids = [*plain, *customers, *(str(each["id"]) for each in orders)]
        books = await environment.settle(ids, 120)
        environment.assert_effectively_once(ids)
        numbers = environment.crm_ids()
    linked = links_in(books)
    for n in range(120):
        assert {"contactId": numbers[f"customer-{n % 15}"]} == linked[f"order-{n}"]
