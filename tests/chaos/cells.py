"""Names one cell of the fault table: which fault, on which broker, amid what."""

import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
MIXES = ("none", "lane", "links")
"""What else goes on in a run."""
FORM = "FAULT/BROKER/NODES/MIX"


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A fault, the broker's version, the number of its nodes, and what else goes on."""

    fault: str
    broker: str
    nodes: int = 1
    mix: str = "none"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes; a `ValueError` names the form."""
        fault, *others = text.split("/")
        try:
            broker, nodes, mix = others
            return cls(fault, broker, int(nodes), mix)
        except ValueError:
            raise ValueError(f"a cell is written {FORM}, not {text!r}") from None

    def members(self) -> Mapping[str, Any]:
        """Return what a log says of it, and of the code that was run."""
        return {**asdict(self), "commit": commit()}

    def file_name(self, seed: int) -> str:
        """Return the name of the log of one run."""
        plain = "".join(each if each.isalnum() or each == "." else "-" for each in str(self))
        return f"{plain}-{seed}.jsonl"

    def __str__(self) -> str:
        return f"{self.fault}/{self.broker}/{self.nodes}/{self.mix}"


def version_of(overview: Mapping[str, Any]) -> str:
    """Return a broker's version without its last part, from what its management tells."""
    return ".".join(str(overview["rabbitmq_version"]).split(".")[:2])


def commit() -> str:
    """Name the commit of this checkout; a `+` says that files differ from it."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()
