"""Judges the memory and the inner queues: without them the importer starts, but promises less."""

import re
from collections.abc import Mapping

from service.commands.check.access import SETS_ALL, Account, Need, all_rights, lacking, told
from service.commands.check.rows import Row, ok, warn
from service.rabbit.inspection import BrokerInspection, Presence, Seen
from service.rabbit.rights import DEFAULT_EXCHANGE
from service.rabbit.topology import Topology

PAUSES = "a closed lane pauses the whole intake, and events that wait take up the prefetch"
FORGETS = "after a restart, repeats are not recognised, and events in calls are unknown"
_CHECK = "inner.queues"


def inner_rows(names: Topology, portal: str, found: BrokerInspection) -> list[Row]:
    """Return a row for the memory, and one for each inner queue that is there or always made."""
    rows = [_memory(names, found)]
    if not names.parked:
        remedy = "set IMPORTER_RABBIT__PARKED_QUEUE, or remove it for the default"
        return [*rows, warn(_CHECK, "inner queues", f"no name: {PAUSES}", remedy)]
    always = names.inner_queues(())
    rows += [
        _queue(name, found, portal)
        for name, seen in found.inner.items()
        if name.startswith(f"{names.parked}.")
        and (name in always or seen.presence is not Presence.MISSING)
    ]
    return rows


def tried_inner(names: Topology, account: Account, found: BrokerInspection) -> list[Row]:
    """Judge the right to fill inner queues and memory by what was tried over AMQP."""
    if not names.parked or found.may_fill is not False:
        return []
    denied = [Need("write", DEFAULT_EXCHANGE, "fill them")]
    return [
        warn(
            "inner.rights",
            account.subject,
            f"{told(denied)}: {PAUSES}; the memory is off",
            f"extend the user's write pattern; {SETS_ALL}",
            all_rights(account, names),
        )
    ]


def inner_needs(names: Topology) -> list[Need]:
    """Return every right on inner queues and memory that the importer will use."""
    wanted = []
    if names.memory:
        wanted += [Need("read", names.memory, "read the notes")]
    if names.parked:
        lane, lanes = f"{names.parked}.128", rf"^{re.escape(names.parked)}\..*$"
        wanted += [
            Need("configure", lane, "make a lane's queue", lanes),
            Need("read", lane, "read it", lanes),
        ]
    return [*wanted, Need("write", DEFAULT_EXCHANGE, "fill them")] if wanted else []


def inner_rights(
    names: Topology, account: Account, rights: Mapping[str, str], command: str
) -> list[Row]:
    """Judge the rights on inner queues and memory from the management API."""
    missing = lacking(inner_needs(names), rights)
    if not missing:
        return []
    return [
        warn(
            "inner.rights",
            account.subject,
            f"{told(missing)}: {PAUSES if names.parked else FORGETS}",
            "extend the user's patterns",
            command,
        )
    ]


def _memory(names: Topology, found: BrokerInspection) -> Row:
    check = "inner.memory"
    if not names.memory:
        remedy = "set IMPORTER_RABBIT__MEMORY_QUEUE, or remove it for the default"
        return warn(check, "memory", f"off: {FORGETS}", remedy)
    subject, seen = f"queue {names.memory}", found.inner[names.memory]
    match seen.presence:
        case Presence.THERE:
            return ok(check, subject, "there")
        case Presence.HIDDEN:
            return warn(check, subject, f"not shown: {FORGETS}", _give_read(names.memory))
        case Presence.MISSING if names.declare and _is_consumed(names, found):
            remedy = (
                f"give the user of the importer the rights to configure and read {names.memory}: "
                f"it then makes it by itself"
            )
            return warn(check, subject, f"missing, although an importer runs: {FORGETS}", remedy)
        case Presence.MISSING if names.declare:
            return ok(check, subject, "missing; `run` would create it, if the user may")
        case Presence.MISSING:
            remedy = "import the definitions, or let the user configure it once"
            return warn(check, subject, f"missing: {FORGETS}", remedy)


def _is_consumed(names: Topology, found: BrokerInspection) -> bool:
    intake = found.queues.get(names.intake_queue)
    return intake is not None and intake.consumers > 0


def _queue(name: str, found: BrokerInspection, portal: str) -> Row:
    subject, seen = f"queue {name}", found.inner[name]
    if seen.presence is Presence.HIDDEN or name in found.unreadable:
        return warn(_CHECK, subject, f"may not be read: {PAUSES}", _give_read(name))
    if seen.presence is Presence.MISSING:
        return ok(_CHECK, subject, "missing; `run` makes it, if the user may configure it")
    return _strangers(subject, seen, found.portals.get(name, set()) - {portal, ""})


def _strangers(subject: str, seen: Seen, strangers: set[str]) -> Row:
    if not strangers:
        return ok(_CHECK, subject, f"there, {seen.ready} waiting")
    return warn(
        _CHECK,
        subject,
        f"{seen.ready} waiting, some for another portal: {', '.join(sorted(strangers))}",
        "they stay until an importer of that portal runs here; if the portal was renamed, run "
        "`crm-importer lanes return` with the old address in the settings",
    )


def _give_read(name: str) -> str:
    return f"give the user the read right on {name}"
