"""Proves that a check says which lanes are closed, and which inner queues are broken."""

from service.commands.check.lanes import broken, judged, types_told
from service.commands.check.rows import RowStatus
from service.commands.status_reading import Process

CLOSED = {
    "entity_type": 128,
    "state": "closed",
    "reason": "scope",
    "since": "2026-11-29T10:00:00Z",
    "next_try_seconds": 4.0,
    "parked": 17,
}


def test_each_closed_lane_has_a_row_that_says_why_since_when_and_how_much_waits() -> None:
    """With the command that has it tried at once."""
    other = {**CLOSED, "entity_type": 1032, "state": "trial", "reason": "plan", "parked": 0}
    first, second = judged({"active": True, "lanes": [CLOSED, other]}, "10.0.0.1")
    assert (RowStatus.WARN, "lane 128") == (first.status, first.subject)
    assert "closed for scope since 2026-11-29T10:00:00Z; 17 events wait" == first.found
    assert "crm-importer lanes retry --type 128" == first.command
    assert ("lane 1032", True) == (second.subject, "plan" in second.found)


def test_that_none_is_closed_is_said_too() -> None:
    """By the active process, or by one that may be it."""
    for active in (True, None):
        [row] = judged({"active": active, "lanes": []}, "10.0.0.1")
        assert (RowStatus.OK, "the importer at 10.0.0.1 says that none is closed") == (
            row.status,
            row.found,
        )


def test_a_stand_by_and_an_older_version_cannot_tell() -> None:
    """Nor does whatever else answers at that address."""
    odd: list[dict[str, object]] = [{}, {"active": True}, {"active": False, "lanes": []}]
    odd += [{"lanes": each} for each in ("x", [None], [CLOSED, {"x": 1}])]
    for told in odd:
        [row] = judged(told, "10.0.0.1")
        assert RowStatus.UNKNOWN is row.status


def test_each_broken_inner_queue_has_a_row_that_says_what_to_do() -> None:
    """As the importer tells it; whatever else stands there makes no row."""
    text = "it refuses publishes: it is full; so it is; whoever runs the broker: see its log"
    [row] = broken({"broken_queues": {"crm.items.parked.128": text}})
    assert (RowStatus.WARN, "inner.queues", "queue crm.items.parked.128") == (
        row.status,
        row.check,
        row.subject,
    )
    assert row.found.startswith("broken: it refuses publishes: it is full; so it is; the importer")
    assert "whoever runs the broker: see its log" == row.remedy
    odd: list[dict[str, object]] = [{}, {"broken_queues": ["x"]}, {"broken_queues": None}]
    assert [[], [], []] == [broken(each) for each in odd]
    assert 1 == len(broken({"broken_queues": {"q": 5}}))


def test_queues_of_types_that_the_importer_names_are_looked_at() -> None:
    """Over AMQP nobody can list queues: an open lane's may hold what waits for another portal."""
    parked = [{"entity_type": 128}, {"entity_type": "all"}, {"entity_type": True}, 7]
    status = {"lanes": [{"entity_type": 31}], "parked": parked}
    assert {31, 128} == types_told(Process("10.0.0.1", status=status))
    for odd in (None, Process("x", problem="away"), Process("x", status={"lanes": 5})):
        assert set() == types_told(odd)
