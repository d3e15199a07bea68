"""Gives an example of each message; the results are what the importer writes for the item."""

from typing import Any

Example = dict[str, Any]

ITEM: Example = {
    "entityTypeId": 2,
    "id": "order-1017",
    "fields": {"title": "Order 1017", "opportunity": 129.9, "currencyId": "EUR"},
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
SUCCEEDED: Example = {
    "specversion": "1.0",
    "id": "0a2ac2de11cc1dae3315107b42cb4d241eca435b037091c6b7de86349eb11348",
    "source": "/crm-importer/portal.example",
    "type": "crm.item.import.succeeded.v1",
    "subject": "2/order-1017",
    "time": "2026-03-04T05:06:07.089Z",
    "datacontenttype": "application/json",
    "data": {
        "eventId": "order-1017",
        "entityTypeId": 2,
        "itemId": 4711,
        "importedAt": "2026-03-04T05:06:07.089Z",
        "attempts": 1,
        "batchId": "5d0c8f1e0b6f4c7a9be2a7d0f3c1e954",
        "reconciled": False,
        "duplicate": False,
    },
}
FAILED: Example = {
    "specversion": "1.0",
    "id": "e9d45bbeeee913bacb2c008f3d9f402a8062a8180501ef1e09a0efb9a9b18267",
    "source": "/crm-importer/portal.example",
    "type": "crm.item.import.failed.v1",
    "subject": "2/order-1017",
    "time": "2026-03-04T05:06:07.089Z",
    "datacontenttype": "application/json",
    "data": {
        "eventId": "order-1017",
        "entityTypeId": 2,
        "failedAt": "2026-03-04T05:06:07.089Z",
        "attempts": 1,
        "batchId": "5d0c8f1e0b6f4c7a9be2a7d0f3c1e954",
        "error": {
            "kind": "rejected",
            "code": "CRM_FIELD_ERROR_REQUIRED",
            "message": 'Field "Source" is required',
            "httpStatus": 200,
        },
    },
}
DEAD_LETTER_HEADERS: Example = {
    "import_error_kind": "rejected",
    "import_error_code": "CRM_FIELD_ERROR_REQUIRED",
    "import_error_message": 'Field "Source" is required',
    "import_http_status": 200,
    "import_attempts": 1,
    "import_failed_at": "2026-03-04T05:06:07.089Z",
    "import_event_id": "order-1017",
    "import_batch_id": "5d0c8f1e0b6f4c7a9be2a7d0f3c1e954",
    "import_original_exchange": "crm.items",
    "import_original_routing_key": "item.2",
    "import_redrive_count": 0,
}
