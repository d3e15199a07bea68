"""Builds dead letters without a broker."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from service.domain.external_id import ExternalIds
from service.rabbit.decoding import Decoder
from service.rabbit.letters import Letter, read

DECODER = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=10_000)
FAILED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def body(entity_type: int = 2, **members: Any) -> bytes:
    """Return an item event."""
    plain = {"entityTypeId": entity_type, "id": "e", "fields": {"title": "x"}, **members}
    return json.dumps(plain).encode()


def ours(**more: Any) -> dict[str, Any]:
    """Return the headers that the importer adds; those of None are left out."""
    headers = {
        "import_error_kind": "rejected",
        "import_error_code": "CRM_FIELD_ERROR_REQUIRED",
        "import_failed_at": FAILED_AT.isoformat(),
        "import_event_id": "e",
        "import_original_exchange": "crm.items",
        "import_original_routing_key": "item.2",
        "import_original_message_id": "m-1",
        "import_redrive_count": 0,
        **{f"import_{name}": value for name, value in more.items()},
    }
    return {name: value for name, value in headers.items() if value is not None}


def letter(
    content: bytes | None = None, headers: Mapping[str, Any] | None = None, **properties: Any
) -> Letter:
    """Return a letter as it would be read from the queue."""
    properties.setdefault("message_id", "letter-1")
    header = ContentHeader(
        properties=Basic.Properties(
            headers=dict(ours() if headers is None else headers), **properties
        )
    )
    deliver = Basic.Deliver("c", 7, exchange="crm.items.dlx", routing_key="item.from-queue")
    message = DeliveredMessage(
        delivery=deliver,
        header=header,
        body=body() if content is None else content,
        channel=None,  # type: ignore[arg-type]
    )
    return read(message, DECODER)
