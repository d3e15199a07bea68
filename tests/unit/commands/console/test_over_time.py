"""Proves what is remembered of the importer over time, and how it is drawn."""

from typing import Any

import pytest

from service.commands.console.drawing import HEIGHT, WIDTH, Line, drawing, nice
from service.commands.console.samples import MAX_SAMPLES, Point, Ring, Sample, sample, thinned

STATUS: dict[str, Any] = {
    "version": "1",
    "active": True,
    "outcomes": {"imported": 7, "failed": 2, "malformed": 1},
    "budget": {"import": {"limit_seconds": 400, "used_seconds": 100}},
    "lanes": [{}, {}],
    "oldest_held_seconds": 3.5,
    "last": [{"age_seconds": 9.0}, {"age_seconds": 1.0}],
}


def test_a_sample_takes_what_it_needs_of_a_status() -> None:
    """Counts, the age of the newest event, the budget in percent, closed lanes, depths."""
    taken = sample(5.0, STATUS, {"intake": 4, "dead": None})
    assert (7.0, 3.0, 3.5, 9.0) == (
        taken.imported,
        taken.failed,
        taken.oldest_held,
        taken.event_age,
    )
    assert (25.0, 2, 4, None) == (taken.budget, taken.closed_lanes, taken.waiting, taken.dead)


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        {"outcomes": [], "budget": 3, "lanes": None, "last": {}, "oldest_held_seconds": "x"},
        {"budget": {"import": {"limit_seconds": 0, "used_seconds": 1}}, "last": [3]},
        {"outcomes": {"imported": True}},
    ],
)
def test_a_sample_of_something_else_is_a_gap(status: Any) -> None:  # noqa: ANN401 - what may come
    """No importer, or one of another version, does no harm."""
    taken = sample(5.0, status, {})
    assert [None] * 4 == [taken.imported, taken.oldest_held, taken.event_age, taken.budget]


def test_the_memory_is_bounded() -> None:
    """An hour, however long it watches."""
    ring = Ring()
    for at in range(2 * MAX_SAMPLES):
        ring.add(Sample(float(at), waiting=float(at)))
    assert MAX_SAMPLES == len(ring.values(lambda each: each.waiting))
    assert 2 * MAX_SAMPLES - 1 == ring.most(lambda each: each.waiting, since=0.0)


def test_a_rate_is_of_one_process_only() -> None:
    """A restart, another process or a gap begins anew."""
    ring = Ring()
    for at, of, imported in [
        (0, "a", 5),
        (60, "a", 65),
        (120, "a", 5),
        (180, "b", 50),
        (240, "b", None),
    ]:
        ring.add(Sample(float(at), of=of, imported=imported))
    assert [60.0, None, None, None] == [each.value for each in ring.rate(lambda s: s.imported)]


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1), (-1, 1), (0.3, 0.5), (1, 1), (1.1, 2), (3, 5), (99, 100), (101, 200)],
)
def test_an_axis_ends_with_a_round_number(value: float, top: float) -> None:
    """At or above the largest value."""
    assert pytest.approx(top) == nice(value)


def test_a_line_has_gaps_where_nothing_was_seen_and_stays_in_its_box() -> None:
    """Two lines share one scale; the table has their newest values first."""
    one = [Point(0, 1.0), Point(10, None), Point(20, 4.0), Point(30, 5.0)]
    other = [Point(at, None) for at in (0, 10, 20, 30)]
    drawn = drawing("k", "Title", "s", [Line("one", "solid", one), Line("other", "dashed", other)])
    (_, parts), (_, none) = drawn.strokes
    assert ["0.0,96.0 0.0,96.0", f"400.0,24.0 {WIDTH},0.0"] == parts
    assert not none
    assert pytest.approx(5.0) == drawn.top
    assert [5.0, None] == drawn.rows[0][1]
    assert "one: now 5 s, at most 5" == drawn.told
    assert not drawn.is_empty
    for point in " ".join(parts).split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_nothing_seen_is_an_empty_drawing() -> None:
    """The page says so instead."""
    assert drawing("k", "Title", "s", [Line("one", "solid", [])]).is_empty
    assert [] == thinned([], 5)


def test_a_table_has_a_bounded_number_of_rows() -> None:
    """Each the mean of what it stands for; nothing known stays nothing."""
    thin = thinned([Point(at, float(at)) for at in range(100)], 10)
    assert 10 == len(thin)
    assert (99, 94.5) == (thin[-1].at, thin[-1].value)
    assert [None] == [each.value for each in thinned([Point(1, None)], 5)]
