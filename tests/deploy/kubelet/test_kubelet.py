"""The probes of the manifest, asked of the real process while broker and portal fail."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager

import pytest

from tests.deploy.kubelet.container import Container, container
from tests.deploy.kubelet.freezable import BLOCK, STALE
from tests.deploy.kubelet.kubelet import Kubelet
from tests.deploy.kubelet.spec import Spec
from tests.deploy.static.manifests import render
from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import INTAKE_QUEUE, Environment, deals
from tests.support.node import RabbitNode
from tests.support.patience import patient
from tests.support.ports import free_port

SCALE = 0.2
"""A kubelet five times as quick: every period, grace and back-off of the manifest times this."""
HURRIED = 0.02
"""For a container that never becomes alive."""
START_SECONDS = 30.0
STALE_SECONDS = 30.0 * SCALE
BLOCKED_SECONDS = 60.0
SLOW: dict[str, object] = {"default_item_seconds": 0.01}
FREEZABLE = "tests.deploy.kubelet.freezable"


@asynccontextmanager
async def looked_after(
    environment: Environment,
    module: str = "service",
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Kubelet]:
    """Lend a kubelet at work on production's container."""
    with container(environment, module, env) as process:
        kubelet = Kubelet(process, Spec.of(render("production"), SCALE))
        async with kubelet.running():
            yield kubelet


async def test_gone_broker_makes_it_unready_and_nothing_else(node: RabbitNode, vhost: str) -> None:
    """Broker killed: not ready within its threshold, alive throughout, and back by itself.

    One that is started meanwhile is alive as well, and waits for the broker.
    """
    async with Environment(node, vhost) as environment, looked_after(environment) as kubelet:
        await kubelet.wait("Ready", START_SECONDS)
        node.kill()
        lost = time.monotonic()
        noticed = await kubelet.wait("NotReady", START_SECONDS)
        assert patient(kubelet.spec.readiness.patience) > noticed - lost
        async with looked_after(environment) as late:
            await wait_until(lambda: late.container.probe("livez")[0] == 200, START_SECONDS)
            await asyncio.sleep(late.spec.liveness.period * (late.spec.liveness.threshold + 1))
            assert [] == late.times("Ready")
            node.restart()
            await kubelet.wait("Ready", START_SECONDS, count=2)
            await late.wait("Ready", START_SECONDS)
            await environment.publish(deals("after"))
            await environment.settle(["after"])
            assert [] == [why for why in kubelet.refused + late.refused if "503" in why]
            assert [1, 1] == [len(each.times("Started")) for each in (kubelet, late)]
        environment.assert_effectively_once(["after"])


async def test_blocked_loop_is_restarted_and_nothing_is_lost(broker: Broker, vhost: str) -> None:
    """The loop hangs with a full hand: liveness tells, the successor finishes, each item once."""
    ids = [f"e{n}" for n in range(300)]
    env = {BLOCK: str(BLOCKED_SECONDS), STALE: str(STALE_SECONDS)}
    async with (
        Environment(broker, vhost, portal=SLOW) as environment,
        looked_after(environment, FREEZABLE, env=env) as kubelet,
    ):
        await kubelet.wait("Ready", START_SECONDS)
        await environment.publish(deals(*ids))
        await wait_until(lambda: environment.portal.summary()["items"] >= 60, what="the load")
        kubelet.container.process.signal(signal.SIGUSR1)
        blocked = time.monotonic()
        unhealthy = await kubelet.wait("Unhealthy", START_SECONDS)
        assert patient(STALE_SECONDS + kubelet.spec.liveness.patience) > unhealthy - blocked
        assert all(why.startswith("503 ") for why in kubelet.refused), kubelet.refused
        killed = await kubelet.wait("Killed", START_SECONDS)
        assert 0.9 * BLOCKED_SECONDS > killed - blocked
        await kubelet.wait("Ready", START_SECONDS, count=2)
        assert [-signal.SIGKILL] == kubelet.codes
        await environment.settle(ids)
        environment.assert_effectively_once(ids)


