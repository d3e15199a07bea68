"""Proves the main job: events in, items in the CRM, one confirmed result each."""

import base64
import json
from typing import Any

from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.environment import FAILED, SUCCEEDED, Environment, deals
from tests.support.patience import patient

TITLE_REQUIRED = {"required": {"2": ["title"], "1": ["title"]}}


async def test_two_types_become_as_many_items_in_few_calls(broker: Broker, vhost: str) -> None:
    """145 events of two types end as 145 results with the right CRM ids, in at most 9 calls."""
    ids = [f"deal-{n}" for n in range(100)] + [f"lead-{n}" for n in range(45)]
    async with Environment(broker, vhost) as environment:
        # A busy machine delivers late: a window that ends meanwhile costs a call more.
        await environment.start_service(BATCH__WINDOW_SECONDS=f"{patient(2):g}")
        await environment.publish(deals(*ids[:100]) + deals(*ids[100:], entity_type=1))
        books = await environment.settle(ids)
        environment.assert_effectively_once(ids)
        assert 145 == len(books.succeeded)
        assert 9 >= len(environment.import_calls())


async def test_calls_hold_one_type_in_order_of_arrival(broker: Broker, vhost: str) -> None:
    """No call mixes entity types, exceeds 20 items, or reorders what it carries."""
    ids = [f"{kind}-{n}" for n in range(40) for kind in ("1", "2", "128")]
    async with Environment(broker, vhost) as environment:
        await environment.start_service()
        for start in range(0, len(ids), 30):
            await environment.publish(
                {"entityTypeId": int(each.split("-")[0]), "id": each, "fields": {"title": "x"}}
                for each in ids[start : start + 30]
            )
        await environment.settle(ids)
        items = environment.portal.ledger()["items"]
        for call in environment.import_calls():
            inside = [item for item in items if item["call"] == call["number"]]
            assert 20 >= len(inside)
            assert 1 == len({item["entityTypeId"] for item in inside})
            numbers = [int(str(item["externalId"]).split("-")[1]) for item in inside]
            assert sorted(numbers) == numbers


async def test_neighbours_of_a_refused_item_succeed(broker: Broker, vhost: str) -> None:
    """One item without a required field fails alone: a failed event and its dead letter."""
    good = [f"good-{n}" for n in range(19)]
    bad = {"entityTypeId": 2, "id": "bad", "fields": {"comments": "no title"}}
    async with Environment(broker, vhost, portal=TITLE_REQUIRED) as environment:
        await environment.start_service()
        await environment.publish([*deals(*good[:7]), bad, *deals(*good[7:])])
        books = await environment.settle([*good, "bad"])
        environment.assert_effectively_once([*good, "bad"], failed={"bad": "rejected"})
        [failed] = books.failed
        assert "CRM_FIELD_ERROR_REQUIRED" == failed["data"]["error"]["code"]
        assert 200 == failed["data"]["error"]["httpStatus"]
        [dead] = books.dead
        assert bad == json.loads(dead.body)
        assert "rejected" == dead.headers["import_error_kind"]
        assert "bad" == dead.headers["import_event_id"]


async def test_malformed_messages_fail_alone_and_keep_their_bytes(
    broker: Broker, vhost: str
) -> None:
    """What is no item event fails at once, without disturbing others, bytes kept."""
    bodies = [b"\xff\xfe", b"{}", b'{"entityTypeId":2}', b'{"entityTypeId":2,"fields":{}}']
    good = [f"good-{n}" for n in range(5)]
    async with Environment(broker, vhost) as environment:
        await environment.start_service()
        await environment.publish([*deals(*good[:2]), *bodies, *deals(*good[2:])])
        await environment.settle(good)
        await wait_until(lambda: _has_dead(environment, len(bodies)), what="the dead letters")
        assert sorted(bodies) == sorted(dead.body for dead in environment.books.dead)
        assert {"malformed"} == {
            dead.headers["import_error_kind"] for dead in environment.books.dead
        }
        assert len(bodies) == len(environment.books.failed)
        environment.assert_effectively_once(good)


