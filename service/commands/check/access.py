"""Decides whether the broker's user may do what the importer does there."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from service.commands.check.rows import Row, fail, ok, unknown
from service.rabbit.inspection import BrokerInspection, Presence
from service.rabbit.topology import Topology


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


def rights_row(subject: str, wanted: Iterable[Need], rights: Mapping[str, str]) -> Row:
    """Judge the rights that the management API told; a pattern matches anywhere in a name."""
    lacking = [need for need in wanted if not _allows(rights.get(need.right, ""), need.name)]
    if not lacking:
        return ok("broker.rights", subject, "may do all that the importer does")
    return fail("broker.rights", subject, _told(lacking), _remedy(lacking))


def tried_row(subject: str, inspection: BrokerInspection) -> Row:
    """Judge by what was tried over AMQP: publishes in a transaction that was rolled back."""
    denied = [
        Need("write", name, "publish") for name, may in inspection.writable.items() if not may
    ]
    if denied:
        return fail("broker.rights", subject, _told(denied), _remedy(denied))
    found = (
        f"may publish to {', '.join(inspection.writable)}" if inspection.writable else "not told"
    )
    return unknown(
        "broker.rights",
        subject,
        f"{found}; other rights cannot be asked over AMQP",
        "set IMPORTER_RABBIT__MANAGEMENT_URL with a user tagged `administrator` to have them "
        "checked",
    )


def _allows(pattern: str, name: str) -> bool:
    """Match as the broker does; the empty pattern means nothing at all."""
    try:
        return bool(pattern) and re.search(pattern, name) is not None
    except re.error:
        return False


def _told(lacking: Iterable[Need]) -> str:
    named = dict.fromkeys(f"{need.right} {need.name} (to {need.purpose})" for need in lacking)
    return "may not: " + ", ".join(named)


def _remedy(lacking: list[Need]) -> str:
    rights = {need.right for need in lacking}
    named = [each for each in ("configure", "write", "read") if each in rights]
    return f"extend the user's {' and '.join(named)} pattern (rabbitmqctl set_permissions)"
