"""Rights: the command that gives them gives all, whatever things are called."""

import re
import shlex

import pytest

from service.commands.check import access
from service.commands.check.inner import inner_needs
from service.factories import topology
from service.rabbit import rights
from service.rabbit.inspection import BrokerInspection, Presence, Seen
from service.rabbit.topology import Topology
from service.settings.tree import Rabbit

USUAL = topology(Rabbit())
NAMES = [
    USUAL,
    topology(Rabbit(topology="check")),
    topology(Rabbit(intake_queue="in (1)", results_exchange="out+", dead_letter_queue="gone")),
    topology(Rabbit(parked_queue="", memory_queue="", topology="check")),
]


@pytest.mark.parametrize("names", NAMES)
def test_one_command_gives_the_service_all_that_it_uses(names: Topology) -> None:
    """On a broker where nothing is there yet, with or without the queues of what waits."""
    nothing = BrokerInspection(
        exchanges={each.name: Seen(Presence.MISSING) for each in names.exchanges},
        queues={each.name: Seen(Presence.MISSING) for each in names.queues},
    )
    given = rights.of_service(names)
    wanted = [*access.needs(names, nothing), *inner_needs(names)]
    assert [] == access.lacking(wanted, given._asdict())
    # RabbitMQ 4.3 says nothing of a thing to users who have no right on it.
    for name in (*(e.name for e in names.exchanges), *(q.name for q in names.queues)):
        assert re.search(given.write, name)
    *_, vhost, user, configure, write, read = shlex.split(rights.granting("my user", "a b", given))
    assert ("a b", "my user", given) == (vhost, user, (configure, write, read))


def test_each_party_gets_no_more_than_its_own_work_takes() -> None:
    """Who publishes reads nothing; only who ends events writes results."""
    upstream, operator = rights.of_upstream(USUAL), rights.of_operator(USUAL)
    assert ("^$", r"^crm\.items$", "^$") == upstream
    assert "^$" == operator.configure
    assert re.search(operator.read, "crm.items.parked.128")
    for name in ("crm.items.results", "crm.items.dlx"):
        assert not re.search(operator.write, name)
        assert re.search(rights.of_ender(USUAL).write, name)
    assert not re.search(operator.read, "crm.items.import")


@pytest.mark.parametrize("names", NAMES)
def test_what_is_lacking_is_given_in_one_command_beside_what_is_there(names: Topology) -> None:
    """For the lane of every type, not only for the one that was asked about."""
    nothing = BrokerInspection(
        exchanges={each.name: Seen(Presence.THERE) for each in names.exchanges},
        queues={each.name: Seen(Presence.THERE) for each in names.queues},
    )
    own = {"configure": "^$", "write": "^mine$", "read": ""}
    wanted = [*access.needs(names, nothing), *inner_needs(names)]
    command = access.extending(access.Account("u", "/"), access.lacking(wanted, own), own)
    *_, configure, write, read = shlex.split(command)
    assert [] == access.lacking(wanted, {"configure": configure, "write": write, "read": read})
    assert re.search(write, "mine")
    if names.parked:
        assert re.search(configure, f"{names.parked}.1032")
        assert re.search(read, f"{names.parked}.1032")
