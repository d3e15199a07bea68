"""Faults of the portal and of what upstream sends, each held until its alerts are delivered."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.deploy.live.watched import Fault, Faults, Watched, any_of
from tests.e2e.test_lanes import DENIED, LANE, closed, items
from tests.support.amqp import wait_until
from tests.support.environment import deals

SHUT_SECONDS, OPEN_SECONDS = 6.0, 1.0
"""Of a lane that flaps: shorter than what counts as closed for good (15 minutes, a sixtieth)."""
MOST_SHUT_SECONDS = 11.0
UNKNOWN_TYPE, UNTRACED_TYPE = 1044, 7
LATE = timedelta(minutes=5)
ROUNDS = 30
HOLD_SECONDS = 6


async def lane(at: Watched) -> None:
    """Deny a type, again and again, then for good; deals flow beside it."""
    environment = at.environment
    await environment.start_service()
    await at.seen()
    contact = {"contactId": {"entityTypeId": 3, "id": "c"}}
    await environment.publish(deals("c", entity_type=3))
    await environment.settle(["c"])

    def made(number: int) -> list[Mapping[str, Any]]:
        (linked,) = deals(f"l{number}")
        return [*deals(f"d{number}"), *items(f"s{number}"), {**linked, "links": contact}]

    async with at.traffic(made) as numbers:
        flapping = asyncio.create_task(_flap(at))
        try:
            await at.told("ImporterPausedShare", lane=str(LANE))
        finally:
            flapping.cancel()
            await asyncio.gather(flapping, return_exceptions=True)
        environment.portal.faults([DENIED])
        await at.told("ImporterLaneClosed", "ImporterParkedTooLong", lane=str(LANE))
        await at.ask("lanes")
        environment.portal.faults([])
        await at.resolved("ImporterLaneClosed", lane=str(LANE))
    sent = [f"{kind}{number}" for kind in "dls" for number in numbers]
    books = await environment.settle([*sent, "c"], timeout=120)
    assert {("succeeded",)} == {tuple(each) for each in books.outcomes().values()}


async def _flap(at: Watched) -> None:
    """Take the right and give it back, until cancelled; on a busy machine opening takes long."""
    service, portal = at.environment.service, at.environment.portal

    def closed_is(*, on: bool) -> Callable[[], bool]:
        return lambda: bool(service.probe("readyz")[1].get("lanes")) is on

    shut = SHUT_SECONDS
    while True:
        began = time.monotonic()
        portal.faults([DENIED])
        await wait_until(closed_is(on=True), what="a closed lane")
        opened = time.monotonic() - began
        await asyncio.sleep(min(MOST_SHUT_SECONDS, max(shut, 2 * opened)))
        portal.faults([])
        await wait_until(closed_is(on=False), what="an open lane")
        await asyncio.sleep(OPEN_SECONDS)


async def credentials(at: Watched) -> None:
    """Revoke the webhook while events come."""
    environment = at.environment
    await environment.start_service()
    await at.seen()
    environment.portal.settings({"state": "credentials"})
    async with at.traffic(lambda n: deals(f"d{n}")):
        await at.told("ImporterPaused", "ImporterPausedLong", severity="page")
        await at.ask("check")


async def set_back(at: Watched) -> None:
    """Empty the portal, until the log is full of it."""
    environment = at.environment
    await environment.start_service()
    await at.seen()
    for number in range(ROUNDS):
        ids = [f"d{number}-{each}" for each in range(3)]
        await environment.publish(deals(*ids))
        await environment.settle(ids)
        if any_of(at.watch.fired(), "ImporterErrorsLogged", {"job": at.job}):
            break
        environment.portal.set_back(kept=0)
    await at.told("ImporterPortalSetBack", "ImporterErrorsLogged")


async def late(at: Watched) -> None:
    """Send what is late, what nobody can import, what is never linked; nobody reads results."""
    environment = at.environment
    await environment.start_service()
    await at.seen()
    environment.portal.faults(
        [{"kind": "cut_after_commit", "match": f'"entityTypeId":{UNTRACED_TYPE}'}]
    )
    nobody = {"contactId": {"entityTypeId": 3, "id": "nobody"}}
    await environment.publish([{**each, "links": nobody} for each in deals("waits")])
    await environment.publish(deals("quote", entity_type=UNTRACED_TYPE))

    def made(number: int) -> list[Mapping[str, Any]]:
        ids = [f"e{number}-{each}" for each in range(3)]
        return [*deals(*ids), *deals(*ids, entity_type=UNKNOWN_TYPE)]

    async with at.traffic(made, timestamp=datetime.now(UTC) - LATE):
        await at.told(
            "ImporterAmbiguousLetters",
            "ImporterDeadLetters",
            "ImporterDeadLettersWaiting",
            "ImporterErrorBudgetFastBurn",
            "ImporterErrorBudgetSlowBurn",
            "ImporterFreshnessBurn",
            "ImporterFreshnessSlowBurn",
            "ImporterLinksTimedOut",
        )
        await at.told("ImporterResultsUnread", queue="crm.items.succeeded")
    await at.ask("dlq", "list", "--since", "30m")


async def doubtful(at: Watched) -> None:
    """Cut an answer, and let nobody read what came of it."""
    environment = at.environment
    await environment.start_service()
    await at.seen()
    # What comes sooner after a start is looked up first: that would count as reconciled.
    await asyncio.sleep(HOLD_SECONDS + 1)
    environment.portal.settings({"read_denied": [2]})
    environment.portal.faults([{"kind": "cut_after_commit"}])
    await environment.publish(deals("lost"))
    await at.told("ImporterAmbiguousUnresolved")


async def backlog(at: Watched) -> None:
    """Send more large items than so slow a portal can take, one or two in a call."""
    environment = at.environment
    await environment.start_service()
    await at.seen()

    def large(*ids: str) -> list[Mapping[str, Any]]:
        return [{**each, "fields": {"title": "x" * 4000}} for each in deals(*ids)]

    await environment.publish(large(*(f"b{n}" for n in range(3500))))
    async with at.traffic(lambda n: large(*(f"d{n}-{each}" for each in range(3)))):
        await at.told("ImporterBacklogWillNotDrain", "ImporterBatchesUnderfilled")


async def budget(at: Watched) -> None:
    """Send items that cost the portal much."""
    await at.environment.start_service()
    await at.seen()
    await at.environment.publish(deals(*(f"d{n}" for n in range(150))))
    await at.told("ImporterOperatingBudgetNearLimit")


async def stuck(at: Watched) -> None:
    """Give an importer the address of another one's portal while events of its own are parked."""
    environment = at.environment
    environment.portal.faults([DENIED])
    service = await environment.start_service()
    await environment.publish(items("s1", "s2", "s3"))
    await closed(service, "scope")
    await environment.wait_idle(60)
    service.kill()
    await environment.start_service(BITRIX__WEBHOOK_URL=at.watch.portals["lane"])
    await environment.publish(deals("d"))
    await at.told("ImporterParkedStuck")
    await at.ask("lanes")
    await at.ask("check", BITRIX__WEBHOOK_URL=at.watch.portals["lane"])
    await at.told("ImporterPortalShared", job="")


