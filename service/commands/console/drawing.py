"""Makes drawings of figures over time: lines in a box, told apart without colour, and a table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from service.commands.console.samples import Point, thinned

WIDTH, HEIGHT = 600.0, 120.0
ROWS = 12


@dataclass(frozen=True, slots=True)
class Line:
    """One figure; `dashes` names how it is drawn, so that it can be read in grey."""

    name: str
    dashes: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a page draws.

    `strokes`: for each line its dashes and the parts of it, as SVG points; `top`: the value at the
    upper edge; `rows`: the table beside it, newest first.
    """

    key: str
    title: str
    unit: str
    top: float
    minutes: float
    names: list[tuple[str, str]]
    strokes: list[tuple[str, list[str]]]
    rows: list[tuple[float, list[float | None]]]
    told: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw yet."""
        return not any(parts for _, parts in self.strokes)


def drawing(key: str, title: str, unit: str, lines: Sequence[Line]) -> Drawing:
    """Return a drawing of lines that share their times."""
    known = [point for line in lines for point in line.points if point.value is not None]
    top = nice(max((point.value or 0.0 for point in known), default=0.0))
    times = [point.at for line in lines for point in line.points]
    start, end = min(times, default=0.0), max(times, default=0.0)
    thin = [thinned(line.points, ROWS) for line in lines]
    rows = [
        (first.at, [each[at].value if at < len(each) else None for each in thin])
        for at, first in enumerate(thin[0] if thin else [])
    ]
    return Drawing(
        key,
        title,
        unit,
        top,
        (end - start) / 60,
        [(line.name, line.dashes) for line in lines],
        [(line.dashes, _parts(line.points, start, end, top)) for line in lines],
        rows[::-1],
        _told(lines, unit),
    )


def nice(value: float) -> float:
    """Return the round number at or above a value that an axis ends with."""
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1.0, 2.0, 5.0, 10.0) if step * size >= value * 0.9999)


def _parts(points: Sequence[Point], start: float, end: float, top: float) -> list[str]:
    """Return the pieces of a line between its gaps, as `x,y x,y`."""
    span = max(end - start, 1.0)
    parts: list[list[str]] = [[]]
    for point in points:
        if point.value is None:
            parts.append([])
            continue
        x = (point.at - start) / span * WIDTH
        y = HEIGHT - min(point.value / top, 1.0) * HEIGHT
        parts[-1].append(f"{x:.1f},{y:.1f}")
    # A single point is drawn as a short stroke.
    return [" ".join(part if len(part) > 1 else [part[0], part[0]]) for part in parts if part]


def _told(lines: Sequence[Line], unit: str) -> str:
    """Return the newest values in words, for users who cannot see the drawing."""
    told = []
    for line in lines:
        known = [point.value for point in line.points if point.value is not None]
        if known:
            told.append(f"{line.name}: now {known[-1]:,.3g} {unit}, at most {max(known):,.3g}")
    return "; ".join(told) or "nothing was seen yet"
