"""What a rehearsal takes from an importer's /status: numbers, and nothing that is none."""

from typing import Any

import pytest

from service.commands.publish.rehearsal.learning import Learnt, read


def test_costs_and_the_spent_budget_are_read() -> None:
    """As the importer writes them."""
    status = {
        "item_cost_seconds": {"2": 0.5, "128": 1.25},
        "budget": {"import": {"used_seconds": 12.5}},
    }
    assert Learnt({2: 0.5, 128: 1.25}, 12.5, told=True) == read(status)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"item_cost_seconds": [1], "budget": 5},
        {"item_cost_seconds": {"two": 1, "3": "x", "4": None, "5": -1, "6": True, "7": 0}},
        {"item_cost_seconds": {"9" * 5000: 1.0, "8": float("inf")}, "budget": {"import": []}},
        {"budget": {"import": {"used_seconds": "many"}}},
    ],
)
def test_what_is_no_number_is_left_out(status: dict[str, Any]) -> None:
    """Another version, or another program, may answer there."""
    assert Learnt({}, 0.0, told=True) == read(status)
