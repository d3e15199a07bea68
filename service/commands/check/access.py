"""Decides whether the broker's user may do what the importer does there."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from service.commands.check.rows import Row, fail, ok, unknown
from service.rabbit.inspection import BrokerInspection, Presence
from service.rabbit.topology import Topology

_RIGHTS = ("configure", "write", "read")


class Account(NamedTuple):
    """A user of the broker in a virtual host."""

    user: str
    vhost: str

    @property
    def subject(self) -> str:
        """How a row names it."""
        return f"user {self.user}"


class Need(NamedTuple):
    """A right (`configure`, `write` or `read`) on a thing, and what it is for."""

    right: str
    name: str
    purpose: str


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


def rights_row(account: Account, wanted: Iterable[Need], rights: Mapping[str, str]) -> Row:
    """Judge the rights that the management API told; a pattern matches anywhere in a name."""
    missing = lacking(wanted, rights)
    if not missing:
        return ok("broker.rights", account.subject, "may do all that the importer does")
    return fail(
        "broker.rights",
        account.subject,
        told(missing),
        f"extend the user's {_named(missing)} pattern",
        granting(account, missing, rights),
    )


def lacking(wanted: Iterable[Need], rights: Mapping[str, str]) -> list[Need]:
    """Return what the rights that were told do not give."""
    return [need for need in wanted if not _allows(rights.get(need.right, ""), need.name)]


def tried_row(account: Account, wanted: Iterable[Need], inspection: BrokerInspection) -> Row:
    """Judge by what was tried over AMQP: publishes in a transaction that was rolled back."""
    denied = [
        Need("write", name, "publish") for name, may in inspection.writable.items() if not may
    ]
    if denied:
        return fail(
            "broker.rights",
            account.subject,
            told(denied),
            f"extend the user's {_named(denied)} pattern; its patterns are not told here: this "
            "command sets all three, to what the importer needs and no more",
            granting(account, [*wanted, *denied], {}),
        )
    may = ", ".join(inspection.writable)
    found = f"may publish to {may}" if may else "not told"
    return unknown(
        "broker.rights",
        account.subject,
        f"{found}; other rights cannot be asked over AMQP",
        "set IMPORTER_RABBIT__MANAGEMENT_URL with a user tagged `administrator` to have them "
        "checked",
    )


def granting(account: Account, missing: Sequence[Need], rights: Mapping[str, str]) -> str:
    """Return the command that gives what is lacking beside what is there."""
    patterns = []
    for right in _RIGHTS:
        names = dict.fromkeys(need.name for need in missing if need.right == right)
        own = rights.get(right, "")
        kept = [own] if own and _allows(f"({own})|.", "x") else []
        patterns.append("|".join([*kept, *(f"^{re.escape(name)}$" for name in names)]))
    words = ("rabbitmqctl", "set_permissions", "-p", account.vhost, account.user)
    return shlex.join([*words, *patterns])


def _allows(pattern: str, name: str) -> bool:
    """Match as the broker does; the empty pattern means nothing at all."""
    try:
        return bool(pattern) and re.search(pattern, name) is not None
    except re.error:
        return False


def told(missing: Iterable[Need]) -> str:
    """Say which rights are missing, and what each is for."""
    named = dict.fromkeys(f"{need.right} {need.name} (to {need.purpose})" for need in missing)
    return "may not: " + ", ".join(named)


def _named(missing: Iterable[Need]) -> str:
    rights = {need.right for need in missing}
    return " and ".join(each for each in _RIGHTS if each in rights)
