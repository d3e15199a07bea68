"""Judges the limits of a queue: what it throws away, what it refuses, whether it is full."""

from collections.abc import Mapping
from types import MappingProxyType

from service.commands.check.described import DescribedQueue
from service.commands.check.rows import Row, fail, ok, warn
from service.rabbit.topology import Topology

_UNITS: Mapping[str, str] = MappingProxyType(
    {"message-ttl": " ms", "max-length": "", "max-length-bytes": " bytes", "expires": " ms"}
)
"""The limits by which a queue throws messages, or itself, away."""
_HELD: Mapping[str, str] = MappingProxyType(
    {"max-length": "messages_ready", "max-length-bytes": "message_bytes_ready"}
)
"""What a limit counts; the management API tells the other numbers without `_ready`, too."""


def limit_rows(queue: DescribedQueue, topology: Topology) -> list[Row]:
    """Judge the limits that are in force on a queue."""
    found = {name: queue.value(name) for name in _UNITS if queue.value(name) is not None}
    if not found:
        return []
    refuses = str(queue.value("overflow") or "").startswith("reject-publish")
    full = _reached(queue, found) if refuses else {}
    if full:
        told = ", ".join(f"{name} {found[name]} is reached ({now})" for name, now in full.items())
        return [
            fail(
                "queue.full",
                queue.subject,
                f"{told}: the queue refuses messages, and the sender waits",
                _wish(queue, topology),
            ),
            *_losses(queue, topology, found, refuses=True),
        ]
    return _losses(queue, topology, found, refuses=refuses) or _refusing(queue, topology, found)


def _losses(
    queue: DescribedQueue, topology: Topology, found: Mapping[str, object], *, refuses: bool
) -> list[Row]:
    """Warn of limits by which a queue throws messages away by itself."""
    throws = {
        name: value for name, value in found.items() if not (refuses and name.startswith("max-"))
    }
    if not throws:
        return []
    limits = ", ".join(f"{name} {value}{_UNITS[name]}" for name, value in throws.items())
    return [
        warn(
            "queue.limits",
            queue.subject,
            f"{limits}: above this, {_what_goes(queue, topology)}",
            "if you did not intend this, remove the limit from the queue's policy",
        )
    ]


def _refusing(queue: DescribedQueue, topology: Topology, found: Mapping[str, object]) -> list[Row]:
    """Tell of a queue that will refuse: fine for the intake, a standstill everywhere else."""
    limits = ", ".join(f"{name} {value}" for name, value in found.items())
    if queue.name == topology.intake_queue:
        return [
            ok(
                "queue.limits",
                queue.subject,
                f"{limits}: above this, the queue refuses messages from upstream",
            )
        ]
    return [
        warn(
            "queue.limits",
            queue.subject,
            f"{limits}, then the queue refuses messages: the importer would stand still",
            "see that a program reads it, and watch its length; or let it drop the oldest "
            "(overflow drop-head)",
        )
    ]


def _reached(queue: DescribedQueue, found: Mapping[str, object]) -> dict[str, int]:
    """Return the limits that are reached, with what the queue holds now."""
    reached = {}
    for name, told in _HELD.items():
        limit, now = found.get(name), queue.told.get(told)
        now = queue.told.get(told.removesuffix("_ready")) if now is None else now
        if isinstance(limit, int) and isinstance(now, int) and 0 <= limit <= now:
            reached[name] = now
    return reached


def _what_goes(queue: DescribedQueue, topology: Topology) -> str:
    if queue.name == topology.intake_queue:
        return "events are moved to the dead letters, or lost, without being imported"
    if queue.name == topology.dead_letter_queue:
        return "dead letters are lost"
    return "unread results are lost"


def _wish(queue: DescribedQueue, topology: Topology) -> str:
    if queue.name == topology.intake_queue:
        return "let the importer empty it, or raise the limit"
    if queue.name == topology.dead_letter_queue:
        return "redrive or purge dead letters (crm-importer dlq list), or raise the limit"
    return "start the program that reads it, or raise the limit (do not purge: it holds results)"