async def test_every_kind_of_field_passes_through_untouched(broker: Broker, vhost: str) -> None:
    """The portal gets the fields byte for byte: digits, escapes, files, money, lists."""
    picture = base64.b64encode(b"\x89PNG\x00").decode()
    fields = (
        '{"title":"D\\u00e9j\\u00e0 \\"vu\\"","ufCrm_1":"text","ufCrm_2":45,'
        '"ufCrm_3":"2026-01-31T10:00:00+03:00","ufCrm_4":[1,2,3],'
        f'"ufCrm_5":["photo.png","{picture}"],"ufCrm_6":"600|USD","ufCrm_7":"Y",'
        '"ufCrm_8":1.10,"ufCrm_9":12345678901234567890,"ufCrm_10":1e5,"parentId128":7,'
        '"ufCrm_11":null,"ufCrm_12":false}'
    )
    body = f'{{"entityTypeId":2,"id":"f","fields":{fields}}}'.encode()
    async with Environment(broker, vhost) as environment:
        await environment.start_service()
        await environment.publish([body])
        await environment.settle(["f"])
        [call] = environment.import_calls()
        assert fields[1:-1] in call["body"]


async def test_original_names_travel_in_their_own_call(broker: Broker, vhost: str) -> None:
    """Events with `useOriginalUfNames` Y and N are never mixed."""
    items: list[dict[str, Any]] = [
        {"entityTypeId": 2, "id": "n", "fields": {"title": "n", "ufCrm_1": "v"}},
        {
            "entityTypeId": 2,
            "id": "y",
            "fields": {"title": "y", "UF_CRM_1": "v"},
            "useOriginalUfNames": "Y",
        },
    ]
    async with Environment(broker, vhost) as environment:
        await environment.start_service()
        await environment.publish(items)
        await environment.settle(["n", "y"])
        calls = environment.import_calls()
        assert ["N", "Y"] == sorted(call["use_original_uf_names"] for call in calls)
        environment.assert_effectively_once(["n", "y"])


async def test_cloud_events_come_in_both_forms(broker: Broker, vhost: str) -> None:
    """Structured and binary CloudEvents are imported; their id is source and id."""
    item = {"entityTypeId": 2, "fields": {"title": "x"}}
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with Environment(broker, vhost) as environment:
        await environment.start_service()
        async with Upstream(broker.url(vhost)) as upstream:
            await upstream.cloud_event("1", item, source="/shop", traceparent=trace)
            await upstream.binary_cloud_event("2", item, source="/shop")
        books = await environment.settle(["/shop 1", "/shop 2"])
        environment.assert_effectively_once(["/shop 1", "/shop 2"])
        traces = {event["subject"]: event.get("traceparent") for event in books.succeeded}
        assert {"2//shop 1": trace, "2//shop 2": None} == traces


async def test_results_say_what_the_contract_says(broker: Broker, vhost: str) -> None:
    """A result is a persistent CloudEvent under the contract's key, id and correlation."""
    async with Environment(broker, vhost) as environment:
        await environment.start_service()
        await environment.publish(deals("one"), correlation_id="corr-1")
        async with Upstream(broker.url(vhost)) as upstream:
            [message] = await upstream.drain(SUCCEEDED, 1)
            assert 0 == await upstream.ready(FAILED)
        event = json.loads(message.body)
        assert "succeeded.2" == message.routing_key
        assert "corr-1" == message.correlation_id
        assert message.message_id == event["id"]
        assert 2 == message.delivery_mode
        assert "application/cloudevents+json" == str(message.content_type).split(";")[0]
        assert "crm.item.import.succeeded.v1" == event["type"]
        assert "2/one" == event["subject"]
        assert {
            "eventId",
            "entityTypeId",
            "itemId",
            "importedAt",
            "attempts",
            "batchId",
            "reconciled",
            "duplicate",
        } == set(event["data"])


async def test_a_window_is_not_waited_for_when_a_batch_is_full(broker: Broker, vhost: str) -> None:
    """20 events leave at once although the window is many minutes."""
    ids = [f"full-{n}" for n in range(20)]
    async with Environment(broker, vhost) as environment:
        await environment.start_service(
            BATCH__WINDOW_SECONDS="500",
            RABBIT__HOLD_SECONDS="600",
        )
        await environment.publish(deals(*ids))
        await environment.settle(ids)
        assert 1 == len(environment.import_calls())


async def test_an_unsupported_type_fails_only_its_own_items(broker: Broker, vhost: str) -> None:
    """Items of a type the portal does not know fail as `unsupported`; others flow."""
    async with Environment(broker, vhost) as environment:
        await environment.start_service()
        await environment.publish(deals("known") + deals("unknown", entity_type=999))
        await environment.settle(["known", "unknown"])
        environment.assert_effectively_once(
            ["known", "unknown"], failed={"unknown": "unsupported"}
        )


async def _has_dead(environment: Environment, count: int) -> bool:
    await environment.read()
    return len(environment.books.dead) >= count
