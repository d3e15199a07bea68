"""Two replicas of the rendered Deployment, hurt in the ways that clusters hurt."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.deploy.image.podman import podman
from tests.deploy.stack.containers import NEW, OLD, Containers, open_containers, wait_for
from tests.deploy.stack.load import Load, under_load
from tests.deploy.stack.pods import Pod
from tests.support.environment import Environment

FROZEN_SECONDS = float(os.environ.get("FROZEN_SECONDS", "60"))
CUT_SECONDS = 20.0
pytestmark = pytest.mark.timeout(FROZEN_SECONDS + 600)
SOME = 100


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    """Lend the containers that all of these tests use, one after the other."""
    with open_containers() as containers:
        try:
            yield containers
        finally:
            leave_logs(containers)


@asynccontextmanager
async def play(containers: Containers, name: str) -> AsyncIterator[tuple[Environment, Load]]:
    """Have both replicas ready and work flowing; afterwards audit every event."""
    for pod in containers.pods:
        await pod.wait("/readyz", 200)
    async with containers.environment() as environment:
        async with under_load(environment, name) as load:
            await load.grows(SOME)
            yield environment, load
            await load.grows(SOME)
        await environment.settle(load.ids, 180)
        environment.assert_effectively_once(load.ids)


async def at_work(containers: Containers) -> tuple[Pod, Pod]:
    """Return who works and who stands by."""
    deadline = time.monotonic() + 60
    while True:
        active = [pod for pod in containers.pods if pod.metric("importer_consumer_active") == 1]
        if len(active) == 1:
            (standby,) = (pod for pod in containers.pods if pod is not active[0])
            return active[0], standby
        assert time.monotonic() < deadline, f"{len(active)} replicas are at work"
        await asyncio.sleep(0.2)


async def test_stand_by_takes_over_from_the_killed(containers: Containers) -> None:
    """The active replica is killed in mid-work: the other works on within seconds."""
    async with play(containers, "killed"):
        active, standby = await at_work(containers)
        active.kill()
        started = time.monotonic()
        await standby.wait_active(30)
        assert 15 > time.monotonic() - started
    active.remove()
    active.play()


async def test_frozen_broker_stops_the_work_and_loses_nothing(containers: Containers) -> None:
    """A minute of a broker that says nothing: alive throughout, not ready, then back to work."""
    async with play(containers, "frozen"):
        podman("pause", containers.broker.name)
        thaws = time.monotonic() + FROZEN_SECONDS
        for pod in containers.pods:
            await pod.wait("/readyz", 503)
        while time.monotonic() < thaws:
            assert [200, 200] == [pod.probe("/livez") for pod in containers.pods]
            await asyncio.sleep(1)
        podman("unpause", containers.broker.name)
        for pod in containers.pods:
            await pod.wait("/readyz", 200)


async def test_replica_cut_off_the_network_is_replaced_and_comes_back(
    containers: Containers,
) -> None:
    """Its messages go to the other; connected again, it is ready again, and nothing doubles."""
    async with play(containers, "cut"):
        active, standby = await at_work(containers)
        active.disconnect()
        started = time.monotonic()
        await standby.wait_active(90)
        await asyncio.sleep(max(0.0, CUT_SECONDS - (time.monotonic() - started)))
        active.connect()
        await active.wait("/readyz", 200, 90)


async def test_image_is_rolled_under_load(containers: Containers) -> None:
    """One replica after the other drains, ends with 0, and is replaced by the new revision."""
    assert [OLD, OLD] == [pod.revision() for pod in containers.pods]
    async with play(containers, "rolled"):
        for pod in await at_work(containers):
            assert 0 == await asyncio.to_thread(pod.stop)
            pod.remove()
            pod.image = containers.newer
            await asyncio.to_thread(pod.play)
            await pod.wait("/readyz", 200)
    assert [NEW, NEW] == [pod.revision() for pod in containers.pods]


def test_prometheus_has_seen_it_all(containers: Containers) -> None:
    """Both replicas and the broker are scraped, every rule is evaluated, one replica works."""
    wait_for(lambda: 4 == len(series(containers, "up == 1")), "four targets")
    wait_for(
        lambda: 1 == len(series(containers, "sum(importer_consumer_active) == 1")), "one at work"
    )
    groups: Any = containers.query("rules")
    rules = [rule for group in groups["groups"] for rule in group["rules"]]
    wait_for(lambda: "ImporterWatchdog" in firing(containers), "the watchdog")
    assert [] == [rule["lastError"] for rule in rules if rule.get("lastError")]
    assert 30 < len(rules)
    assert "ImporterDuplicateActive" not in firing(containers)


def series(containers: Containers, expr: str) -> list[dict[str, Any]]:
    """Return what Prometheus answers."""
    found: Any = containers.query("query", query=expr)
    return list(found["result"])


def firing(containers: Containers) -> set[str]:
    """Return the alerts that fire now."""
    found: Any = containers.query("alerts")
    return {each["labels"]["alertname"] for each in found["alerts"] if each["state"] == "firing"}


def leave_logs(containers: Containers) -> None:
    """Print the end of every log: shown when a test has failed."""
    for pod in containers.pods:
        print(f"---- {pod.name}\n{pod.logs()[-4000:]}")  # noqa: T201 - as above
