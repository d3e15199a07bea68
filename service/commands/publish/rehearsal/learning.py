"""Asks a running importer what an item costs the portal today."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from service.commands.status_reading import processes, shown

_LONGEST_NUMBER = 10


@dataclass(frozen=True, slots=True)
class Learnt:
    """Seconds of an item by entity type, and how much of the import's budget is spent.

    `told`: whether an importer answered at all.
    """

    costs: Mapping[int, float] = field(default_factory=dict)
    used: float = 0.0
    told: bool = False


async def learnt(url: str) -> Learnt:
    """Return what the importer behind a /status knows; nothing if it does not answer."""
    process = shown(await processes(url))
    return Learnt() if process is None or process.status is None else read(process.status)


def read(status: Mapping[str, Any]) -> Learnt:
    """Return what a /status tells of costs; what cannot be read is left out."""
    listed = status.get("item_cost_seconds")
    costs = {
        int(number): cost
        for number, cost in (listed.items() if isinstance(listed, dict) else ())
        if number.isdecimal() and len(number) <= _LONGEST_NUMBER and _is_amount(cost) and cost > 0
    }
    budget = status.get("budget")
    imports = budget.get("import") if isinstance(budget, dict) else None
    used = imports.get("used_seconds") if isinstance(imports, dict) else None
    return Learnt(costs, used if _is_amount(used) else 0.0, told=True)


def _is_amount(value: Any) -> TypeGuard[float]:  # noqa: ANN401 - whatever JSON holds
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value < float("inf")
