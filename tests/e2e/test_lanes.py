"""Proves the lanes: trouble of one entity type stays with that type."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import Environment, deals
from tests.support.processes import ServiceProcess

LANE = 128
PARKED = f"crm.items.parked.{LANE}"
DENIED = {"kind": "item_error", "match": '"xmlId"', "code": "ACCESS_DENIED", "times": -1}


def items(*ids: str, kind: int = LANE) -> list[dict[str, Any]]:
    """Return events of a type with a lane of its own."""
    return [{"entityTypeId": kind, "id": each, "fields": {"title": each}} for each in ids]


async def closed(service: ServiceProcess, reason: str) -> None:
    """Wait until the lane is closed for a reason, and told so everywhere."""
    await wait_until(
        lambda: service.probe("readyz")[1].get("lanes") == {str(LANE): reason}, what="the lane"
    )
    assert 200 == service.probe("readyz")[0]
    assert service.probe("readyz")[1].get("paused") is None


async def open_again(service: ServiceProcess) -> None:
    """Wait until no lane is closed."""
    await wait_until(lambda: service.probe("readyz")[1].get("lanes") == {}, what="an open lane")


async def test_a_type_that_is_denied_waits_while_the_others_flow(
    broker: Broker, vhost: str
) -> None:
    """Nothing pauses; when the right is there, what waits is imported, once."""
    waiting = [f"s{n}" for n in range(30)]
    flowing = [f"d{n}" for n in range(60)]
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([DENIED])
        service = await environment.start_service()
        await environment.publish(items(*waiting))
        await closed(service, "scope")
        await environment.publish(deals(*flowing))
        await environment.settle(flowing)
        await wait_until(
            lambda: broker.queues(vhost)[PARKED].ready == len(waiting), what="all being parked"
        )
        environment.portal.faults([])
        await environment.settle([*flowing, *waiting])
        await open_again(service)
        environment.assert_effectively_once([*flowing, *waiting])
        assert [] == environment.books.dead
        assert [] == service.logs(event="intake paused")
        assert [] != service.logs(event="lane closed", reason="scope")
        await wait_until(lambda: broker.queues(vhost)[PARKED].ready == 0, what="an empty queue")
        await environment.wait_balanced()


async def test_what_waits_survives_a_kill(broker: Broker, vhost: str) -> None:
    """The next process reads it back, and closes the lane anew if it must."""
    waiting = [f"s{n}" for n in range(25)]
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([DENIED])
        service = await environment.start_service()
        await environment.publish(items(*waiting))
        await closed(service, "scope")
        await wait_until(
            lambda: broker.queues(vhost)[PARKED].ready == len(waiting), what="all being parked"
        )
        await asyncio.to_thread(service.kill)
        service = await environment.start_service()
        await environment.publish(deals("d"))
        await environment.settle(["d"])
        await closed(service, "scope")
        environment.portal.faults([])
        await environment.settle(["d", *waiting])
        environment.assert_effectively_once(["d", *waiting])
        assert [] == environment.books.dead


async def test_a_type_whose_items_are_mostly_rejected_waits_alone(
    broker: Broker, vhost: str
) -> None:
    """The brake is of one type: the others flow meanwhile."""
    waiting = [f"s{n}" for n in range(200)]
    flowing = [f"d{n}" for n in range(20)]
    rejected = {**DENIED, "code": "CRM_FIELD_ERROR_REQUIRED"}
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([rejected])
        service = await environment.start_service(
            BRAKE__ITEMS="20", PAUSE__PROBE_SECONDS="3", PAUSE__PROBE_CAP_SECONDS="6"
        )
        await environment.publish(items(*waiting))
        await closed(service, "failure_share")
        await environment.publish(deals(*flowing))
        await environment.settle(flowing)
        environment.portal.faults([])
        await environment.settle([*flowing, *waiting])
        refused = {letter.headers["import_event_id"] for letter in environment.books.dead}
        assert 20 <= len(refused) < len(waiting)
        environment.assert_effectively_once(
            [*flowing, *waiting], failed=dict.fromkeys(refused, "rejected")
        )
        await open_again(service)


async def test_a_type_that_the_plan_has_not_waits_alone(broker: Broker, vhost: str) -> None:
    """Refused by its code for a whole call, too."""
    refuse = {
        "kind": "refuse",
        "match": '"xmlId"',
        "code": "CREATE_DYNAMIC_ITEM_RESTRICTED",
        "status": 400,
        "times": -1,
    }
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([refuse])
        service = await environment.start_service()
        await environment.publish([*items("s"), *deals("d")])
        await closed(service, "plan")
        await environment.settle(["d"])
        environment.portal.faults([])
        await environment.settle(["s", "d"])
        environment.assert_effectively_once(["s", "d"])
        await open_again(service)


async def test_fresh_events_flow_whatever_waits_to_be_looked_up(
    broker: Broker, vhost: str
) -> None:
    """A whole prefetch of a dead process waits for its time elsewhere, and ends once."""
    waiting = [f"w{n}" for n in range(200)]
    late = {"call_seconds": {"crm.item.batchimport": 600}}
    settings = {"BITRIX__SETTLE_SECONDS": "30", "BATCH__SLOTS": "10", "BATCH__PREFETCH": "220"}
    async with Environment(broker, vhost, portal=late) as environment:
        service = await environment.start_service(**settings)
        await environment.publish(deals("first"))
        await environment.publish(deals(*waiting))
        await wait_until(lambda: environment.flow().held > len(waiting), what="all being held")
        await wait_until(lambda: len(environment.import_calls()) >= 2, what="calls")
        await asyncio.to_thread(service.kill)
        environment.portal.settings({"call_seconds": {}})
        service = await environment.start_service(**settings)
        await environment.publish(deals("fresh"))
        books = await environment.settle([*waiting, "first", "fresh"])
        environment.assert_effectively_once([*waiting, "first", "fresh"])
        assert books.behind("fresh") & set(waiting)


async def test_the_metrics_tell_of_a_closed_lane_and_of_what_waits(
    broker: Broker, vhost: str
) -> None:
    """1 while it is closed and 0 afterwards; its time counts; what was parked came out again."""
    waiting = [f"s{n}" for n in range(7)]
    lane, scope = f'entity_type="{LANE}"', 'reason="scope"'
    shut = f'importer_paused_seconds_total{{lane="{LANE}",{scope}}}'
    closed_now = f"importer_lane_closed{{{lane},{scope}}}"
    oldest = f"importer_oldest_parked_seconds{{{lane}}}"
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([DENIED])
        service = await environment.start_service()
        await environment.publish(items(*waiting))
        await closed(service, "scope")
        await wait_until(
            lambda: service.metrics().get(f"importer_parked_messages{{{lane},{scope}}}") == 7,
            timeout=60,
            what="all being shown as parked",
        )
        # At each trial everything that waits is taken and put back: it is not younger for that.
        await wait_until(
            lambda: service.metrics()[f"importer_messages_unparked_total{{{lane},{scope}}}"] > 7,
            timeout=60,
            what="two trials",
        )
        before = service.metrics()
        await wait_until(
            lambda: _grown(before, service.metrics(), (shut, oldest), 2.0), what="time told"
        )
        shown = service.metrics()
        assert 1 == shown[closed_now]
        assert 0 == shown['importer_paused{reason="scope"}']
        environment.portal.faults([])
        await environment.settle(waiting)
        await open_again(service)
        await wait_until(lambda: service.metrics()[closed_now] == 0, what="an open lane")
        await wait_until(
            lambda: service.metrics()[oldest] == 0, timeout=60, what="nothing being old"
        )
        await environment.wait_balanced()
        shown = service.metrics()
        parked, unparked = (
            shown[f"importer_messages_{word}_total{{{lane},{scope}}}"]
            for word in ("parked", "unparked")
        )
        assert parked == unparked >= 14


def _grown(
    before: Mapping[str, float], now: Mapping[str, float], names: Iterable[str], least: float
) -> bool:
    """Tell whether each of these metrics has grown at least by so much."""
    return all(now[each] >= before[each] + least for each in names)
