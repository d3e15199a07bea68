"""Tests what proves that an item is not in the CRM, against a real broker and portal."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import Environment, deals, one_batch
from tests.support.patience import Deadline, patient

NO_ADMIN = {"admin": False}
CUT_AFTER = {"kind": "cut_after_commit"}
CUT_BEFORE = {"kind": "cut_before_commit"}
LONG = {"IMPORTER_AMBIGUOUS_AFTER_SECONDS": "600"}
TEN = one_batch(10)
"""A fault that strikes one call strikes all of the ten events that a test cuts."""
SMALL = {"IMPORTER_BATCH__PREFETCH": "60", **TEN}
"""Only the first prefetch's worth is looked up before it is sent."""
MINE, ANNES = 1, 8


def deal(name: str, **fields: object) -> dict[str, Any]:
    """Return a deal that says who may see it."""
    return {"entityTypeId": 2, "id": name, "fields": {"title": f"Deal {name}", **fields}}


def names(prefix: str, count: int = 10) -> list[str]:
    """Return event ids."""
    return [f"{prefix}{number}" for number in range(count)]


async def doubtful(
    environment: Environment, bodies: list[dict[str, Any]], fault: Mapping[str, Any]
) -> None:
    """Let the call of some events break."""
    environment.portal.faults([fault])
    await environment.publish(bodies)
    await wait_until(lambda: not _due(environment), what="a broken call")


def _due(environment: Environment) -> bool:
    faults = environment.portal.control("GET", "faults")["faults"]
    return any(fault["used"] < fault["times"] for fault in faults)


@pytest.mark.parametrize("admin", [False, True])
async def test_a_right_that_was_revoked_doubles_nothing(
    broker: Broker, vhost: str, *, admin: bool
) -> None:
    """Reading was proved before; what is not shown now is not absent, whoever we are."""
    async with Environment(broker, vhost, portal={"admin": admin}, settings=SMALL) as environment:
        await environment.start_service()
        first, cut = names("a", 70), names("b")
        await environment.publish(deals(*first))
        await environment.settle(first)
        environment.portal.settings({"read_denied": [2]})
        await doubtful(environment, deals(*cut), CUT_AFTER)
        await environment.settle(cut)
        environment.assert_effectively_once(first)
        environment.assert_effectively_once(cut, failed=dict.fromkeys(cut, "ambiguous"))
        assert {1} == set(environment.external_ids().values())


async def test_a_right_that_comes_back_settles_what_waited(broker: Broker, vhost: str) -> None:
    """Nothing is dead-lettered while a proof is waited for, and others pass meanwhile."""
    async with Environment(broker, vhost, portal=NO_ADMIN, settings=LONG | SMALL) as environment:
        await environment.start_service()
        first, cut, others = names("a", 70), names("b"), names("c")
        await environment.publish(deals(*first))
        await environment.settle(first)
        environment.portal.settings({"read_denied": [2]})
        await doubtful(environment, deals(*cut), CUT_AFTER)
        await environment.publish(deals(*others))
        await environment.wait_outcomes(others, Deadline(60))
        await asyncio.sleep(4.0)
        await environment.read()
        assert set(first) | set(others) == set(environment.books.outcomes())
        environment.portal.settings({"read_denied": []})
        await environment.settle(cut)
        environment.assert_effectively_once([*first, *cut, *others])


RIGHTS: Mapping[str, tuple[dict[str, object], dict[str, object]]] = {
    "own items only": ({"read_responsible": [MINE]}, {"assignedById": ANNES}),
    "one pipeline only": ({"read_pipelines": [0]}, {"categoryId": 5}),
    "open items only": ({"read_only_open": True}, {"opened": "N"}),
}


@pytest.mark.parametrize("right", RIGHTS)
async def test_who_sees_some_items_does_not_see_all(
    broker: Broker, vhost: str, right: str
) -> None:
    """Only an item with the same person, pipeline and openness proves anything."""
    rights, asks = RIGHTS[right]
    portal = NO_ADMIN | rights
    async with Environment(broker, vhost, portal=portal, settings=TEN) as environment:
        await environment.start_service()
        first, cut = names("a"), names("b")
        await environment.publish(deals(*first))
        await environment.settle(first)
        await doubtful(environment, [deal(name, **asks) for name in cut], CUT_AFTER)
        await environment.settle(cut)
        environment.assert_effectively_once(first)
        environment.assert_effectively_once(cut, failed=dict.fromkeys(cut, "ambiguous"))
        assert {1} == set(environment.external_ids().values())


async def test_items_that_were_handed_over_prove_nothing_of_our_own(
    broker: Broker, vhost: str
) -> None:
    """We may see Anne's items and not our own: what we made is hers today."""
    async with Environment(broker, vhost, portal=NO_ADMIN, settings=TEN) as environment:
        await environment.start_service()
        first, cut = names("a"), names("b")
        await environment.publish(deals(*first))
        await environment.settle(first)
        environment.portal.change_items(assignedById=ANNES)
        environment.portal.settings({"read_responsible": [ANNES]})
        await doubtful(environment, deals(*cut), CUT_AFTER)
        await environment.settle(cut)
        environment.assert_effectively_once(cut, failed=dict.fromkeys(cut, "ambiguous"))
        assert {1} == set(environment.external_ids().values())


