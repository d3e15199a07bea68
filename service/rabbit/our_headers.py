"""Names the headers that the importer writes; any other is upstream's, whatever its name."""

OURS = frozenset(
    {
        "import_attempts",
        "import_batch_id",
        "import_dropped_headers",
        "import_error_code",
        "import_error_kind",
        "import_error_message",
        "import_event_id",
        "import_failed_at",
        "import_http_status",
        "import_original_cc",
        "import_original_exchange",
        "import_original_message_id",
        "import_original_routing_key",
        "import_parked_at",
        "import_parked_reason",
        "import_perhaps_sent",
        "import_portal",
        "import_received_at",
        "import_redrive_count",
        "import_renewed",
        "import_resend",
        "import_waited_seconds",
        "import_warnings",
    }
)


def is_ours(name: str) -> bool:
    """Tell whether the importer writes a header of this name."""
    return name in OURS
