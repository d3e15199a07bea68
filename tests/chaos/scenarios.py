"""Lists every scenario once: the tests run each shortly, `make chaos` for minutes."""

from collections.abc import Mapping

from tests.chaos import (
    broker_side,
    hostile_side,
    lane_queue_side,
    lane_side,
    memory_side,
    mixtures,
    parking_side,
    portal_side,
    upstream_side,
)
from tests.chaos.trial import Scenario

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for side in (
        broker_side,
        memory_side,
        portal_side,
        hostile_side,
        upstream_side,
        parking_side,
        lane_queue_side,
        lane_side,
        mixtures,
    )
    for scenario in side.SCENARIOS
}
BROKER_SIDE = frozenset(
    scenario.name for side in (broker_side, memory_side, mixtures) for scenario in side.SCENARIOS
)
