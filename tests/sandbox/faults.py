"""Holds the scripted faults and decides which of them strikes a call."""

import dataclasses
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = frozenset(
    {
        "refuse",
        "item_error",
        "hang_before_commit",
        "hang_after_commit",
        "cut_before_commit",
        "cut_after_commit",
        "partial_then_error",
        "partial_then_cut",
        "poison",
        "html",
        "truncated",
        "wrong_count",
        "null_entry",
        "id_zero",
        "error_200",
        "empty_body",
        "not_json_200",
        "list_form",
        "slow",
        "redirect",
        "random",
    }
)
FOREVER = -1


@dataclass(slots=True, kw_only=True)
class Fault:
    """Describes one fault: what happens, to which calls, and how often.

    `times` left at 0 means once, or for ever where chance decides.
    """

    kind: str
    method: str = "crm.item.batchimport"
    times: int = 0
    after: int = 0
    match: str | None = None

    seconds: float = 0.0
    status: int | None = None
    code: str | int | None = None
    description: str | None = None
    items: int | None = None
    index: int = 0
    saved: bool = False
    committed: bool | None = None
    then: str = "error"
    missing: int = 0
    surplus: int = 0
    location: str = ""
    retry_after: str | None = None

    seed: int = 0
    share: float = 0.1
    kinds: list[str | dict[str, Any]] = field(default_factory=list)

    seen: int = 0
    used: int = 0
    _chance: random.Random | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what could never strike."""
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}, use one of {', '.join(sorted(KINDS))}")
        if self.kind == "random":
            if not self.kinds:
                raise ValueError("a random fault needs kinds")
            for one in self.kinds:
                self._made(one)
            self._chance = random.Random(self.seed)
        self.times = self.times or (FOREVER if self.kind == "random" else 1)
        self.method = self.method.lower()

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Fault":
        """Read a fault from JSON; mistakes are a `ValueError`."""
        known = {item.name for item in dataclasses.fields(cls)} - {"seen", "used", "_chance"}
        if unknown := sorted(set(data) - known):
            raise ValueError(f"unknown members of a fault: {', '.join(unknown)}")
        if "kind" not in data:
            raise ValueError("a fault needs a kind")
        return cls(**data)

    def strikes(self, method: str, body: str) -> "Fault | None":
        """Count a call and return the fault that strikes it, if any."""
        if self.method not in {method, "*"}:
            return None
        if self.match is not None and self.match not in body:
            return None
        self.seen += 1
        if self.seen <= self.after or self.used == self.times:
            return None
        struck = self._picked() if self._chance is not None else self
        if struck is not None:
            self.used += 1
        return struck

    def _picked(self) -> "Fault | None":
        """Throw the dice of a random fault; the same seed gives the same history."""
        chance = self._chance
        if chance is None or chance.random() >= self.share:
            return None
        made = self._made(chance.choice(self.kinds))
        if made.items is None:
            made.items = chance.randrange(20)
        return made

    def _made(self, one: str | dict[str, Any]) -> "Fault":
        """Build one of the faults to choose from; it takes over what it leaves open."""
        own = {"kind": one} if isinstance(one, str) else one
        shared = {"seconds": self.seconds, "method": self.method, "match": self.match}
        return Fault.parse({**shared, **own})


@dataclass(frozen=True, slots=True)
class Strike:
    """Tells what hits one call: at most one fault of the call, any number of single entries."""

    call: Fault | None = None
    entries: tuple[Fault, ...] = ()

    @property
    def name(self) -> str | None:
        """Name the faults for the ledger."""
        faults = (*self.entries, self.call) if self.call else self.entries
        return "+".join(fault.kind for fault in faults) or None


NOTHING = Strike()


class FaultPlan:
    """Keeps the faults in order; the first one that is due strikes."""

    def __init__(self) -> None:
        """Start without faults."""
        self.faults: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        """Append faults to the plan."""
        self.faults.extend(faults)

    def clear(self) -> None:
        """Forget every fault."""
        self.faults.clear()

    def draw(self, method: str, body: str) -> Strike:
        """Return what strikes a call of this method with this body."""
        if not self.faults:
            return NOTHING
        call: Fault | None = None
        entries: list[Fault] = []
        for fault in self.faults:
            if call is not None and fault.kind != "item_error":
                continue
            struck = fault.strikes(method, body)
            if struck is None:
                continue
            if struck.kind == "item_error":
                entries.append(struck)
            else:
                call = struck
        return Strike(call, tuple(entries))
