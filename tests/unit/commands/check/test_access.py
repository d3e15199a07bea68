"""Access: which rights the importer needs, and how patterns give them."""

import shlex

import pytest

from service.commands.check import access
from service.commands.check.access import Need
from service.commands.check.rows import RowStatus
from service.factories import topology
from service.rabbit.inspection import BrokerInspection, Presence, Seen
from service.settings.tree import Rabbit

DECLARES = topology(Rabbit())
CHECKS = topology(Rabbit(topology="check"))
ALL = {"configure": ".*", "write": ".*", "read": ".*"}
WHO = access.Account("u", "/")
MIN_SECRET = [
    Need("read", "crm.items.import", "consume"),
    Need("write", "crm.items.results", "publish results"),
    Need("write", "crm.items.dlx", "publish dead letters"),
]


def seen(presence: Presence = Presence.THERE) -> BrokerInspection:
    """Return a look at a broker on which everything is equally there."""
    return BrokerInspection(
        exchanges={each.name: Seen(presence) for each in DECLARES.exchanges},
        queues={each.name: Seen(presence) for each in DECLARES.queues},
    )


def test_who_only_checks_needs_three_rights() -> None:
    """Consume the intake, publish results and dead letters."""
    assert MIN_SECRET == access.needs(CHECKS, seen(Presence.MISSING))


def test_who_declares_must_bind_what_is_there() -> None:
    """Binding writes to the queue and reads the exchange."""
    wanted = {(need.right, need.name) for need in access.needs(DECLARES, seen())}
    assert {"read", "write"} == {right for right, _ in wanted}
    assert {("write", "crm.items.dlq"), ("read", "crm.items.dlx")} <= wanted


def test_who_declares_must_create_what_is_missing() -> None:
    """Ask for the right to configure exactly what is missing."""
    inspection = seen()
    inspection.queues["crm.items.dlq"] = Seen(Presence.MISSING)
    wanted = access.needs(DECLARES, inspection)
    assert ["crm.items.dlq"] == [need.name for need in wanted if need.right == "configure"]
    everything = access.needs(DECLARES, seen(Presence.MISSING))
    assert 7 == sum(1 for need in everything if need.right == "configure")


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (".*", True),
        (r"^crm\.items", True),
        ("import", True),
        ("^import", False),
        ("", False),
        ("^$", False),
        ("(", False),
    ],
)
def test_patterns_match_as_the_broker_matches(pattern: str, *, allowed: bool) -> None:
    """Match anywhere; the empty pattern, and one that is none, allow nothing."""
    row = access.rights_row(WHO, MIN_SECRET[:1], {**ALL, "read": pattern}, "")
    assert (RowStatus.OK if allowed else RowStatus.FAIL) is row.status


def test_lacking_rights_are_named_with_their_purpose() -> None:
    """Tell what to extend."""
    row = access.rights_row(WHO, MIN_SECRET, {"read": ".*", "write": "results"}, "command")
    assert "command" == row.command
    assert "may not: write crm.items.dlx (to publish dead letters)" == row.found
    assert "write pattern" in row.remedy


def test_the_command_gives_what_is_lacking_and_takes_nothing_away() -> None:
    """It can be pasted; a pattern that is none is replaced."""
    who = access.Account("my user", "a b")
    rights = {"read": "(", "write": "results"}
    command = access.extending(who, access.lacking(MIN_SECRET, rights), rights)
    *words, configure, write, read = shlex.split(command)
    assert ["rabbitmqctl", "set_permissions", "-p", "a b", "my user"] == words
    assert ("", "results|^crm\\.items\\.dlx$", "^crm\\.items\\.import$") == (
        configure,
        write,
        read,
    )
    assert [] == access.lacking(MIN_SECRET, {"write": write, "read": read})


def test_without_a_management_api_only_publishes_are_known() -> None:
    """Fail what was refused; what was allowed leaves the rest unknown."""
    inspection = seen()
    assert RowStatus.UNKNOWN is access.tried_row(WHO, DECLARES, inspection).status
    inspection.writable = {"crm.items.results": True, "crm.items.dlx": True}
    row = access.tried_row(WHO, DECLARES, inspection)
    assert (RowStatus.UNKNOWN, True) == (row.status, "crm.items.dlx" in row.found)
    inspection.writable["crm.items.dlx"] = False
    row = access.tried_row(WHO, DECLARES, inspection)
    assert (RowStatus.FAIL, True) == (row.status, "crm.items.results" not in row.found)
    assert access.all_rights(WHO, DECLARES) == row.command
