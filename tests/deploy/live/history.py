"""Writes days of made-up history, as blocks that Prometheus reads."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.tools import tool

STEP = 60.0
LABELS = 'job="importer",instance="a"'


@dataclass(frozen=True, slots=True)
class Grown:
    """A counter's series, and how much it grows per second at a time."""

    labels: str
    pace: Callable[[float], float]


Families = Mapping[str, list[Grown]]


def backfill(families: Families, start: float, end: float, folder: Path) -> None:
    """Put blocks with the history into a folder of data."""
    text = folder.parent / "history.om"
    with text.open("w") as out:
        out.writelines(_lines(families, start, end))
    command = [tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text)]
    done = subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert 0 == done.returncode, done.stderr


def _lines(families: Families, start: float, end: float) -> Iterator[str]:
    for name, grown in families.items():
        yield f"# TYPE {name} counter\n"
        for each in grown:
            value, now = 0.0, start
            while now <= end:
                yield f"{name}_total{{{LABELS},{each.labels}}} {value:.3f} {now:.3f}\n"
                value, now = value + STEP * each.pace(now), now + STEP
    yield "# EOF\n"
