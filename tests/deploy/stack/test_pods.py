"""Two replicas of the rendered Deployment, hurt in the ways that clusters hurt."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.deploy.image.podman import podman
from tests.deploy.stack.load import Load, under_load
from tests.deploy.stack.pods import Pod
from tests.deploy.stack.scene import NEW, OLD, Scene, open_scene, wait_for
from tests.support.world import World

FROZEN_SECONDS = float(os.environ.get("FROZEN_SECONDS", "60"))
CUT_SECONDS = 20.0
pytestmark = pytest.mark.timeout(FROZEN_SECONDS + 600)
SOME = 100


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """Lend the scene that all of these tests play in, one after the other."""
    with open_scene() as scene:
        try:
            yield scene
        finally:
            leave_logs(scene)


@asynccontextmanager
async def play(scene: Scene, name: str) -> AsyncIterator[tuple[World, Load]]:
    """Have both replicas ready and work flowing; afterwards audit every event."""
    for pod in scene.pods:
        await pod.wait("/readyz", 200)
    async with scene.world() as world:
        async with under_load(world, name) as load:
            await load.grows(SOME)
            yield world, load
            await load.grows(SOME)
        await world.settle(load.ids, 180)
        world.assert_effectively_once(load.ids)


async def at_work(scene: Scene) -> tuple[Pod, Pod]:
    """Return who works and who stands by."""
    deadline = time.monotonic() + 60
    while True:
        active = [pod for pod in scene.pods if pod.metric("importer_consumer_active") == 1]
        if len(active) == 1:
            (standby,) = (pod for pod in scene.pods if pod is not active[0])
            return active[0], standby
        assert time.monotonic() < deadline, f"{len(active)} replicas are at work"
        await asyncio.sleep(0.2)


async def test_stand_by_takes_over_from_the_killed(scene: Scene) -> None:
    """The active replica is killed in mid-work: the other works on within seconds."""
    async with play(scene, "killed"):
        active, standby = await at_work(scene)
        active.kill()
        started = time.monotonic()
        await standby.wait_active(30)
        assert 15 > time.monotonic() - started
    active.remove()
    active.play()


async def test_frozen_broker_stops_the_work_and_loses_nothing(scene: Scene) -> None:
    """A minute of a broker that says nothing: alive throughout, not ready, then back to work."""
    async with play(scene, "frozen"):
        podman("pause", scene.broker.name)
        thaws = time.monotonic() + FROZEN_SECONDS
        for pod in scene.pods:
            await pod.wait("/readyz", 503)
        while time.monotonic() < thaws:
            assert [200, 200] == [pod.probe("/livez") for pod in scene.pods]
            await asyncio.sleep(1)
        podman("unpause", scene.broker.name)
        for pod in scene.pods:
            await pod.wait("/readyz", 200)


async def test_replica_cut_off_the_network_is_replaced_and_comes_back(scene: Scene) -> None:
    """Its messages go to the other; connected again, it is ready again, and nothing doubles."""
    async with play(scene, "cut"):
        active, standby = await at_work(scene)
        active.disconnect()
        started = time.monotonic()
        await standby.wait_active(90)
        await asyncio.sleep(max(0.0, CUT_SECONDS - (time.monotonic() - started)))
        active.connect()
        await active.wait("/readyz", 200, 90)


async def test_image_is_rolled_under_load(scene: Scene) -> None:
    """One replica after the other drains, ends with 0, and is replaced by the new revision."""
    assert [OLD, OLD] == [pod.revision() for pod in scene.pods]
    async with play(scene, "rolled"):
        for pod in await at_work(scene):
            assert 0 == await asyncio.to_thread(pod.stop)
            pod.remove()
            pod.image = scene.newer
            await asyncio.to_thread(pod.play)
            await pod.wait("/readyz", 200)
    assert [NEW, NEW] == [pod.revision() for pod in scene.pods]


def test_prometheus_has_seen_it_all(scene: Scene) -> None:
    """Both replicas and the broker are scraped, every rule is evaluated, one replica works."""
    wait_for(lambda: 4 == len(series(scene, "up == 1")), "four targets")
    wait_for(lambda: 1 == len(series(scene, "sum(importer_consumer_active) == 1")), "one at work")
    groups: Any = scene.query("rules")
    rules = [rule for group in groups["groups"] for rule in group["rules"]]
    wait_for(lambda: "ImporterWatchdog" in firing(scene), "the watchdog")
    assert [] == [rule["lastError"] for rule in rules if rule.get("lastError")]
    assert 30 < len(rules)
    assert "ImporterDuplicateActive" not in firing(scene)


def series(scene: Scene, expr: str) -> list[dict[str, Any]]:
    """Return what Prometheus answers."""
    found: Any = scene.query("query", query=expr)
    return list(found["result"])


def firing(scene: Scene) -> set[str]:
    """Return the alerts that fire now."""
    found: Any = scene.query("alerts")
    return {each["labels"]["alertname"] for each in found["alerts"] if each["state"] == "firing"}


def leave_logs(scene: Scene) -> None:
    """Print the end of every log: shown when a test has failed."""
    for pod in scene.pods:
        print(f"---- {pod.name}\n{pod.logs()[-4000:]}")  # noqa: T201 - as above
