"""Proves "effectively once" under the most telling faults; `make chaos` runs all of them."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.cells import Cell, version_of
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.trial import Order, run_trial
from tests.support.broker import Broker, OwnBroker
from tests.support.cluster import SIZE, Cluster, running_cluster

SEED = 3


NAMES = (
    # Each end of each process and line, at each step that an event takes.
    "SIGKILL service",
    "SIGKILL broker",
    "SIGSTOP service",
    "SIGSTOP broker",
    "connections closed",
    "cut after deliver",
    "cut before confirm",
    "cut after confirm, before ack",
    "redelivery storm",
    "failed queue full",
    "intake queue deleted",
    "two replicas, kills",
    "rolling update, no external id",
    "memory deleted",
    "killed, published again",
    # Each way in which a call's outcome may be unknown, and each reason not to trust a look-up.
    "hang after commit",
    "cut before commit",
    "cut after commit",
    "partial, then cut",
    "truncated answer",
    "null entry, id zero",
    "look-up lags",
    "poison, then cut",
    "poison, then hang",
    "reading forbidden",
    "items of others hidden",
    "no external id, dead letter",
    "portal set back",
    # What stops the portal, or an upstream that repeats itself.
    "operating limit",
    "portal killed",
    "failed, published again, cut",
    "published twice, other body",
    "one originId, two events",
    "redriven",
    # Parking loses an event most easily here; the other steps take half a minute each.
    "lane: killed after the confirm",
    "mixture: broker, line, service, portal",
)
PARTS = 4


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each part its own faults."""
    if metafunc.cls is not None:
        metafunc.parametrize("name", metafunc.cls.names)


async def prove(broker: Broker, vhost: str, name: str, to: Path) -> None:
    """Prove that nothing is lost and nothing doubled under one fault."""
    scenario = SCENARIOS[name]
    if scenario.own_node and not isinstance(broker, OwnBroker):
        pytest.skip("needs a broker that may be killed, and TEST_RABBIT_URL names a foreign one")
    cell = Cell(name, version_of(broker.api("GET", "overview")))
    order = Order(cell=cell, seed=SEED, to=to / "log.jsonl")
    audit = await run_trial(scenario, broker, vhost, order)
    assert audit.clean, f"{audit.complaint()}\n{audit.log}"


class Part:
    """Some of the faults: the parts may run beside one another, the faults of one may not."""

    names: Sequence[str] = ()

    async def test_nothing_is_lost_and_nothing_doubled(
        self, broker: Broker, vhost: str, name: str, tmp_path: Path
    ) -> None:
        """Every event has one outcome, every imported one is in the CRM once."""
        await prove(broker, vhost, name, tmp_path)


class TestFirstPart(Part):
    """One in four."""

    names = NAMES[0::PARTS]


class TestSecondPart(Part):
    """One in four."""

    names = NAMES[1::PARTS]


class TestThirdPart(Part):
    """One in four."""

    names = NAMES[2::PARTS]


class TestFourthPart(Part):
    """One in four."""

    names = NAMES[3::PARTS]


async def test_nothing_is_lost_or_doubled_in_a_cluster(tmp_path: Path) -> None:
    """The node that leads the intake is cut off from the others, and is killed."""
    if os.environ.get("TEST_RABBIT_URL"):
        pytest.skip("needs a cluster that may be hurt, and TEST_RABBIT_URL names a foreign broker")
    with running_cluster() as members:
        broker = Cluster(members)
        version = version_of(broker.api("GET", "overview"))
        for name in ("leader cut off", "SIGKILL broker"):
            broker.create_vhost(name)
            cell = Cell(name, version, SIZE)
            order = Order(cell=cell, seed=SEED, to=tmp_path / cell.file_name(SEED))
            audit = await run_trial(SCENARIOS[name], broker, name, order)
            assert audit.clean, f"{audit.complaint()}\n{audit.log}"
