"""Reads which run is to show which defect, and which defects no run has shown."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.cells import Cell
from tests.mutations.defects import Defect, every

FILE = Path(__file__).parent / "trials.toml"


@dataclass(frozen=True, slots=True)
class Listed:
    """A defect, the cell in which it does harm, and why there.

    `seeds`: they are tried in turn until the checker sees the defect; several where it needs luck.
    `patience`: seconds for everything to settle, with the defect and without it. Where events are
    lost it is short: the run would wait for them for minutes. None: as long as the scenario says.
    `seen`: whether the checker is expected to see it; where not, `why` says the reason.
    """

    defect: Defect
    cell: Cell
    seeds: tuple[int, ...]
    why: str
    patience: float | None = None
    seen: bool = True


def listed() -> list[Listed]:
    """Return what is listed; raises LookupError where no defect is named like that."""
    known = {each.name: each for each in every()}
    return [
        Listed(
            defect=known[name],
            cell=Cell.parse(told["cell"]),
            seeds=tuple(told["seeds"]),
            why=told["why"],
            patience=told.get("patience"),
            seen=told.get("seen", True),
        )
        for name, told in tomllib.loads(FILE.read_text()).items()
    ]
