"""Names the series that the histories are made of."""


def mine(name: str, **labels: str) -> str:
    """Return a series of the importer's one process."""
    every = {"job": "importer", "instance": "a", **labels}
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in every.items()) + "}"


ERRORS = mine("importer_item_errors_total", kind="ambiguous", code="CALL_TIMED_OUT")
UPSTREAMS = mine("importer_item_errors_total", kind="rejected", code="100")
IMPORTED = mine("importer_items_total", entity_type="2", outcome="imported")
FAILED = mine("importer_items_total", entity_type="2", outcome="failed")
QUICK = mine("importer_event_age_seconds_bucket", outcome="imported", le="60.0")
ALL = mine("importer_event_age_seconds_count", outcome="imported")
SHARE = mine("importer_request_rate_share")
USED = mine("importer_operating_seconds", method="import")
LIMIT = mine("importer_operating_limit_seconds")
RESET = mine("importer_operating_reset_timestamp_seconds", method="import")
HELD = mine("importer_oldest_held_seconds")
CREDENTIALS = mine("importer_paused", reason="credentials")
UNAVAILABLE = mine("importer_paused", reason="unavailable")
SHUT = mine("importer_paused_seconds_total", reason="credentials", lane="all")
SHUT_OTHER = mine("importer_paused_seconds_total", reason="scope", lane="all")
AWAY = mine("importer_paused_seconds_total", reason="unavailable", lane="all")
BLOCKED = mine("importer_broker_blocked")
BUGS = mine("importer_unexpected_errors_total")
UP, UP_OTHER = mine("up"), mine("up", instance="b")
UP_NAMED = mine("up", job="importer-shop")
ALIVE, ALIVE_OTHER = mine("importer_consumer_alive"), mine("importer_consumer_alive", instance="b")
ACTIVE = mine("importer_consumer_active")
ACTIVE_OTHER = mine("importer_consumer_active", instance="b")
REJECTED_LETTERS = mine("importer_dead_letters_total", kind="rejected")
AMBIGUOUS_LETTERS = mine("importer_dead_letters_total", kind="ambiguous")
AMBIGUOUS = mine("importer_ambiguous_batches_total")
SET_BACK = mine("importer_portal_set_back_total")
FOUND = mine("importer_reconciled_items_total", found="yes")
RETURNED = mine("importer_published_total", target="succeeded", result="returned")
LOST = mine("importer_published_total", target="succeeded", result="lost")
STARTED = mine("process_start_time_seconds")
MEMORY, MEMORY_LIMIT = mine("process_resident_memory_bytes"), mine("importer_memory_limit_bytes")
