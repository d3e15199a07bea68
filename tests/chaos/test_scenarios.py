"""Proves "effectively once" under every fault, one short run each; `make chaos` runs long."""

from pathlib import Path

import pytest

from tests.chaos.cells import Cell, version_of
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.trial import run_trial
from tests.support.broker import Broker
from tests.support.node import RabbitNode

SEED = 3


@pytest.mark.parametrize("name", SCENARIOS)
async def test_nothing_is_lost_and_nothing_doubled(
    broker: Broker, vhost: str, name: str, tmp_path: Path
) -> None:
    """Every event has one outcome, every imported one is in the CRM once, the books balance."""
    scenario = SCENARIOS[name]
    if scenario.own_node and not isinstance(broker, RabbitNode):
        pytest.skip("needs a broker that may be killed, and TEST_RABBIT_URL names a foreign one")
    cell = Cell(name, version_of(broker.api("GET", "overview")))
    audit = await run_trial(scenario, broker, vhost, cell, SEED, to=tmp_path / "log.jsonl")
    assert audit.clean, f"{audit.complaint()}\n{audit.log}"
