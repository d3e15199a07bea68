"""Asks the broker and turns its answers into rows."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from yarl import URL

from service.commands.check import access, queues
from service.commands.check.access import Account
from service.commands.check.described import DescribedQueue
from service.commands.check.inner import inner_needs, inner_rights, inner_rows, tried_inner
from service.commands.check.rows import Row, RowStatus, fail, ok, unknown, warn
from service.factories import CannotStart, address, topology
from service.rabbit.connection import Address
from service.rabbit.inspection import BrokerInspection, Presence, Seen, visit
from service.rabbit.management import Described, Management, ManagementFailed
from service.rabbit.reasons import node
from service.rabbit.session import NotLetIn
from service.rabbit.topology import Queue, Topology
from service.settings.tree import Rabbit
from service.telemetry.metrics import Metrics

_UNTOLD = (
    "AMQP does not show types, arguments and policies of queues: dead-lettering, delivery limit, "
    "single active consumer, ack timeout"
)
_ASK = "to check them, set IMPORTER_RABBIT__MANAGEMENT_URL"
_ALARMS = {"mem_alarm": "memory", "disk_free_alarm": "disk"}


@dataclass(frozen=True, slots=True)
class Node:
    """What became of the attempt to get into one node of the broker."""

    subject: str
    row: Row
    found: BrokerInspection | None = None


async def broker_rows(
    rabbit: Rabbit, metrics: Metrics, *, portal: str, types: Iterable[int]
) -> list[Row]:
    """Ask every address over AMQP, and the management API where there is one.

    `types`: entity types of which a lane may have a queue.
    """
    try:
        there = address(rabbit, metrics)
    except CannotStart as reason:
        remedy = "look at IMPORTER_RABBIT__CA_FILE, __CERT_FILE and __KEY_FILE"
        return [fail("broker.connection", "broker", str(reason), remedy)]
    names = topology(rabbit)
    nodes = await asyncio.gather(*(_node(there, url, names, types) for url in there.urls))
    found = next((each.found for each in nodes if each.found is not None), None)
    rows = _connections(nodes)
    if found is None:
        return rows
    hold = rabbit.hold_seconds
    account = _account(there.urls[0])
    described, told = await _management(rabbit, there, names)
    return [
        *rows,
        *told,
        _alarms(found, described),
        *_rights(names, found, described, account),
        *_exchanges(names, found, described),
        *(row for queue in names.queues for row in _queue(names, queue, found, described, hold)),
        *inner_rows(names, portal, found),
    ]


async def _node(there: Address, url: str, names: Topology, types: Iterable[int]) -> Node:
    subject = node(URL(url))
    try:
        found = await visit(replace(there, urls=[url]), names, types)
    except NotLetIn as reason:
        return Node(subject, fail("broker.connection", subject, str(reason), reason.remedy))
    shown = f"connected, RabbitMQ {found.version}" if found.version else "connected"
    return Node(subject, ok("broker.connection", subject, shown), found)


def _connections(nodes: list[Node]) -> list[Row]:
    """Return a row a node; a dead node of a cluster is a warning while another one lives."""
    rows = [each.row for each in nodes]
    if all(each.found is None for each in nodes):
        return rows
    return [
        row if row.status is RowStatus.OK else replace(row, status=RowStatus.WARN) for row in rows
    ]


async def _management(
    rabbit: Rabbit, there: Address, names: Topology
) -> tuple[Described | None, list[Row]]:
    """Ask the management API, in a thread; None where it tells nothing."""
    check, subject = "broker.management", "management API"
    if rabbit.management_url is None:
        return None, [unknown(check, subject, _UNTOLD, _ASK)]
    url = rabbit.management_url.get_secret_value()
    account = _account(there.urls[0])

    def ask() -> Described:
        with Management(url, there.tls) as management:
            return management.describe(names, vhost=account.vhost, user=account.user)

    try:
        described = await asyncio.to_thread(ask)
    except ManagementFailed as reason:
        return None, [fail(check, subject, str(reason), f"{reason.remedy}; or remove the setting")]
    return described, [ok(check, subject, f"answers, RabbitMQ {described.version}")]


def _alarms(found: BrokerInspection, described: Described | None) -> Row:
    check, subject = "broker.alarms", "broker"
    raised = []
    if described is not None and described.nodes is not None:
        raised = [
            f"{name} alarm on {node.get('name')}"
            for node in described.nodes
            for alarm, name in _ALARMS.items()
            if node.get(alarm)
        ]
    if found.blocked and not raised:
        raised = ["the broker takes no messages: a memory or disk alarm"]
    if raised:
        return fail(
            check,
            subject,
            ", ".join(raised),
            "free memory or disk on the broker; until then results wait and so does the intake",
            "rabbitmq-diagnostics alarms",
        )
    if described is None and not found.writable:
        return unknown(check, subject, "can be checked only when the exchanges exist")
    return ok(check, subject, "none: the broker takes messages")


def _rights(
    names: Topology, found: BrokerInspection, described: Described | None, account: Account
) -> list[Row]:
    """Judge what the user may do; one command gives all missing rights."""
    if described is None or described.rights is None:
        return [access.tried_row(account, names, found), *tried_inner(names, account, found)]
    rights, wanted, inner = described.rights, access.needs(names, found), inner_needs(names)
    missing = access.lacking([*wanted, *inner], rights)
    command = access.extending(account, missing, rights)
    return [
        access.rights_row(account, wanted, rights, command),
        *inner_rights(names, account, rights, command),
    ]


def _exchanges(names: Topology, found: BrokerInspection, described: Described | None) -> list[Row]:
    """Return whether every exchange is there, and of its kind, or would be created."""
    return [
        _exchange_kind(each.name, each.kind, described)
        or _thing(names, "exchange", each.name, found.exchanges[each.name])
        for each in names.exchanges
    ]


def _queue(
    names: Topology,
    queue: Queue,
    found: BrokerInspection,
    described: Described | None,
    hold: float,
) -> list[Row]:
    """Return whether a queue is there, bound, read, and works as it should."""
    seen = found.queues[queue.name]
    rows = [_thing(names, "queue", queue.name, seen)]
    told = None if described is None else described.queues[queue.name]
    if described is None or told is None:
        if queue.name == names.intake_queue:
            rows += queues.untold_ack_timeout(queue.name, hold)
    else:
        if not set(queue.keys) <= set(described.keys[queue.name]):
            rows = [_unbound(names, queue.name, queue.exchange, queue.keys[0])]
        works = DescribedQueue(
            queue.name, told, described.version, seen.consumers, described.vhost
        )
        rows += queues.judged(works, names, hold)
    if queue.exchange == names.results_exchange and seen.ready and not seen.consumers:
        rows.append(_unread(queue.name, seen.ready))
    return rows


def _thing(names: Topology, kind: str, name: str, seen: Seen) -> Row:
    check, subject = f"topology.{kind}", f"{kind} {name}"
    match seen.presence:
        case Presence.THERE:
            numbers = f", {seen.ready} ready, {seen.consumers} consuming"
            return ok(check, subject, "there" + (numbers if kind == "queue" else ""))
        case Presence.HIDDEN:
            return fail(
                check,
                subject,
                "not shown: this broker shows it only to users with a right on it",
                f"give the user the read right on {name}, so that `run` can see that it is there",
            )
        case Presence.MISSING:
            return _missing(names, check, subject)


def _missing(names: Topology, check: str, subject: str) -> Row:
    if names.declare:
        return ok(check, subject, "missing; `run` would create it, if the user may")
    return fail(
        check,
        subject,
        "missing, and IMPORTER_RABBIT__TOPOLOGY=check must not create it",
        "import the definitions, or set IMPORTER_RABBIT__TOPOLOGY=declare",
    )


def _exchange_kind(name: str, kind: str, described: Described | None) -> Row | None:
    """Return a row for an exchange of another kind, which routes otherwise than we think."""
    told = None if described is None else described.exchanges[name]
    if told is None or told.get("type") == kind:
        return None
    return fail(
        "topology.exchange",
        f"exchange {name}",
        f"is of type {told.get('type')}, not {kind}",
        "delete it, then the importer declares it again; or use another name in the settings",
    )


def _unbound(names: Topology, queue: str, exchange: str, key: str) -> Row:
    check, subject = "topology.queue", f"queue {queue}"
    found = f"there, not bound to {exchange} by {key!r}"
    if names.declare:
        return ok(check, subject, f"{found}; `run` will bind it")
    return fail(check, subject, found, "bind it, or set IMPORTER_RABBIT__TOPOLOGY=declare")


def _unread(queue: str, ready: int) -> Row:
    return warn(
        "queue.readers",
        f"queue {queue}",
        f"{ready} results, and nobody reads them",
        "start the program that reads them; if there is none, let the queue drop the oldest: "
        "a policy with max-length and overflow drop-head (deploy/policies)",
    )


def _account(url: str) -> Account:
    parts = urlsplit(url)
    return Account(unquote(parts.username or "guest"), unquote(parts.path[1:]) or "/")
