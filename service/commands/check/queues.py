"""Decides whether a queue, as the broker describes it, can keep the promises."""

from dataclasses import replace

from service.commands.check.described import WISH, DescribedQueue
from service.commands.check.limits import limit_rows
from service.commands.check.rows import Row, fail, ok, unknown, warn
from service.rabbit.topology import Topology

ACK_SECONDS = 1800.0
"""RabbitMQ's default time limit for an acknowledgement."""
MIN_DELIVERIES = 100
_LIMIT_OF_4 = 20
_AT_LEAST_ONCE = {"dead_letter_strategy": "at-least-once", "overflow": "reject-publish"}


def judged(queue: DescribedQueue, topology: Topology, hold: float) -> list[Row]:
    """Judge a queue by what it is for; `hold`: longest time a message is kept unacknowledged."""
    if queue.name == topology.intake_queue:
        rows = _intake_rows(queue, topology, hold)
    elif queue.name == topology.dead_letter_queue:
        rows = _letters_rows(queue)
    else:
        rows = [_kind(queue)]
    rows = [*rows, *limit_rows(queue, topology), *_policies(queue)]
    return [replace(row, command=queue.policy()) if row.command == WISH else row for row in rows]


def _intake_rows(queue: DescribedQueue, topology: Topology, hold: float) -> list[Row]:
    return [
        _kind(queue),
        _dead_lettering(queue, topology),
        _delivery_limit(queue, topology),
        _single_active(queue),
        _ack_timeout(queue, hold),
    ]


def _letters_rows(queue: DescribedQueue) -> list[Row]:
    return [
        _kind(queue),
        *_letters_limit(queue),
    ]


def _policies(queue: DescribedQueue) -> list[Row]:
    if "effective_policy_definition" in queue.told:
        return []
    return [
        unknown(
            "queue.policies",
            queue.subject,
            "not known: only the queue's arguments were checked",
            "try again in a minute; a broker that collects no queue statistics never tells them",
        )
    ]


def _kind(queue: DescribedQueue) -> Row:
    check = "queue.type"
    if queue.is_quorum:
        return ok(check, queue.subject, "quorum")
    return fail(
        check,
        queue.subject,
        f"{queue.kind}: not replicated, and without a delivery limit that can be trusted",
        "stop upstream and the importer, empty and delete the queue, let the importer declare "
        "it again as a quorum queue",
    )


def _dead_lettering(queue: DescribedQueue, topology: Topology) -> Row:
    check, subject = "queue.dead_letters", queue.subject
    exchange = queue.value("dead-letter-exchange")
    strategy = queue.value("dead-letter-strategy")
    overflow = queue.value("overflow")
    if exchange is None:
        return fail(
            check,
            subject,
            "no dead-letter exchange: an event over the delivery limit is lost",
            "set a policy on the queue",
            queue.wish(dead_letter_exchange=topology.dead_letter_exchange, **_AT_LEAST_ONCE),
        )
    if exchange != topology.dead_letter_exchange:
        return warn(
            check,
            subject,
            f"goes to {exchange}, not to {topology.dead_letter_exchange}: `crm-importer dlq` does "
            "not see what the broker itself dead-letters",
            "correct the queue's policy or arguments, or IMPORTER_RABBIT__DEAD_LETTER_EXCHANGE",
        )
    if strategy != "at-least-once" or overflow != "reject-publish":
        return warn(
            check,
            subject,
            f"strategy {strategy or 'at-most-once'}, overflow {overflow or 'drop-head'}: what the "
            "broker itself dead-letters can be lost on the way",
            "set both by a policy",
            queue.wish(**_AT_LEAST_ONCE),
        )
    return ok(check, subject, f"to {exchange}, at-least-once, overflow reject-publish")


def _delivery_limit(queue: DescribedQueue, topology: Topology) -> Row:
    check, subject = "queue.delivery_limit", queue.subject
    limit = queue.number("delivery-limit")
    wish = "set a policy on the queue", queue.wish(delivery_limit=topology.delivery_limit)
    if limit is None and queue.modern:
        limit = _LIMIT_OF_4
    if limit is None:
        return warn(
            check, subject, "none: an event that crashes the importer comes back for ever", *wish
        )
    if limit < 0 and queue.modern:
        return warn(
            check, subject, "off: an event that crashes the importer comes back for ever", *wish
        )
    if limit < MIN_DELIVERIES:
        return fail(
            check,
            subject,
            f"{limit}: after some restarts or pauses, the broker dead-letters good events",
            *wish,
        )
    return ok(check, subject, f"{limit} deliveries")


def _letters_limit(queue: DescribedQueue) -> list[Row]:
    """Judge how often a dead letter may be looked at; the queue has no net below it."""
    check, subject = "queue.delivery_limit", queue.subject
    limit = queue.number("delivery-limit")
    if limit is None and queue.modern:
        limit = _LIMIT_OF_4
    if limit is None or (limit < 0 and queue.modern):
        return [ok(check, subject, "none: letters can be looked at as often as you like")]
    if queue.value("dead-letter-exchange") is not None:
        return [ok(check, subject, f"{limit} deliveries, then to its own dead-letter exchange")]
    return [
        warn(
            check,
            subject,
            f"{limit}, and no dead-letter exchange: a letter that is delivered and returned more "
            "often is dropped",
            "set a policy on the queue" if queue.modern else "take the limit off the queue",
            queue.wish(delivery_limit=-1) if queue.modern else "",
        )
    ]


def _single_active(queue: DescribedQueue) -> Row:
    check, subject = "queue.single_active_consumer", queue.subject
    consumers = queue.consumers
    if queue.arguments.get("x-single-active-consumer"):
        return ok(check, subject, f"on; {_counted(consumers, 'consumer')} now")
    remedy = (
        "run one process only; for a stand-by, delete the empty queue and let the importer "
        "declare it again with x-single-active-consumer"
    )
    if consumers > 1:
        return fail(
            check, subject, f"off, and {consumers} consumers: items can be imported twice", remedy
        )
    return warn(
        check, subject, "off: a second process would import at the same time as the first", remedy
    )


def _ack_timeout(queue: DescribedQueue, hold: float) -> Row:
    check, subject = "queue.ack_timeout", queue.subject
    value = queue.number("consumer-timeout")
    seconds = ACK_SECONDS if value is None else value / 1000
    own = "the broker's default" if value is None else "by policy or argument:"
    found = f"{own} {seconds:g} s, a message is held up to {hold:g} s"
    if hold < seconds:
        caveat = (
            "; the broker's configuration may set another consumer_timeout" if not value else ""
        )
        return ok(check, subject, found + caveat)
    return fail(
        check,
        subject,
        f"{found}: the broker would close the importer's channel",
        f"set IMPORTER_RABBIT__HOLD_SECONDS below {seconds:g}, or raise the broker's "
        "consumer_timeout",
    )


def untold_ack_timeout(name: str, hold: float) -> list[Row]:
    """Warn if the hold exceeds the broker's default time-out, and no other one is known."""
    if hold < ACK_SECONDS:
        return []
    return [
        warn(
            "queue.ack_timeout",
            f"queue {name}",
            f"not known; the broker's default is {ACK_SECONDS:g} s, a message is held up to "
            f"{hold:g} s: the broker would close the importer's channel",
            f"set IMPORTER_RABBIT__HOLD_SECONDS below {ACK_SECONDS:g}, or make sure that the "
            f"broker's consumer_timeout is above it",
        )
    ]


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
