"""Names the series that the histories are made of."""


def mine(name: str, **labels: str) -> str:
    """Return a series of the importer's one process."""
    every = {"job": "importer", "instance": "a", **labels}
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in every.items()) + "}"


def queue(name: str, what: str = "messages_ready") -> str:
    """Return a series of RabbitMQ's exporter about one queue."""
    return f'rabbitmq_detailed_queue_{what}{{job="rabbitmq",vhost="/",queue="{name}"}}'


READY = queue("crm.items.import")
ERRORS = mine("importer_item_errors_total", kind="ambiguous", code="CALL_TIMED_OUT")
UPSTREAMS = mine("importer_item_errors_total", kind="rejected", code="100")
IMPORTED = mine("importer_items_total", entity_type="2", outcome="imported")
FAILED = mine("importer_items_total", entity_type="2", outcome="failed")
QUICK = mine("importer_event_age_seconds_bucket", outcome="imported", le="60.0")
ALL = mine("importer_event_age_seconds_count", outcome="imported")
SHARE = mine("importer_request_rate_share")
USED = mine("importer_operating_seconds", method="import")
LIMIT = mine("importer_operating_limit_seconds", method="import")
RESET = mine("importer_operating_reset_timestamp_seconds", method="import")
CLOCK = mine("importer_loop_heartbeat_timestamp_seconds")
HELD = mine("importer_oldest_held_seconds")
HOLD_LIMIT = mine("importer_hold_limit_seconds")
MAX_ITEMS = mine("importer_batch_max_items")
CREDENTIALS = mine("importer_paused", reason="credentials")
UNAVAILABLE = mine("importer_paused", reason="unavailable")
SHUT = mine("importer_paused_seconds_total", reason="credentials", lane="all")
SHUT_OTHER = mine("importer_paused_seconds_total", reason="scope", lane="all")
AWAY = mine("importer_paused_seconds_total", reason="unavailable", lane="all")
BLOCKED = mine("importer_broker_blocked")
RECONNECTED = mine("importer_consumer_restarts_total", reason="lost")
LOGGED = mine("importer_log_lines_total", level="error")
EXPIRY = mine("importer_certificate_expiry_timestamp_seconds", which="client")
QUEUES = mine(
    "importer_config_info",
    vhost="/",
    intake_queue="crm.items.import",
    succeeded_queue="crm.items.succeeded",
    failed_queue="crm.items.failed",
    dead_letter_queue="crm.items.dlq",
)
BUGS = mine("importer_unexpected_errors_total")
UP, UP_OTHER = mine("up"), mine("up", instance="b")
UP_NAMED = mine("up", job="importer-shop")
UP_NAMED_OTHER = mine("up", job="importer-shop", instance="b")
ON_PORTAL = mine("importer_config_info", portal="shop.example", slots="2")
SHOP_ON_PORTAL = mine("importer_config_info", job="importer-shop", portal="shop.example")
AT_QUEUE, OTHER_AT_QUEUE, OTHER_AT_OWN_QUEUE = (
    mine(
        "importer_config_info",
        job=job,
        portal=portal,
        vhost=vhost,
        intake_queue="crm.items.import",
    )
    for job, portal, vhost in (
        ("importer", "one.example", "/"),
        ("importer-shop", "two.example", "/"),
        ("importer-shop", "two.example", "shop"),
    )
)
SHOP_ON_OTHER = mine("importer_config_info", job="importer-shop", portal="two.example")
ACTIVE_SHOP = mine("importer_consumer_active", job="importer-shop")
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
