"""Memory and inner queues: what is missing costs no start, and is said."""

from dataclasses import replace

from service.commands.check.access import Account
from service.commands.check.inner import inner_rights, inner_rows
from service.commands.check.rows import RowStatus
from service.factories import topology
from service.rabbit.inspection import BrokerInspection, Presence, Seen
from service.settings.tree import Rabbit

NAMES = topology(Rabbit())
ACCOUNT = Account("crm-importer", "/")
SHIPPED = {
    "configure": r"^crm\.items\.parked\..*$",
    "write": r"^(amq\.default|crm\.items(\..*)?)$",
    "read": r"^crm\.items\.(import|dlq|memory|parked\..*)$",
}


def found(presence: Presence) -> BrokerInspection:
    """Return what was found where all of them are so."""
    names = [NAMES.memory, *NAMES.inner_queues([128])]
    return BrokerInspection(inner=dict.fromkeys(names, Seen(presence)))


def test_what_run_makes_itself_is_no_trouble() -> None:
    """And a lane's queue is not told of before it is there."""
    rows = inner_rows(NAMES, "p", found(Presence.MISSING))
    assert {RowStatus.OK} == {row.status for row in rows}
    assert not [row for row in rows if "128" in row.subject]


def test_a_memory_that_nobody_declared_is_told() -> None:
    """Where the topology is somebody else's."""
    rows = inner_rows(replace(NAMES, declare=False), "p", found(Presence.MISSING))
    assert ["inner.memory"] == [row.check for row in rows if row.status is RowStatus.WARN]


def test_a_memory_that_a_running_importer_could_not_make_is_told() -> None:
    """Whoever consumes the intake has tried."""
    there = found(Presence.MISSING)
    there.queues[NAMES.intake_queue] = Seen(Presence.THERE, consumers=1)
    (row,) = [row for row in inner_rows(NAMES, "p", there) if row.status is RowStatus.WARN]
    assert ("inner.memory", True) == (row.check, "although an importer runs" in row.found)


def test_no_names_are_told_with_what_follows() -> None:
    """Both are choices that somebody may have made without knowing."""
    rows = inner_rows(replace(NAMES, memory="", parked=""), "p", BrokerInspection())
    assert {RowStatus.WARN} == {row.status for row in rows}
    assert 2 == len(rows)
    assert any("pauses the whole intake" in row.found for row in rows)


def test_what_may_not_be_read_is_told() -> None:
    """What were parked there could not be taken out again."""
    hidden = inner_rows(NAMES, "p", found(Presence.HIDDEN))
    assert {RowStatus.WARN} == {row.status for row in hidden}
    there = found(Presence.THERE)
    there.unreadable.add(f"{NAMES.parked}.128")
    rows = inner_rows(NAMES, "p", there)
    assert [f"queue {NAMES.parked}.128"] == [
        row.subject for row in rows if row.status is RowStatus.WARN
    ]


def test_the_shipped_rights_are_enough() -> None:
    """Without one of them a row names it, with the command that gives all that is lacking."""
    assert [] == inner_rights(NAMES, ACCOUNT, SHIPPED, "")
    for right in SHIPPED:
        [row] = inner_rights(NAMES, ACCOUNT, {**SHIPPED, right: ""}, "the command")
        assert RowStatus.WARN is row.status
        assert right in row.found
        assert "the command" == row.command