@pytest.mark.parametrize("asks", [{}, {"assignedById": ANNES, "categoryId": 5, "opened": "N"}])
async def test_what_never_arrived_is_sent_again_with_a_witness(
    broker: Broker, vhost: str, asks: Mapping[str, object]
) -> None:
    """Of the same kind, and shown: nobody needs to be an administrator.

    An item that an earlier process made will do: the memory knows its number.
    """
    async with Environment(broker, vhost, portal=NO_ADMIN, settings=LONG | TEN) as environment:
        service = await environment.start_service()
        first, cut = names("a"), names("b")
        await environment.publish([deal(name, **asks) for name in first])
        await environment.settle(first)
        if asks:
            service.kill()
            await environment.start_service()
        await doubtful(environment, [deal(name, **asks) for name in cut], CUT_BEFORE)
        await environment.settle(cut)
        environment.assert_effectively_once([*first, *cut])


async def test_the_first_call_of_a_new_portal_waits_for_a_witness(
    broker: Broker, vhost: str
) -> None:
    """An empty CRM, no administrator, a cut call: the next event's item is the proof."""
    window = {"IMPORTER_BATCH__WINDOW_SECONDS": f"{patient(2):g}"}
    async with Environment(broker, vhost, portal=NO_ADMIN, settings=LONG | window) as environment:
        await environment.start_service()
        cut = names("b", 20)
        await doubtful(environment, deals(*cut), CUT_BEFORE)
        await asyncio.sleep(4.0)
        assert 0 == await environment.read()
        await environment.publish(deals("fresh"))
        await environment.settle([*cut, "fresh"], timeout=20.0)
        environment.assert_effectively_once([*cut, "fresh"])


async def test_the_first_call_of_a_new_portal_ends_in_doubt_when_nothing_comes(
    broker: Broker, vhost: str
) -> None:
    """After the time that it waits, and not before."""
    settings = one_batch(3)
    async with Environment(broker, vhost, portal=NO_ADMIN, settings=settings) as environment:
        await environment.start_service()
        cut = names("b", 3)
        await doubtful(environment, deals(*cut), CUT_BEFORE)
        await environment.settle(cut)
        environment.assert_effectively_once(cut, failed=dict.fromkeys(cut, "ambiguous"))


async def test_a_portal_that_was_set_back_doubles_nothing(broker: Broker, vhost: str) -> None:
    """New items get numbers that are known, to a later process too; one line and count say so."""
    async with Environment(broker, vhost, portal=NO_ADMIN) as environment:
        service = await environment.start_service()
        old, new = names("a"), names("b")
        await environment.publish(deals(*old))
        await environment.settle(old)
        service.kill()
        environment.portal.set_back(kept=0)
        service = await environment.start_service()
        await environment.publish(deals(*new))
        await environment.settle(new)
        environment.assert_effectively_once(new)
        assert 1.0 == service.metrics()["importer_portal_set_back_total"]
        assert 1 == service.stderr().count("the portal was set back")


async def test_what_was_imported_before_a_set_back_is_looked_up_when_it_comes_again(
    broker: Broker, vhost: str
) -> None:
    """What is gone is imported anew, what is there is a duplicate."""
    async with Environment(broker, vhost, portal={"admin": True}) as environment:
        await environment.start_service()
        old, new = names("a"), names("b", 3)
        await environment.publish(deals(*old))
        await environment.settle(old)
        kept = set(list(environment.crm_ids())[:5])
        environment.portal.set_back(kept=5)
        await environment.publish(deals(*new))
        await environment.settle(new)
        await environment.publish(deals(*old))
        await wait_until(lambda: len(environment.external_ids()) == 13, what="what was gone")
        await environment.wait_idle()
        await environment.read()
        assert {1} == set(environment.external_ids().values())
        again = environment.books.succeeded[-10:]
        told = {each["data"]["eventId"] for each in again if each["data"]["duplicate"]}
        assert kept == told


async def test_refused_credentials_in_quiet_traffic_reject_nothing(
    broker: Broker, vhost: str
) -> None:
    """The probe is answered, imports are not: each event waits, and its lane says why."""
    refused = {
        "kind": "refuse",
        "code": "NO_AUTH_FOUND",
        "status": 401,
        "times": -1,
    }
    async with Environment(broker, vhost, portal=NO_ADMIN) as environment:
        service = await environment.start_service()
        environment.portal.faults([refused])
        for name in "abc":
            await environment.publish(deals(name))
            await asyncio.sleep(2.5)
        assert 0 == await environment.read()
        closed = 'importer_lane_closed{entity_type="2",reason="credentials"}'
        await wait_until(lambda: service.metrics().get(closed) == 1.0, what="a closed lane")
        environment.portal.faults([])
        await environment.settle("abc")
        environment.assert_effectively_once(["a", "b", "c"])
