"""Recognises what common frameworks send instead of an item event, and says what to do there."""

from typing import Any

_NAMED: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"messageType", "message"}),
        "a MassTransit envelope: publish with UseRawJsonSerializer()",
    ),
    (
        frozenset({"pattern", "data"}),
        "a NestJS message: publish with amqplib, without the framework's envelope",
    ),
    (
        frozenset({"schema", "payload"}),
        "a record of Debezium or Kafka Connect: send its payload alone, as an item event",
    ),
    (frozenset({"jsonrpc", "method"}), "a JSON-RPC call: send the item event alone"),
    (frozenset({"job", "data"}), "a Laravel job: publish with php-amqplib, not through the queue"),
    (
        frozenset({"EntityTypeId", "Fields"}),
        "an item event in capitals: write entityTypeId, fields (.NET: JsonNamingPolicy.CamelCase)",
    ),
)


def looks_like(document: object) -> str:
    """Return `it looks like …: what to do`; empty where nothing is known."""
    known = _of_object if isinstance(document, dict) else _of_other
    found = known(document)
    return f"it looks like {found}" if found else ""


def _of_object(document: Any) -> str:  # noqa: ANN401 - any JSON
    if "entityTypeId" in document:
        return ""
    return next((meant for names, meant in _NAMED if names <= document.keys()), "")


def _of_other(document: object) -> str:
    match document:
        case [list(), dict(), {"callbacks": _, "errbacks": _}]:
            return "a Celery task: publish with kombu's Producer, not with send_task or delay"
        case [{"specversion": _}, *_]:
            return "the CloudEvents batch format: send one event a message"
        case [{"entityTypeId": _}, *_]:
            return "a list of item events: send one event a message"
        case str() if document.lstrip().startswith("{"):
            return "JSON inside a JSON string: it was encoded twice, encode it once"
        case _:
            return ""
