"""Draws time series as an SVG picture: a grid of small charts over the same minutes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 460, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 30, 44
COLUMNS = 2
COLOURS = ("#3b7dd8", "#e0752d", "#3aa655", "#c0392b", "#8e5bb5", "#0e9aa7", "#b8860b", "#666666")
TICKS = 4
GAP_SECONDS = 3.0
FONT = "font-family='Helvetica,Arial,sans-serif'"


@dataclass(frozen=True, slots=True)
class Line:
    """One series, and what it is called."""

    name: str
    points: Points


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel."""

    title: str
    unit: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Span:
    """A time that is shaded in every chart, and why."""

    name: str
    start: float
    end: float
    colour: str


def draw(
    charts: Sequence[Chart], spans: Sequence[Span], start: float, end: float, heading: str
) -> str:
    """Return the picture; times are seconds of one clock."""
    rows = math.ceil(len(charts) / COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT + TOP + 18
    body = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' {FONT}>",
        f"<rect width='{width}' height='{height}' fill='#ffffff'/>",
        f"<text x='14' y='21' font-size='14' fill='#222'>{escape(heading)}</text>",
        *_key(spans, width),
    ]
    for position, chart in enumerate(charts):
        x, y = position % COLUMNS * WIDTH, position // COLUMNS * HEIGHT + TOP
        body += [f"<g transform='translate({x},{y})'>", *_chart(chart, spans, start, end), "</g>"]
    return "\n".join([*body, "</svg>", ""])


def _key(spans: Sequence[Span], width: int) -> Iterator[str]:
    """Say above the charts what the shades mean."""
    for position, span in enumerate(reversed(spans)):
        x = width - 250 * (position + 1)
        yield f"<rect x='{x}' y='10' width='12' height='12' fill='{span.colour}'/>"
        yield f"<text x='{x + 17}' y='20' font-size='11' fill='#444'>{escape(span.name)}</text>"


def _chart(chart: Chart, spans: Sequence[Span], start: float, end: float) -> Iterator[str]:
    top = _rounded(max((v for line in chart.lines for _, v in line.points), default=1.0))
    inner, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(at: float) -> float:
        return LEFT + (min(max(at, start), end) - start) / (end - start) * inner

    def y(value: float) -> float:
        return TOP + tall * (1 - value / top)

    yield f"<text x='{LEFT}' y='20' font-size='12.5' fill='#222'>{escape(chart.title)}</text>"
    for span in spans:
        wide = x(span.end) - x(span.start)
        yield (
            f"<rect x='{x(span.start):.1f}' y='{TOP}' width='{wide:.1f}' height='{tall}' "
            f"fill='{span.colour}'/>"
        )
    for tick in range(TICKS + 1):
        value = top * tick / TICKS
        yield (
            f"<line x1='{LEFT}' x2='{LEFT + inner}' y1='{y(value):.1f}' y2='{y(value):.1f}' "
            "stroke='#ddd' stroke-width='0.7'/>"
            f"<text x='{LEFT - 5}' y='{y(value) + 3.5:.1f}' font-size='10' fill='#666' "
            f"text-anchor='end'>{value:g}{escape(chart.unit)}</text>"
        )
    for minute in range(int((end - start) // 30) + 1):
        at = start + 30 * minute
        yield (
            f"<text x='{x(at):.1f}' y='{HEIGHT - BOTTOM + 13}' font-size='9.5' fill='#666' "
            f"text-anchor='middle'>{minute // 2}:{minute % 2 * 30:02d}</text>"
        )
    for line, colour in zip(chart.lines, COLOURS, strict=False):
        for piece in _pieces(line.points):
            path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in piece)
            yield f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='1.5'/>"
    yield from _legend(chart.lines)


def _pieces(points: Points) -> Iterator[Points]:
    """Cut a line where it has no values: a gap is not drawn over."""
    start = 0
    for position in range(1, len(points)):
        if points[position][0] - points[position - 1][0] > GAP_SECONDS:
            yield points[start:position]
            start = position
    yield points[start:]


def _legend(lines: Sequence[Line]) -> Iterator[str]:
    x = float(LEFT)
    for line, colour in zip(lines, COLOURS, strict=False):
        yield f"<rect x='{x:.0f}' y='{HEIGHT - 20}' width='9' height='9' fill='{colour}'/>"
        yield (
            f"<text x='{x + 13:.0f}' y='{HEIGHT - 11.5}' font-size='10' fill='#444'>"
            f"{escape(line.name)}</text>"
        )
        x += 26 + 6.0 * len(line.name)


def _rounded(value: float) -> float:
    """Return the next number that looks well at the top of an axis."""
    if value <= 0:
        return 1.0
    size: float = 10 ** math.floor(math.log10(value))
    return next(
        step * size for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * size >= value
    )