async def test_deleted_pod_drains_within_its_grace(broker: Broker, vhost: str) -> None:
    """SIGTERM in mid-batch: exit 0 in time; what it did not finish, the next pod does, once."""
    ids = [f"e{n}" for n in range(600)]
    # So slow that a busy machine stops it before all of them were delivered.
    async with Environment(broker, vhost, portal={"default_item_seconds": 0.05}) as environment:
        with container(environment) as first:
            kubelet = Kubelet(first, Spec.of(render("production"), SCALE))
            async with kubelet.running():
                await kubelet.wait("Ready", START_SECONDS)
                await environment.publish(deals(*ids))
                await wait_until(
                    lambda: environment.portal.summary()["items"] >= 60, what="the load"
                )
            code, seconds = await kubelet.delete()
        assert 0 == code
        assert kubelet.spec.grace > seconds
        assert 0 < broker.queues(vhost)[INTAKE_QUEUE].ready
        environment.portal.settings(SLOW)
        async with looked_after(environment) as successor:
            await successor.wait("Ready", START_SECONDS)
            await environment.settle(ids)
        environment.assert_effectively_once(ids)


async def test_bad_settings_end_in_a_visible_crash_loop(broker: Broker, vhost: str) -> None:
    """Exit 2 and one clear line each time, and longer and longer waits between."""
    bad = {"IMPORTER_BATCH__MAX_ITEMS": "21"}
    async with (
        Environment(broker, vhost) as environment,
        looked_after(environment, env=bad) as kubelet,
    ):
        await kubelet.wait("BackOff", START_SECONDS, count=2)
        assert {2} == set(kubelet.codes)
        waits = [float(seen.why.split()[0]) for seen in kubelet.history if seen.event == "BackOff"]
        assert [kubelet.spec.back_off * factor for factor in (1, 2)] == pytest.approx(waits)
        assert [] == kubelet.times("Ready")
        lines = kubelet.container.stderr().splitlines()
    assert len(lines) == len(kubelet.codes)
    assert 1 == len(set(lines))
    assert lines[0].startswith("error: IMPORTER_BATCH__MAX_ITEMS")


@pytest.mark.parametrize("state", ["credentials", "html503"])
async def test_portal_that_is_out_leaves_it_ready(broker: Broker, vhost: str, state: str) -> None:
    """Paused on purpose: ready and alive throughout, and at work when the portal is back."""
    async with Environment(broker, vhost, portal={"state": state}) as environment:
        async with looked_after(environment) as kubelet:
            await kubelet.wait("Ready", START_SECONDS)
            await environment.publish(deals("kept"))
            process = kubelet.container
            await wait_until(
                lambda: process.probe("readyz")[1]["paused"] is not None, what="pause"
            )
            await asyncio.sleep(kubelet.spec.liveness.period * 2)
            environment.portal.settings({"state": "ok"})
            await environment.settle(["kept"])
            assert ["Started", "Ready"] == [seen.event for seen in kubelet.history]
            assert [] == kubelet.refused
        environment.assert_effectively_once(["kept"])


async def test_kubelet_restarts_what_never_lives() -> None:
    """Something listens and knows no /livez: the startup probe gives up on it."""
    port = free_port()
    silent = Container({"IMPORTER_HTTP__PORT": str(port)}, "http.server", (str(port),))
    with ExitStack() as parts:
        parts.callback(silent.close)
        kubelet = Kubelet(silent, Spec.of(render("production"), HURRIED))
        async with kubelet.running():
            await kubelet.wait("Unhealthy", START_SECONDS)
            await kubelet.wait("Started", START_SECONDS, count=2)
        assert "startup" == kubelet.history[1].why
        assert [] == kubelet.times("Ready")


def test_times_of_the_manifest_are_the_ones_that_are_driven() -> None:
    """Unscaled, the specification is what stands in the manifest."""
    spec = Spec.of(render("production"), 1)
    assert ("/livez", 2, 30) == (spec.startup.path, spec.startup.period, spec.startup.threshold)
    assert ("/livez", 10, 3) == (spec.liveness.path, spec.liveness.period, spec.liveness.threshold)
    assert ("/readyz", 5, 2) == (
        spec.readiness.path,
        spec.readiness.period,
        spec.readiness.threshold,
    )
    assert (120, 10) == (spec.grace, spec.liveness.grace)
