"""Gives an example of each message; the results are what the importer writes for the item."""

from typing import Any

import msgspec

from service.domain.outcomes import FailureKind
from service.rabbit.result_events import (
    DeadLetterHeaders,
    FailedData,
    FailedEvent,
    Failure,
    SucceededData,
    SucceededEvent,
)

Example = dict[str, Any]

ITEM: Example = {
    "entityTypeId": 2,
    "id": "order-1017",
    "fields": {"title": "Order 1017", "opportunity": 129.9, "currencyId": "EUR"},
}
LINKED_ITEM: Example = {
    "entityTypeId": 2,
    "id": "order-1020",
    "fields": {"title": "Order 1020"},
    "links": {
        "contactId": {"entityTypeId": 3, "id": "customer-77"},
        "companyId": {"entityTypeId": 4, "id": "00-0001", "originatorId": "1c"},
    },
}
CLOUD_ITEM: Example = {
    "specversion": "1.0",
    "id": "1018",
    "source": "/shop/orders",
    "type": "order.placed",
    "data": {"entityTypeId": 1, "fields": {"title": "Order 1018", "sourceId": "WEB"}},
}
BINARY_HEADERS: Example = {
    "cloudEvents_specversion": "1.0",
    "cloudEvents_id": "1019",
    "cloudEvents_source": "/shop/orders",
    "cloudEvents_type": "order.placed",
}
BINARY_ITEM: Example = {
    "entityTypeId": 1032,
    "useOriginalUfNames": "Y",
    "fields": {"title": "Order 1019", "UF_CRM_44_1721": "blue"},
}
_AT = "2026-03-04T05:06:07.089Z"
_BATCH = "5d0c8f1e0b6f4c7a9be2a7d0f3c1e954"
_REASON = 'Field "Source" is required'
_ENVELOPE: Any = {
    "specversion": "1.0",
    "source": "/crm-importer/portal.example",
    "subject": "2/order-1017",
    "time": _AT,
    "datacontenttype": "application/json",
}
SUCCEEDED: Example = msgspec.to_builtins(
    SucceededEvent(
        id="0a2ac2de11cc1dae3315107b42cb4d241eca435b037091c6b7de86349eb11348",
        type="crm.item.import.succeeded.v1",
        data=SucceededData(
            event_id="order-1017",
            entity_type_id=2,
            item_id=4711,
            imported_at=_AT,
            attempts=1,
            batch_id=_BATCH,
            reconciled=False,
            duplicate=False,
        ),
        **_ENVELOPE,
    )
)
LINKED_SUCCEEDED: Example = msgspec.to_builtins(
    SucceededEvent(
        id="7031831a3c6a0c91c16ada3081dcb88a010ccc1048b31d9d83209ae7f5375ffa",
        type="crm.item.import.succeeded.v1",
        data=SucceededData(
            event_id="order-1020",
            entity_type_id=2,
            item_id=4712,
            imported_at=_AT,
            attempts=1,
            batch_id=_BATCH,
            reconciled=False,
            duplicate=False,
            links={"contactId": 815, "companyId": 9},
        ),
        **_ENVELOPE | {"subject": "2/order-1020"},
    )
)
FAILED: Example = msgspec.to_builtins(
    FailedEvent(
        id="e9d45bbeeee913bacb2c008f3d9f402a8062a8180501ef1e09a0efb9a9b18267",
        type="crm.item.import.failed.v1",
        data=FailedData(
            event_id="order-1017",
            entity_type_id=2,
            failed_at=_AT,
            attempts=1,
            batch_id=_BATCH,
            error=Failure(
                kind=FailureKind.REJECTED,
                code="CRM_FIELD_ERROR_REQUIRED",
                message=_REASON,
                http_status=200,
            ),
        ),
        **_ENVELOPE,
    )
)
DEAD_LETTER_HEADERS: Example = msgspec.to_builtins(
    DeadLetterHeaders(
        import_error_kind=FailureKind.REJECTED,
        import_error_code="CRM_FIELD_ERROR_REQUIRED",
        import_error_message=_REASON,
        import_http_status=200,
        import_attempts=1,
        import_failed_at=_AT,
        import_event_id="order-1017",
        import_batch_id=_BATCH,
        import_original_exchange="crm.items",
        import_original_routing_key="item.2",
        import_redrive_count=0,
    )
)
