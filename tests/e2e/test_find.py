"""Proves that `find` tells where one event is, whatever became of it, and takes nothing away."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.amqp import Upstream
from tests.support.broker import Broker
from tests.support.commands import Commands, Done
from tests.support.environment import Environment, deals
from tests.support.letters import INTAKE_QUEUE, Letters, letter
from tests.support.parked import DOUBTFUL, LINKS, ParkedQueues, lane, parked


@pytest.fixture
async def environment(broker: Broker, vhost: str) -> AsyncIterator[Environment]:
    """Lend a portal; the importer is started by the test."""
    async with Environment(broker, vhost) as found:
        yield found


@pytest.fixture
def finder(environment: Environment, broker: Broker, vhost: str) -> Commands:
    """Lend the command line, set for the test's broker and portal."""
    return Commands(
        broker.url(vhost), {"IMPORTER_BITRIX__WEBHOOK_URL": environment.portal.webhook_url}
    )


@pytest.fixture
def waiting(broker: Broker, vhost: str) -> ParkedQueues:
    """Lend the inner queues."""
    return ParkedQueues(broker, vhost)


def told(done: Done) -> dict[str, Any]:
    """Return the document that a command wrote."""
    document: dict[str, Any] = json.loads(done.out)
    return document


async def test_an_imported_event_is_found_by_its_item(
    environment: Environment, finder: Commands
) -> None:
    """The portal shows the item, the memory names it too; both say the same."""
    await environment.start_service()
    await environment.publish(deals("order-1"))
    await environment.settle(["order-1"])
    [item] = environment.portal.ledger()["items"]
    done = await finder.run("find", "order-1", "--json")
    document = told(done)
    assert (0, True) == (done.code, document["found"])
    [found] = document["imported"]
    assert (2, item["id"]) == (found["entityTypeId"], found["itemId"])
    assert {
        "field": "originId",
        "value": "order-1",
        "originatorId": "crm-importer",
    } == found["externalId"]
    [word] = document["memory"]
    assert (2, "imported", item["id"]) == (word["entityTypeId"], word["word"], word["itemId"])
    assert [1, 2, 3, 4, 31] == document["asked"]["types"]
    assert [7] == document["asked"]["withoutExternalId"]
    for_people = await finder.run("find", "order-1")
    assert f"item {item['id']} carries originId order-1 of crm-importer" in for_people.out
    assert "not seen: the intake queue crm.items.import (0 messages)" in for_people.out


async def test_an_item_that_nobody_can_look_up_is_known_to_the_memory(
    environment: Environment, finder: Commands
) -> None:
    """An estimate has no external id: the memory says which item it became."""
    await environment.start_service()
    await environment.publish(deals("e-1", entity_type=7))
    await environment.settle(["e-1"])
    done = await finder.run("find", "e-1", "--type", "7")
    assert (0, 1) == (done.code, done.out.count("imported as item"))
    assert "cannot be asked for items of type 7 by the external id: there is none" in done.out
    [item] = environment.portal.ledger()["items"]
    assert f"item {item['id']}, asked for by its number" in done.out


async def test_an_item_with_an_external_id_of_its_own_is_there(
    environment: Environment, finder: Commands
) -> None:
    """It does not carry the event's id: it is asked for by its number."""
    await environment.start_service()
    [event] = deals("own-1")
    event["fields"]["originId"] = "THEIRS-1"
    await environment.publish([event])
    await environment.settle(["own-1"])
    [item] = environment.portal.ledger()["items"]
    done = await finder.run("find", "own-1", "--json")
    assert [(2, item["id"], None)] == [
        (each["entityTypeId"], each["itemId"], each["externalId"])
        for each in told(done)["imported"]
    ]
    assert "does not show" not in (await finder.run("find", "own-1")).out


async def test_an_item_that_was_deleted_is_told_apart(
    environment: Environment, finder: Commands
) -> None:
    """The memory knows its number, and the portal shows it no more."""
    await environment.start_service()
    await environment.publish(deals("order-1"))
    await environment.settle(["order-1"])
    environment.portal.set_back(0)
    done = await finder.run("find", "order-1")
    assert 0 == done.code
    assert "the portal does not show it now" in done.out


async def test_a_dead_letter_is_found_with_its_reason(letters: Letters, finder: Commands) -> None:
    """Each letter of the id, with kind, code and message; every letter stays."""
    await letters.put(letter("order-1"), letter("other"), letter("order-1", kind="ambiguous"))
    done = await finder.run("find", "order-1", "--json")
    found = told(done)["deadLetters"]
    assert (0, ["rejected", "ambiguous"]) == (done.code, [each["kind"] for each in found])
    assert "the field is required" == found[0]["message"]
    assert 3 == await letters.ready()
    for_people = await finder.run("find", "order-1")
    assert "rejected, CRM_FIELD_ERROR_REQUIRED: the field is required" in for_people.out
    assert "crm-importer dlq show order-1" in for_people.out


