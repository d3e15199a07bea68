"""Proves that no data is lost in silence: what the portal drops is said, or refused."""

from typing import Any

from tests.support.broker import Broker
from tests.support.environment import Environment, deals

DROPPED: dict[str, dict[str, Any]] = {
    "unknown": {"titel": "misspelt"},
    "boolean": {"title": "x", "opened": 1},
    "date": {"title": "x", "begindate": "31/01/2026"},
    "length": {"title": "x" * 300},
    "number": {"title": "x", "opportunity": "1200,50"},
    "reference": {"title": "x", "assignedById": "Ada"},
    "multifield": {"title": "x", "PHONE": [{"VALUE": "+100", "VALUE_TYPE": "WORK"}]},
    "read_only": {"title": "x", "id": 55},
}
NAMES = ["titel", "opened", "begindate", "title", "opportunity", "assignedById", "PHONE", "id"]
SECRET = "31/01/2026"
KEPT: list[dict[str, Any]] = [
    {"closedate": "31.01.2026"},
    {"opportunity": "1200.50"},
    {"opened": "y"},
    {"contactIds": 5},
]


def events() -> list[dict[str, Any]]:
    """Return one event of each flaw, and a good one."""
    flawed = [{"entityTypeId": 2, "id": name, "fields": f} for name, f in DROPPED.items()]
    return [*flawed, *deals("good")]


async def test_succeeded_event_says_what_the_portal_dropped(broker: Broker, vhost: str) -> None:
    """The item is imported; the warnings name its fields, and no value is logged."""
    ids = [*DROPPED, "good"]
    async with Environment(broker, vhost) as environment:
        service = await environment.start_service()
        await environment.publish(events())
        await environment.settle(ids)
        environment.assert_effectively_once(ids)
        told = {
            e["data"]["eventId"]: e["data"].get("warnings") for e in environment.books.succeeded
        }
        assert None is told.pop("good")
        assert NAMES == [told[name][0].split()[0] for name in DROPPED]
        assert "keeps 1200:" in told["number"][0]
        counted = service.metrics()
        assert [1.0] * len(DROPPED) == [
            counted[f'importer_field_complaints_total{{flaw="{name}"}}'] for name in DROPPED
        ]
        assert 1.0 == sum(
            number
            for name, number in counted.items()
            if name.startswith("importer_requests_total") and 'method="fields"' in name
        )
        assert SECRET not in service.stderr()


async def test_flawed_item_is_refused_without_a_call_if_asked(broker: Broker, vhost: str) -> None:
    """The dead letter says what is wrong; the neighbours are imported."""
    ids = [*DROPPED, "good"]
    async with Environment(broker, vhost) as environment:
        await environment.start_service(VALIDATION="reject")
        await environment.publish(events())
        await environment.settle(ids)
        environment.assert_effectively_once(ids, failed=dict.fromkeys(DROPPED, "rejected"))
        assert {"VALIDATION_FAILED": len(DROPPED)} == environment.books.codes()
        failed = {e["data"]["eventId"]: e["data"] for e in environment.books.failed}
        assert (0, None) == (failed["date"]["attempts"], failed["date"]["batchId"])
        assert (
            "begindate is not a date that the portal reads" in failed["date"]["error"]["message"]
        )
        assert ["begindate"] == [each.split()[0] for each in failed["date"]["warnings"]]
        assert [1] == [call["size"] for call in environment.import_calls()]


async def test_what_the_portal_reads_is_not_refused(broker: Broker, vhost: str) -> None:
    """However it is written."""
    ids = [f"kept-{number}" for number in range(len(KEPT))]
    async with Environment(broker, vhost) as environment:
        await environment.start_service(VALIDATION="reject")
        events = deals(*ids)
        for event, fields in zip(events, KEPT, strict=True):
            event["fields"] |= fields
        await environment.publish(events)
        await environment.settle(ids)
        environment.assert_effectively_once(ids)
        assert not any("warnings" in each["data"] for each in environment.books.succeeded)


async def test_ignored_members_are_said_in_both_results_and_the_dead_letter(
    broker: Broker, vhost: str
) -> None:
    """What was ignored is often the reason of a failure."""
    good = {"entityTypeId": 2, "id": "good", "action": "update", "fields": {"title": "x"}}
    bad = {"entityTypeId": 2, "id": "bad", "eventId": "b", "fields": {"TITLE": "x"}}
    broken = {"id": "broken", "entityTypeID": 2, "fields": {"title": "x"}}
    async with Environment(broker, vhost, portal={"required": {2: ["title"]}}) as environment:
        await environment.start_service()
        await environment.publish([good, bad, broken])
        await environment.settle(["good", "bad", "broken"])
        results = [*environment.books.succeeded, *environment.books.failed]
        told = {each["data"]["eventId"]: " ".join(each["data"]["warnings"]) for each in results}
        assert 'the member "action" is ignored' in told["good"]
        assert 'the member "eventId" is ignored: did you mean id?' in told["bad"]
        assert (
            "TITLE is unknown to the portal, which ignores it: did you mean title?" in told["bad"]
        )
        assert "did you mean entityTypeId?" in told["broken"]
        headers = {
            each.headers["import_event_id"]: each.headers for each in environment.books.dead
        }
        assert "did you mean title?" in str(headers["bad"]["import_warnings"])


async def test_odd_number_sends_nobody_back(broker: Broker, vhost: str) -> None:
    """A number at the edge of what JSON readers hold is judged; its neighbours go on."""
    odd = b'{"entityTypeId": 2, "id": "odd", "fields": {"title": "x", "opportunity": 1e-999}}'
    ids = ["before", "odd", "after"]
    async with Environment(broker, vhost) as environment:
        service = await environment.start_service()
        await environment.publish([*deals("before"), odd, *deals("after")])
        await environment.settle(ids)
        environment.assert_effectively_once(ids)
        assert [] == service.logs(level="error")


async def test_item_found_by_a_look_up_has_its_warnings(broker: Broker, vhost: str) -> None:
    """The answer of its import got lost; what the portal dropped did so all the same."""
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([{"kind": "cut_after_commit", "times": 1}])
        await environment.start_service()
        await environment.publish([{"entityTypeId": 2, "id": "found", "fields": {"titel": "x"}}])
        await environment.settle(["found"])
        (told,) = environment.books.succeeded
        assert told["data"]["reconciled"]
        assert told["data"]["warnings"][0].startswith("titel ")


async def test_import_goes_on_where_fields_are_not_described(broker: Broker, vhost: str) -> None:
    """Without the right to read nobody can judge: then nobody is refused either."""
    async with Environment(broker, vhost, portal={"read_denied": [2]}) as environment:
        service = await environment.start_service(VALIDATION="reject")
        await environment.publish(events())
        await environment.settle([*DROPPED, "good"])
        assert {"succeeded"} == set().union(*environment.books.outcomes().values())
        assert 1 == len(service.logs(event="field list could not be read, values are not checked"))
