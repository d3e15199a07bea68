"""The shapes of result events and of a dead letter's headers.

The encoder fills them in, and the AsyncAPI document describes them: what is written and what is
promised cannot differ. The order of the members is the order on the wire. `UNSET` members are
left out; None is written as null.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.domain.links import MAX_ENTITY_TYPE
from service.domain.outcomes import FailureKind
from service.rabbit.copies import SHORT_STRING

TEXT_LIMIT = 1000
"""Characters of an error's message."""
WARNINGS_LIMIT = 1000
"""Characters of all warnings in a dead letter, one line each; the result has them in full."""

Time = Annotated[
    str,
    Meta(
        description="RFC 3339, UTC, milliseconds",
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
        extra_json_schema={"format": "date-time"},
    ),
]
EntityType = Annotated[int, Meta(ge=1, le=MAX_ENTITY_TYPE)]
Count = Annotated[int, Meta(ge=0)]
Attempts = Annotated[int, Meta(ge=0, description="calls that carried the item")]
BatchId = Annotated[str | None, Meta(description="the last call; null: no call was made")]
Trace = Annotated[str, Meta(description="W3C trace context, as the item event had it")] | UnsetType
Warnings = (
    Annotated[
        list[str],
        Meta(
            description="what the importer ignored, and what the portal probably dropped or "
            "changed: the member or field, what happened to it, and the remedy. Absent if "
            "there is nothing to say."
        ),
    ]
    | UnsetType
)
Message = Annotated[str, Meta(max_length=TEXT_LIMIT)]


class SucceededData(Struct, kw_only=True, frozen=True, rename="camel"):
    """An item that is in the CRM."""

    event_id: str
    entity_type_id: EntityType
    item_id: Annotated[int, Meta(ge=1, description="id of the item in the CRM")]
    imported_at: Time
    attempts: Attempts
    batch_id: BatchId
    reconciled: Annotated[
        bool, Meta(description="the item was found by a look-up; the import call gave no answer")
    ]
    duplicate: Annotated[bool, Meta(description="this event had been imported before")]
    warnings: Warnings = UNSET
    links: (
        Annotated[
            dict[str, int | list[int]],
            Meta(
                description="the fields set from the event's links, with their item ids. "
                "Absent without links, and in some repeats."
            ),
        ]
        | UnsetType
    ) = UNSET


class Failure(Struct, kw_only=True, frozen=True, rename="camel"):
    """Why an item is not in the CRM."""

    kind: FailureKind
    code: Annotated[
        str,
        Meta(description="the portal's own code, or ours", pattern=r"^[A-Za-z0-9_.-]{1,64}$"),
    ]
    message: Message
    http_status: Annotated[int | None, Meta(description="null: no call was made")]


class FailedData(Struct, kw_only=True, frozen=True, rename="camel"):
    """An item that is not in the CRM, or may be (`ambiguous`)."""

    event_id: str
    entity_type_id: Annotated[EntityType | None, Meta(description="null where it is unreadable")]
    failed_at: Time
    attempts: Attempts
    batch_id: BatchId
    error: Failure
    warnings: Warnings = UNSET


class ResultEvent(Struct, kw_only=True, frozen=True):
    """CloudEvents 1.0, structured mode."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    source: Annotated[str, Meta(pattern="^/crm-importer/.+")]
    type: str
    subject: Annotated[
        str,
        Meta(description="`<entityTypeId>/<event id>`; `unknown/…` where it is unreadable"),
    ]
    time: Time
    datacontenttype: Literal["application/json"]
    traceparent: Trace = UNSET
    tracestate: Trace = UNSET
    data: Any


class SucceededEvent(ResultEvent, kw_only=True, frozen=True):
    """CloudEvents 1.0, structured mode. Events with one id say the same: keep the first.

    Ignore members that are not described here: some may be added.
    """

    type: Literal["crm.item.import.succeeded.v1"]
    data: SucceededData


class FailedEvent(ResultEvent, kw_only=True, frozen=True):
    """CloudEvents 1.0, structured mode. Events with one id say the same: keep the first.

    Ignore members that are not described here: some may be added.
    """

    type: Literal["crm.item.import.failed.v1"]
    data: FailedData


class DeadLetterHeaders(Struct, kw_only=True, frozen=True):
    """Why an event failed, beside the headers of the original.

    A letter without them was put there by the broker, after too many deliveries: `x-death` says
    so.
    """

    import_error_kind: FailureKind
    import_error_code: Annotated[str, Meta(max_length=SHORT_STRING)]
    import_error_message: Message
    import_http_status: int | UnsetType = UNSET
    import_attempts: Count
    import_failed_at: Time
    import_event_id: Annotated[str, Meta(max_length=TEXT_LIMIT)] | UnsetType = UNSET
    import_batch_id: str | UnsetType = UNSET
    import_warnings: (
        Annotated[
            str,
            Meta(
                max_length=WARNINGS_LIMIT,
                description="the warnings of the failed event, a line each",
            ),
        ]
        | UnsetType
    ) = UNSET
    import_original_exchange: str
    import_original_routing_key: str
    import_original_message_id: str | UnsetType = UNSET
    import_redrive_count: Count
    import_dropped_headers: (
        Annotated[
            str,
            Meta(
                max_length=TEXT_LIMIT,
                description="parts of the original that are missing or changed here, such as "
                "headers too large for a frame; `body` if it was too large for the broker",
            ),
        ]
        | UnsetType
    ) = UNSET