FAULTS: Faults = {
    "lane": Fault(
        lane, {"IMPORTER_BITRIX__REQUESTS_PER_SECOND": "20"}, {"default_item_seconds": 0.01}
    ),
    "credentials": Fault(credentials),
    "set-back": Fault(set_back),
    "late": Fault(late, {"IMPORTER_LINKS__WAIT_SECONDS": "2"}),
    "doubtful": Fault(
        doubtful,
        {
            "IMPORTER_AMBIGUOUS_AFTER_SECONDS": "3600",
            "IMPORTER_BITRIX__TIMEOUT_SECONDS": "3",
            "IMPORTER_RABBIT__HOLD_SECONDS": str(HOLD_SECONDS),
        },
        {"admin": False},
    ),
    "backlog": Fault(
        backlog,
        {
            "IMPORTER_BATCH__MAX_BYTES": "6000",
            "IMPORTER_RABBIT__MAX_MESSAGE_BYTES": "6000",
            "IMPORTER_BITRIX__REQUESTS_PER_SECOND": "0.5",
            "IMPORTER_BITRIX__BURST": "1",
        },
    ),
    "budget": Fault(
        budget,
        {
            "IMPORTER_BITRIX__OPERATING_LIMIT_SECONDS": "10",
            "IMPORTER_BITRIX__TIMEOUT_SECONDS": "30",
            "IMPORTER_SHUTDOWN__DEADLINE_SECONDS": "30",
        },
        {"default_item_seconds": 0.2},
    ),
    "stuck": Fault(stuck),
}
