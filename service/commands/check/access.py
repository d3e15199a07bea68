"""Decides whether the broker's user may do what the importer does there."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from service.commands.check.rows import Row, fail, ok, unknown
from service.rabbit.inspection import BrokerInspection, Presence
from service.rabbit.rights import NOTHING, Rights, granting, of_service
from service.rabbit.topology import Topology

SETS_ALL = (
    "the present patterns are not known here: this command sets all three to exactly what the "
    "importer needs"
)


class Account(NamedTuple):
    """A user of the broker in a virtual host."""

    user: str
    vhost: str

    @property
    def subject(self) -> str:
        """How a row names it."""
        return f"user {self.user}"


class Need(NamedTuple):
    """A right (`configure`, `write` or `read`) on a thing, and what it is for.

    `pattern`: what gives it where the thing is one of many.
    """

    right: str
    name: str
    purpose: str
    pattern: str = ""

    @property
    def given_by(self) -> str:
        """The pattern that gives it."""
        return self.pattern or f"^{re.escape(self.name)}$"


def needs(topology: Topology, inspection: BrokerInspection) -> list[Need]:
    """Return every right that the importer will use here."""
    wanted = [
        Need("read", topology.intake_queue, "consume"),
        Need("write", topology.results_exchange, "publish results"),
        Need("write", topology.dead_letter_exchange, "publish dead letters"),
    ]
    if not topology.declare:
        return wanted
    wanted += [
        Need("configure", exchange.name, "create it")
        for exchange in topology.exchanges
        if inspection.exchanges[exchange.name].presence is Presence.MISSING
    ]
    for queue in topology.queues:
        if inspection.queues[queue.name].presence is Presence.MISSING:
            wanted.append(Need("configure", queue.name, "create it"))
        wanted.append(Need("write", queue.name, "bind it"))
        wanted.append(Need("read", queue.exchange, f"bind {queue.name}"))
    return wanted


def rights_row(
    account: Account, wanted: Iterable[Need], rights: Mapping[str, str], command: str
) -> Row:
    """Judge the rights from the management API; a pattern matches anywhere in a name.

    `command`: what gives all that is lacking, on inner queues too.
    """
    missing = lacking(wanted, rights)
    if not missing:
        return ok("broker.rights", account.subject, "has every right that the importer needs")
    return fail(
        "broker.rights",
        account.subject,
        told(missing),
        f"extend the user's {_named(missing)} pattern",
        command,
    )


def lacking(wanted: Iterable[Need], rights: Mapping[str, str]) -> list[Need]:
    """Return the needs that these rights do not cover."""
    return [need for need in wanted if not _allows(rights.get(need.right, ""), need.name)]


def tried_row(account: Account, names: Topology, inspection: BrokerInspection) -> Row:
    """Judge by what was tried over AMQP: publishes in a transaction that was rolled back."""
    denied = [
        Need("write", name, "publish") for name, may in inspection.writable.items() if not may
    ]
    if denied:
        return fail(
            "broker.rights",
            account.subject,
            told(denied),
            f"extend the user's {_named(denied)} pattern; {SETS_ALL}",
            all_rights(account, names),
        )
    may = ", ".join(inspection.writable)
    found = f"may publish to {may}" if may else "not known"
    return unknown(
        "broker.rights",
        account.subject,
        f"{found}; AMQP does not show the other rights",
        "to check them, set IMPORTER_RABBIT__MANAGEMENT_URL with a user tagged `administrator`",
    )


def all_rights(account: Account, names: Topology) -> str:
    """Return the command that gives all that the importer needs, where nothing else is known."""
    return granting(account.user, account.vhost, of_service(names))


def extending(account: Account, missing: Sequence[Need], rights: Mapping[str, str]) -> str:
    """Return the command that gives what is lacking beside what is there."""
    patterns = []
    for right in Rights._fields:
        added = dict.fromkeys(need.given_by for need in missing if need.right == right)
        own = rights.get(right, "")
        kept = [own] if own not in {"", NOTHING} and _allows(f"({own})|.", "x") else []
        patterns.append("|".join([*kept, *added]))
    return granting(account.user, account.vhost, Rights(*patterns))


def _allows(pattern: str, name: str) -> bool:
    """Match as the broker does; the empty pattern means nothing at all."""
    try:
        return bool(pattern) and re.search(pattern, name) is not None
    except (re.error, OverflowError, RecursionError):
        return False


def told(missing: Iterable[Need]) -> str:
    """Say which rights are missing, and what each is for."""
    named = dict.fromkeys(f"{need.right} {need.name} (to {need.purpose})" for need in missing)
    return "may not: " + ", ".join(named)


def _named(missing: Iterable[Need]) -> str:
    rights = {need.right for need in missing}
    return " and ".join(each for each in Rights._fields if each in rights)