async def test_a_letter_of_unreadable_type_is_shown_for_every_type(
    letters: Letters, finder: Commands
) -> None:
    """It may be of the type that was asked for; one of another type is not."""
    typeless = b'{"id":"order-1","fields":{"title":"x"}}'
    malformed = letter("order-1", kind="malformed", code="WRONG_SHAPE", body=typeless)
    await letters.put(malformed, letter("order-1", entity_type=3))
    done = await finder.run("find", "order-1", "--type", "2", "--json")
    found = [(each["entityTypeId"], each["kind"]) for each in told(done)["deadLetters"]]
    assert (0, [(None, "malformed")]) == (done.code, found)


@pytest.mark.parametrize(
    ("queue", "reason", "says"),
    [
        (lane(128), "scope", "waits for its lane (scope), in crm.items.parked.128"),
        (DOUBTFUL, "doubt", "waits for proof that it is in the CRM or not"),
        (LINKS, "link", "waits for the items that it refers to"),
    ],
)
async def test_a_waiting_event_is_found_with_its_reason(
    letters: Letters, waiting: ParkedQueues, finder: Commands, queue: str, reason: str, says: str
) -> None:
    """Also one of a smart process, whose queue `--type` names; every message stays."""
    one = parked("order-1", entity_type=128, reason=reason)
    await waiting.put(queue, parked("other", entity_type=128, reason=reason), one)
    done = await finder.run("find", "order-1", "--type", "128", "--json")
    [found] = told(done)["parked"]
    assert (0, queue, reason, 128) == (
        done.code,
        found["queue"],
        found["reason"],
        found["entityTypeId"],
    )
    assert says in (await finder.run("find", "order-1", "--type", "128")).out
    assert 2 == await letters.ready(queue)


async def test_an_event_that_nobody_knows_is_not_found(
    letters: Letters, finder: Commands, broker: Broker, vhost: str
) -> None:
    """Exit 1; what could not be read is named, with its number of messages."""
    async with Upstream(broker.url(vhost)) as upstream:
        await upstream.item(2, {"title": "x"}, id="order-1")
    await letters.put(letter("order-1", entity_type=1))
    done = await finder.run("find", "order-1", "--type", "2", "--json")
    document = told(done)
    assert (1, False) == (done.code, document["found"])
    assert [2] == document["asked"]["types"]
    assert {
        "place": f"the intake queue {INTAKE_QUEUE}",
        "why": "only the importer can read it",
        "messages": 1,
    } in document["notSeen"]
    assert "the memory" in [each["place"] for each in document["notSeen"]]
    assert "event order-1 was not found" in (await finder.run("find", "order-1", "--type=2")).out


async def test_without_a_portal_the_broker_is_asked_alone(
    letters: Letters, commands: Commands
) -> None:
    """It says that the portal was not asked, and what is missing."""
    await letters.put(letter("order-1"))
    done = await commands.run("find", "order-1")
    assert 0 == done.code
    assert "IMPORTER_BITRIX__WEBHOOK_URL" in done.out
    assert 1 == (await commands.run("find", "order-2")).code


async def test_a_portal_that_refuses_is_told(
    letters: Letters, environment: Environment, finder: Commands
) -> None:
    """The rest is told all the same."""
    await letters.put(letter("order-1"))
    environment.portal.terminate()
    environment.portal.wait()
    done = await finder.run("find", "order-1")
    assert 0 == done.code
    assert "the portal could not be asked: " in done.out


async def test_everybody_looks_while_events_wait_and_nothing_changes(
    letters: Letters, waiting: ParkedQueues, finder: Commands, broker: Broker, vhost: str
) -> None:
    """Several at once, one of them killed: each message is there once, as it was."""
    await waiting.declare_memory()
    await waiting.put(lane(7), *(parked(f"e{n}", entity_type=7) for n in range(300)))
    killed = finder.start("find", "e299")
    found = await asyncio.gather(*(finder.run("find", f"e{n}") for n in (0, 150, 299)))
    killed.kill()
    killed.communicate()
    assert all(each.code in {0, 1} for each in found)
    assert 0 == (await finder.run("find", "e299")).code
    assert 300 == await letters.ready(lane(7))
    async with Upstream(broker.url(vhost)) as upstream:
        messages = await upstream.drain(lane(7), 300)
        found_ids = sorted(json.loads(each.body)["id"] for each in messages)
    assert sorted(f"e{n}" for n in range(300)) == found_ids
    assert {"scope"} == {each.headers["import_parked_reason"] for each in messages}
