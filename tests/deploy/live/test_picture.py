"""The picture in the README: drawn from values, small, and of panels that exist."""

import xml.etree.ElementTree as ET

from deploy.generate.dashboard import DASHBOARD
from tests.deploy.live.chart import Chart, Line, Span, draw
from tests.deploy.live.picture import SHOWN, TARGET

SVG = "{http://www.w3.org/2000/svg}"
BYTES = 200_000


def test_chart_draws_every_value_in_its_place() -> None:
    """Put the highest value at the top of the axis, the last at its end, and cut at a gap."""
    points = [(0.0, 0.0), (1.0, 10.0), (30.0, 5.0), (31.0, 0.0)]
    chart = Chart("A <title>", "/s", [Line("one", points)])
    root = ET.fromstring(draw([chart], [Span("why", 5, 9, "#eee")], 0, 31, "Heading"))  # noqa: S314 - our own text
    pieces = [each.attrib["points"].split() for each in root.iter(f"{SVG}polyline")]
    assert [2, 2] == [len(piece) for piece in pieces]
    heights = [float(pair.split(",")[1]) for piece in pieces for pair in piece]
    assert heights[0] == heights[3] == max(heights)
    assert heights[1] == min(heights)
    assert "A <title>" in [each.text for each in root.iter(f"{SVG}text")]


def test_chart_without_values_is_drawn_all_the_same() -> None:
    """Show an empty panel rather than none."""
    assert ET.fromstring(draw([Chart("Empty", "", [])], [], 0, 60, "Heading")) is not None  # noqa: S314 - our own text


def test_picture_is_there_and_small() -> None:
    """Draw it anew with `python -m tests.deploy.live.picture`."""
    text = TARGET.read_text()
    assert BYTES > len(text)
    assert [] == [title for title in SHOWN if title not in text]


def test_picture_shows_panels_of_the_dashboard() -> None:
    """Draw what people will see, by the same queries."""
    titles = {panel.title for row in DASHBOARD.rows for panel in row.panels}
    assert set(SHOWN) <= titles
