"""Lists every scenario once: the tests run each shortly, `make chaos` for minutes."""

from collections.abc import Mapping
from types import ModuleType

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

SIDES: Mapping[str, ModuleType] = {
    "broker, its line, replicas": broker_side,
    "memory, updates, restarts": memory_side,
    "portal": portal_side,
    "hostile content, rights taken away": hostile_side,
    "upstream repeats itself": upstream_side,
    "closed lane: each step in and out": parking_side,
    "closed lane: its queue": lane_queue_side,
    "closed lane: people, priorities, links": lane_side,
    "several at once, by chance": mixtures,
}
"""By the class of their faults."""
CLASSES: Mapping[str, str] = {
    scenario.name: name for name, side in SIDES.items() for scenario in side.SCENARIOS
}
SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario for side in SIDES.values() for scenario in side.SCENARIOS
}
BROKER_SIDE = frozenset(
    scenario.name for side in (broker_side, memory_side, mixtures) for scenario in side.SCENARIOS
)


def can_run(name: str, nodes: int, mix: str) -> bool:
    """Tell whether a scenario makes sense on so many nodes, amid this."""
    if mix == "lane" and name.startswith("lane: "):
        return False  # Both take away and give back the same right of the portal.
    if mix != "none" and SCENARIOS[name].alone:
        return False
    # What the portal does has nothing to do with the number of nodes.
    return SCENARIOS[name].nodes <= nodes and (nodes == 1 or name in BROKER_SIDE)
