"""Proves that an item is found again whatever its event's id looks like and the portal keeps."""

from collections import Counter
from typing import Any

import pytest

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import Environment

CUT: dict[str, Any] = {"kind": "cut_after_commit", "times": 1}
ODD_IDS = ["chat-😀-17", "chat-😀-18", " leading", "trailing ", "tab\tinside", "line\n", "x" * 300]


def deal(event_id: str, **fields: object) -> dict[str, Any]:
    """Return an item event."""
    return {"entityTypeId": 2, "id": event_id, "fields": {"title": "x", **fields}}


@pytest.mark.parametrize("portal", [{"columns": "utf8mb3", "trims": True}, {}])
async def test_an_id_that_the_portal_would_change_is_imported_once(
    broker: Broker, vhost: str, portal: dict[str, Any]
) -> None:
    """The answer of the first import is lost; what was stamped is found as it was sent."""
    async with Environment(broker, vhost, portal=portal) as environment:
        environment.portal.faults([CUT])
        await environment.start_service()
        await environment.publish([deal(each) for each in ODD_IDS])
        await environment.settle(ODD_IDS)
        assert {each: {"succeeded"} for each in ODD_IDS} == environment.books.outcomes()
        assert len(ODD_IDS) == len(environment.portal.ledger()["items"])


@pytest.mark.parametrize("blank", [None, "", "  "])
async def test_a_blank_external_id_counts_as_not_brought(
    broker: Broker, vhost: str, blank: str | None
) -> None:
    """Ours is stamped in its place, and the item is found again after a lost answer."""
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([CUT])
        await environment.start_service()
        await environment.publish([deal("order-4", originId=blank, originatorId=blank)])
        await environment.settle(["order-4"])
        environment.assert_effectively_once(["order-4"])
        (item,) = environment.portal.ledger()["items"]
        assert ("order-4", "crm-importer") == (
            item["fields"]["originId"],
            item["fields"]["originatorId"],
        )


async def test_a_brought_pair_is_looked_up_as_it_was_sent(broker: Broker, vhost: str) -> None:
    """One event brings the pair, one only `originId`, which gets our originator."""
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([CUT])
        await environment.start_service()
        await environment.publish(
            [deal("pair", originId="own-1", originatorId="shop"), deal("half", originId="own-2")]
        )
        await environment.settle(["pair", "half"])
        items = [item["fields"] for item in environment.portal.ledger()["items"]]
        assert {("own-1", "shop"), ("own-2", "crm-importer")} == {
            (each["originId"], each["originatorId"]) for each in items
        }
        assert {"pair": {"succeeded"}, "half": {"succeeded"}} == environment.books.outcomes()


async def test_a_brought_id_that_the_portal_changed_is_never_imported_twice(
    broker: Broker, vhost: str
) -> None:
    """It is not found under what was sent, which proves nothing: a human has to look."""
    async with Environment(broker, vhost, portal={"columns": "utf8mb3"}) as environment:
        environment.portal.faults([CUT])
        await environment.start_service()
        await environment.publish([deal("brought", originId="own-😀-1")])
        await environment.settle(["brought"])
        assert {"brought": {"ambiguous"}} == environment.books.outcomes()
        assert 1 == len(environment.portal.ledger()["items"])


@pytest.mark.parametrize("spelling", ["N", "Y"])
async def test_a_user_field_carries_the_id_in_both_spellings(
    broker: Broker, vhost: str, spelling: str
) -> None:
    """It is set once, in camelCase; look-ups use that name whatever the batch spells."""
    settings = {"IMPORTER_BITRIX__EXTERNAL_ID_FIELDS": '{"7":"ufCrm_123"}'}
    portal = {
        "user_fields": {7: {"ufCrm_123": {"type": "string"}}},
        "external_fields": {7: "ufCrm_123"},
    }
    async with Environment(broker, vhost, settings=settings, portal=portal) as environment:
        environment.portal.faults([CUT])
        await environment.start_service()
        event = {"entityTypeId": 7, "id": "quote-1", "useOriginalUfNames": spelling}
        await environment.publish([{**event, "fields": {"title": "x"}}])
        await environment.settle(["quote-1"])
        environment.assert_effectively_once(["quote-1"])
        (item,) = environment.portal.ledger()["items"]
        assert "quote-1" == item["fields"]["ufCrm_123"]


async def test_a_repeated_id_with_another_body_is_told_so(broker: Broker, vhost: str) -> None:
    """Both while the first is in its call and after it; the same body is a plain duplicate."""
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([{"kind": "slow", "seconds": 1, "times": 1}])
        await environment.start_service()
        await environment.publish([deal("o-1", stageId="A"), deal("o-1", stageId="B")])
        await environment.settle(["o-1"])
        await environment.publish([deal("o-1", stageId="C"), deal("o-1", stageId="A")])
        await wait_until_told(environment, 4)
        told = Counter(
            (data["duplicate"], data["itemId"], len(data.get("warnings", [])))
            for data in (event["data"] for event in environment.books.succeeded)
        )
        assert {(False, 1, 0): 1, (True, 1, 1): 2, (True, 1, 0): 1} == told
        assert 1 == len(environment.portal.ledger()["items"])
        warned = [
            e["data"]["warnings"] for e in environment.books.succeeded if "warnings" in e["data"]
        ]
        assert all("another body was imported under this id" in each[0] for each in warned)


async def wait_until_told(environment: Environment, results: int) -> None:
    """Wait until so many results are read."""

    async def told() -> bool:
        await environment.read()
        return len(environment.books.succeeded) >= results

    await wait_until(told, what="the results")
