"""Plays the hour once; every test looks at what Prometheus saw of it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.deploy.live.monitoring import Monitoring, open_monitoring
from tests.deploy.live.scenario import Observed, run_scenario
from tests.deploy.tools import tool


@dataclass(frozen=True, slots=True)
class Seen:
    """The monitoring after the scenario, and when the scenario began and ended."""

    monitoring: Monitoring
    played: Observed
    start: float
    end: float


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    """Lend what was seen; skip, or fail in CI, without the programs."""
    for program in ("prometheus", "prometheus-alertmanager", "promtool"):
        tool(program)
    tool("rabbitmqctl", "tests/tools/rabbitmq.sh")
    with open_monitoring() as monitoring:
        played = asyncio.run(run_scenario(monitoring))
        yield Seen(monitoring, played, monitoring.started, played.ended_at)
