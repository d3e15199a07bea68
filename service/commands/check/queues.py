"""Decides whether a queue, as the broker describes it, can keep the promises."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.commands.check.rows import Row, fail, ok, unknown, warn
from service.rabbit.topology import Topology

ACK_SECONDS = 1800.0
"""RabbitMQ's default time limit for an acknowledgement."""
MIN_DELIVERIES = 100
_LIMIT_OF_4 = 20
_UNITS = {"message-ttl": " ms", "max-length": "", "max-length-bytes": "", "expires": " ms"}
"""Limits that make a queue drop messages, or expire, with their units."""


@dataclass(frozen=True, slots=True)
class Described:
    """A queue as it works: its arguments and the policies upon it, of a broker of a version.

    `consumers` are those of the moment, which the management API tells late.
    """

    name: str
    told: Mapping[str, Any]
    version: str
    consumers: int = 0

    @property
    def kind(self) -> str:
        """The queue's type."""
        return str(self.told.get("type", "classic"))

    @property
    def is_quorum(self) -> bool:
        """Whether it is of the type that keeps promises."""
        return self.kind == "quorum"

    @property
    def modern(self) -> bool:
        """Whether the broker is RabbitMQ 4 or later, which has a delivery limit of its own."""
        major = re.match(r"\d+", self.version)
        return major is not None and int(major[0]) >= 4  # noqa: PLR2004 - a version

    def value(self, name: str) -> Any:  # noqa: ANN401 - whatever a policy may hold
        """Return what is in force: the lower of two numbers, else the argument, else a policy."""
        argument = (self.told.get("arguments") or {}).get(f"x-{name}")
        policy = (self.told.get("effective_policy_definition") or {}).get(name)
        if isinstance(argument, int) and isinstance(policy, int):
            return max(argument, policy) if min(argument, policy) < 0 else min(argument, policy)
        return policy if argument is None else argument


def judged(queue: Described, topology: Topology, hold: float) -> list[Row]:
    """Judge a queue by what it is for; `hold`: longest time a message is kept unacknowledged."""
    if queue.name == topology.intake_queue:
        rows = _intake_rows(queue, topology, hold)
    elif queue.name == topology.dead_letter_queue:
        rows = _letters_rows(queue)
    else:
        rows = [_kind(queue), *_losses(queue, "results vanish that nobody has read")]
    return [*rows, *_full(queue), *_policies(queue)]


def _intake_rows(queue: Described, topology: Topology, hold: float) -> list[Row]:
    return [
        _kind(queue),
        _dead_lettering(queue, topology),
        _delivery_limit(queue, topology),
        _single_active(queue),
        _ack_timeout(queue, hold),
        *_losses(queue, "events are moved to the dead letters, or lost, without being imported"),
    ]


def _letters_rows(queue: Described) -> list[Row]:
    return [
        _kind(queue),
        *_letters_limit(queue),
        *_losses(queue, "dead letters vanish"),
    ]


def _policies(queue: Described) -> list[Row]:
    if "effective_policy_definition" in queue.told:
        return []
    return [
        unknown(
            "queue.policies",
            _subject(queue),
            "not told: only the queue's arguments were judged",
            "ask again in a minute, unless the broker collects no statistics of queues",
        )
    ]


def _subject(queue: Described) -> str:
    return f"queue {queue.name}"


def _kind(queue: Described) -> Row:
    check = "queue.type"
    if queue.is_quorum:
        return ok(check, _subject(queue), "quorum")
    return fail(
        check,
        _subject(queue),
        f"{queue.kind}: not replicated, and without a delivery limit that can be trusted",
        "stop upstream and the importer, empty and delete the queue, let it be declared anew as "
        "a quorum queue",
    )


def _dead_lettering(queue: Described, topology: Topology) -> Row:
    check, subject = "queue.dead_letters", _subject(queue)
    exchange = queue.value("dead-letter-exchange")
    strategy = queue.value("dead-letter-strategy")
    overflow = queue.value("overflow")
    if exchange is None:
        return fail(
            check,
            subject,
            "no dead-letter exchange: an event over the delivery limit is lost",
            f'set a policy on the queue: {{"dead-letter-exchange": '
            f'"{topology.dead_letter_exchange}", "dead-letter-strategy": "at-least-once", '
            f'"overflow": "reject-publish"}}',
        )
    if exchange != topology.dead_letter_exchange:
        return warn(
            check,
            subject,
            f"goes to {exchange}, not to {topology.dead_letter_exchange}: `crm-importer dlq` does "
            "not see what the broker itself dead-letters",
            "mend the queue's policy or arguments, or IMPORTER_RABBIT__DEAD_LETTER_EXCHANGE",
        )
    if strategy != "at-least-once" or overflow != "reject-publish":
        return warn(
            check,
            subject,
            f"strategy {strategy or 'at-most-once'}, overflow {overflow or 'drop-head'}: what the "
            "broker itself dead-letters can be lost on the way",
            'set both by a policy: {"dead-letter-strategy": "at-least-once", "overflow": '
            '"reject-publish"}',
        )
    return ok(check, subject, f"to {exchange}, at-least-once, overflow reject-publish")


