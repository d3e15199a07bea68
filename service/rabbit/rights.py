"""Knows the rights on the broker that each party needs, and the command that gives them."""

import re
import shlex
from typing import NamedTuple

from service.rabbit.topology import Topology

DEFAULT_EXCHANGE = "amq.default"
"""How the broker names the default exchange where it speaks of rights."""
NOTHING = "^$"
"""The pattern that allows nothing."""
_DEFAULT = re.escape(DEFAULT_EXCHANGE)


class Rights(NamedTuple):
    """The patterns of a user in a virtual host, as `rabbitmqctl set_permissions` takes them."""

    configure: str
    write: str
    read: str


def of_service(names: Topology) -> Rights:
    """Return what the importer needs; who declares also binds: that takes more."""
    inner = _inner(names)
    things = [*(each.name for each in names.exchanges), *(each.name for each in names.queues)]
    all_of = [*map(re.escape, things), *inner]
    # RabbitMQ 4.3 tells whether a thing is there only to users who have some right on it.
    write = _any(_DEFAULT, *all_of)
    if names.declare:
        return Rights(_any(*all_of), write, _any(*all_of))
    return Rights(
        _any(*_lanes(names)),
        write,
        _any(re.escape(names.intake_queue), re.escape(names.dead_letter_queue), *inner),
    )


def of_operator(names: Topology) -> Rights:
    """Return what the commands need that look, send back and publish."""
    return Rights(
        NOTHING,
        _any(_DEFAULT, re.escape(names.intake_exchange)),
        _any(re.escape(names.dead_letter_queue), *_inner(names)),
    )


def of_ender(names: Topology) -> Rights:
    """Return what the command needs that ends waiting events: it writes results and letters."""
    out = (names.intake_exchange, names.results_exchange, names.dead_letter_exchange)
    return of_operator(names)._replace(write=_any(_DEFAULT, *map(re.escape, out)))


def of_upstream(names: Topology) -> Rights:
    """Return what it takes to publish item events."""
    return Rights(NOTHING, _any(re.escape(names.intake_exchange)), NOTHING)


def granting(user: str, vhost: str, rights: Rights) -> str:
    """Return the command that sets all three patterns of a user."""
    return shlex.join(["rabbitmqctl", "set_permissions", "-p", vhost, user, *rights])


def _lanes(names: Topology) -> list[str]:
    return [rf"{re.escape(names.parked)}\..*"] if names.parked else []


def _inner(names: Topology) -> list[str]:
    memory = [re.escape(names.memory)] if names.memory else []
    return [*memory, *_lanes(names)]


def _any(*patterns: str) -> str:
    """Return the pattern of names that are one of these, whole."""
    if not patterns:
        return NOTHING
    return f"^{patterns[0]}$" if len(patterns) == 1 else f"^({'|'.join(patterns)})$"
