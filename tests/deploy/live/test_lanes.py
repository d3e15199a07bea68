"""A real Prometheus sees a denied type beside deals: closed again and again, then for good."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from deploy.generate.lanes import LANES
from tests.deploy.live.monitoring import Monitoring, open_monitoring
from tests.deploy.live.servers import wait_for
from tests.deploy.live.test_live import STEP, filled
from tests.deploy.tools import tool
from tests.e2e.test_lanes import DENIED, LANE, items
from tests.support.amqp import Upstream, wait_until
from tests.support.environment import Environment, deals

pytestmark = pytest.mark.timeout(580)
SETTINGS = {
    "IMPORTER_BITRIX__REQUESTS_PER_SECOND": "20",
    "IMPORTER_PAUSE__PROBE_SECONDS": "0.5",
    "IMPORTER_PAUSE__PROBE_CAP_SECONDS": "1",
}
PAGED = 240.0
SHUT_SECONDS, OPEN_SECONDS = 4.0, 1.5
"""Of a lane that flaps: shorter than what counts as closed for good (15 minutes, a hundredth)."""


@dataclass(slots=True)
class Played:
    """What was seen; times are Prometheus' own."""

    monitoring: Monitoring
    start: float = field(default_factory=time.time)
    end: float = 0.0
    deals: list[str] = field(default_factory=list)
    outcomes: dict[str, set[str]] = field(default_factory=dict)

    def told(self, name: str, status: str, since: float) -> list[dict[str, Any]]:
        """Return what was delivered of an alert about the lane."""
        found = self.monitoring.pager.got(name, status, since)
        return [each for each in found if each["labels"].get("lane") == str(LANE)]

    async def until_told(self, name: str, status: str, since: float) -> None:
        """Wait until an alert about the lane was delivered."""
        said: Callable[[], str] = lambda: f"{name}: {self.monitoring.prometheus.alerts()}"  # noqa: E731
        await asyncio.to_thread(wait_for, lambda: self.told(name, status, since), PAGED, said)


@asynccontextmanager
async def traffic(environment: Environment, played: Played) -> AsyncIterator[None]:
    """Publish a deal and an item of the denied type, again and again."""

    async def publish() -> None:
        async with Upstream(environment.broker.url(environment.vhost)) as upstream:
            while True:
                number = len(played.deals)
                played.deals.append(f"d{number}")
                events = [*deals(f"d{number}"), *items(f"s{number}")]
                await upstream.many([json.dumps(each).encode() for each in events])
                await asyncio.sleep(0.25)

    task = asyncio.create_task(publish())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def flap(environment: Environment) -> None:
    """Take the right and give it back, until cancelled."""
    service = environment.service

    def closed_is(*, on: bool) -> Callable[[], bool]:
        return lambda: bool(service.probe("readyz")[1].get("lanes")) is on

    while True:
        environment.portal.faults([DENIED])
        await wait_until(closed_is(on=True), timeout=60, what="a closed lane")
        await asyncio.sleep(SHUT_SECONDS)
        environment.portal.faults([])
        await wait_until(closed_is(on=False), timeout=60, what="an open lane")
        await asyncio.sleep(OPEN_SECONDS)


async def play(monitoring: Monitoring) -> Played:
    """Open and close the lane until that is told, then let it stay closed until that is told."""
    async with monitoring.environment(SETTINGS, {"default_item_seconds": 0.01}) as environment:
        await environment.start_service()
        await asyncio.to_thread(monitoring.wait_seen)
        played = Played(monitoring)
        contact = {"contactId": {"entityTypeId": 3, "id": "c"}}
        await environment.publish(deals("c", entity_type=3))
        await environment.settle(["c"])
        await environment.publish([{**each, "links": contact} for each in deals("linked")])
        async with traffic(environment, played):
            flapping = asyncio.create_task(flap(environment))
            try:
                await played.until_told("ImporterPausedShare", "firing", played.start)
            finally:
                flapping.cancel()
                await asyncio.gather(flapping, return_exceptions=True)
            environment.portal.faults([DENIED])
            await played.until_told("ImporterLaneClosed", "firing", played.start)
            environment.portal.faults([])
            await played.until_told("ImporterLaneClosed", "resolved", played.start)
        await played.until_told("ImporterPausedShare", "resolved", played.start)
        waited = [f"s{number}" for number in range(len(played.deals))]
        books = await environment.settle([*played.deals, *waited, "linked", "c"], timeout=120)
        played.outcomes = books.outcomes()
        played.end = time.time()
        environment.portal.set_back(kept=0)
        await environment.publish(deals(*(f"again{number}" for number in range(20))))
        page = ("ImporterPortalSetBack", "firing", played.start)
        await asyncio.to_thread(monitoring.wait_paged, *page)
    return played


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """Lend what was seen; skip, or fail in CI, without the programs."""
    for program in ("prometheus", "prometheus-alertmanager"):
        tool(program)
    tool("rabbitmqctl", "tests/tools/rabbitmq.sh")
    with open_monitoring() as monitoring:
        yield asyncio.run(play(monitoring))


def test_a_lane_that_flaps_pages_though_the_intake_never_pauses(played: Played) -> None:
    """Whoever is called learns which type it is; deals have nothing to do with it."""
    (page, *_) = played.told("ImporterPausedShare", "firing", played.start)
    assert "page" == page["labels"]["severity"]
    assert f"lane {LANE}" in page["annotations"]["description"]
    assert [] == played.monitoring.pager.got("ImporterPaused", "firing")
    assert {("succeeded",)} == {tuple(each) for each in played.outcomes.values()}


def test_a_lane_that_stays_closed_pages_with_its_reason(played: Played) -> None:
    """And ends when the right is there."""
    (page, *_) = played.told("ImporterLaneClosed", "firing", played.start)
    assert ("page", "scope") == (page["labels"]["severity"], page["labels"]["reason"])
    assert played.told("ImporterLaneClosed", "resolved", played.start)


def test_a_portal_that_was_set_back_pages(played: Played) -> None:
    """Somebody has to find out what is missing in it."""
    (page, *_) = played.monitoring.pager.got("ImporterPortalSetBack", "firing")
    assert "page" == page["labels"]["severity"]
    assert "was emptied" in page["annotations"]["description"]


@pytest.mark.parametrize(
    ("panel", "legend", "expr"),
    [(panel.title, q.legend, q.expr) for panel in LANES.panels for q in panel.queries],
)
def test_every_panel_on_lanes_shows_something(
    played: Played, panel: str, legend: str, expr: str
) -> None:
    """Find data, and something to see in it, or a reason why not."""
    prometheus = played.monitoring.prometheus
    found = prometheus.query_range(filled(expr), played.start, played.end, STEP)
    values = [float(value) for series in found for _, value in series["values"]]
    values = [value for value in values if not math.isnan(value)]
    assert values, f"{panel}: nothing for {filled(expr)}"
    assert any(values), f"{panel}, {legend}: only zeros"