def _delivery_limit(queue: Described, topology: Topology) -> Row:
    check, subject = "queue.delivery_limit", _subject(queue)
    limit = queue.value("delivery-limit")
    wish = f'set a policy on the queue: {{"delivery-limit": {topology.delivery_limit}}}'
    if limit is None and queue.modern:
        limit = _LIMIT_OF_4
    if limit is None:
        return warn(
            check, subject, "none: an event that crashes the importer comes back for ever", wish
        )
    if limit < 0 and queue.modern:
        return warn(
            check, subject, "off: an event that crashes the importer comes back for ever", wish
        )
    if limit < MIN_DELIVERIES:
        return fail(
            check,
            subject,
            f"{limit}: some restarts or pauses dead-letter events that nothing is wrong with",
            wish,
        )
    return ok(check, subject, f"{limit} deliveries")


def _letters_limit(queue: Described) -> list[Row]:
    """Judge how often a dead letter may be looked at; the queue has no net below it."""
    check, subject = "queue.delivery_limit", _subject(queue)
    limit = queue.value("delivery-limit")
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
            'set a policy on the queue: {"delivery-limit": -1}'
            if queue.modern
            else "take the delivery limit off the queue",
        )
    ]


def _single_active(queue: Described) -> Row:
    check, subject = "queue.single_active_consumer", _subject(queue)
    arguments = queue.told.get("arguments") or {}
    consumers = queue.consumers
    if arguments.get("x-single-active-consumer"):
        return ok(check, subject, f"on; {_counted(consumers, 'consumer')} now")
    remedy = (
        "run one process only; to get a stand-by, delete the empty queue and let it be declared "
        "anew with x-single-active-consumer"
    )
    if consumers > 1:
        return fail(
            check, subject, f"off, and {consumers} consumers: items can be imported twice", remedy
        )
    return warn(
        check, subject, "off: a second process would import beside the first, not after it", remedy
    )


def _ack_timeout(queue: Described, hold: float) -> Row:
    check, subject = "queue.ack_timeout", _subject(queue)
    value = queue.value("consumer-timeout")
    seconds = ACK_SECONDS if value is None else value / 1000
    own = "the broker's usual" if value is None else "a policy's or argument's"
    found = f"{own} {seconds:g} s, a message is held up to {hold:g} s"
    if hold < seconds:
        caveat = (
            "; consumer_timeout in the broker's configuration is not told" if not value else ""
        )
        return ok(check, subject, found + caveat)
    return fail(
        check,
        subject,
        f"{found}: the broker would cut the importer off",
        f"set IMPORTER_RABBIT__HOLD_SECONDS below {seconds:g}, or raise the broker's "
        "consumer_timeout",
    )


def untold_ack_timeout(name: str, hold: float) -> list[Row]:
    """Warn where the hold would outlast the broker's usual patience, and nobody told another."""
    if hold < ACK_SECONDS:
        return []
    return [
        warn(
            "queue.ack_timeout",
            f"queue {name}",
            f"not told; the broker's usual is {ACK_SECONDS:g} s, a message is held up to {hold:g} "
            "s: the broker would cut the importer off",
            f"set IMPORTER_RABBIT__HOLD_SECONDS below {ACK_SECONDS:g}, or be sure that the "
            "broker's consumer_timeout is above it",
        )
    ]


def _losses(queue: Described, what: str) -> list[Row]:
    """Warn of limits by which a queue throws messages away by itself."""
    found = {name: queue.value(name) for name in _UNITS if queue.value(name) is not None}
    rejects = queue.value("overflow") == "reject-publish"
    if rejects:
        found = {name: value for name, value in found.items() if not name.startswith("max-")}
    if not found:
        return []
    limits = ", ".join(f"{name} {value}{_UNITS[name]}" for name, value in found.items())
    return [
        warn(
            "queue.limits",
            _subject(queue),
            f"{limits}: beyond that, {what}",
            "fine if that is meant; otherwise take the limit out of the queue's policy",
        )
    ]


def _full(queue: Described) -> list[Row]:
    """Fail for a queue that refuses publishes: who publishes to it waits."""
    if not str(queue.value("overflow") or "").startswith("reject-publish"):
        return []
    held = {"max-length": "messages", "max-length-bytes": "message_bytes"}
    found = {name: (queue.value(name), queue.told.get(told)) for name, told in held.items()}
    return [
        fail(
            "queue.full",
            _subject(queue),
            f"{name} {limit} is reached ({now}): it refuses publishes, and their sender waits",
            "start the reader of this queue, raise the limit, or empty the queue",
        )
        for name, (limit, now) in found.items()
        if isinstance(limit, int) and isinstance(now, int) and 0 <= limit <= now
    ]


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
