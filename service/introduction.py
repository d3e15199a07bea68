"""Tells people what runs: once in the metrics, once in the log."""

from service import __version__
from service.factories import brokers, portal_host, virtual_host
from service.settings.changed import changed
from service.settings.tree import Settings
from service.telemetry.metrics import Metrics


def tell_config(settings: Settings, metrics: Metrics) -> None:
    """Show the effective settings that people ask about; configured types get a label."""
    metrics.hold_limit.set(settings.rabbit.hold_seconds)
    metrics.batch_max_items.set(settings.batch.max_items)
    metrics.config.info(
        {
            "portal": portal_host(settings),
            "vhost": virtual_host(settings.rabbit),
            "intake_queue": settings.rabbit.intake_queue,
            "succeeded_queue": settings.rabbit.succeeded_queue,
            "failed_queue": settings.rabbit.failed_queue,
            "dead_letter_queue": settings.rabbit.dead_letter_queue,
            "parked_queue": settings.rabbit.parked_name,
            "memory_queue": settings.rabbit.memory_name,
            "batch_max_items": str(settings.batch.max_items),
            "window_seconds": f"{settings.batch.window_seconds:g}",
            "prefetch": str(settings.prefetch),
            "slots": str(settings.batch.slots),
        }
    )
    for entity_type_id in settings.bitrix.external_id_fields:
        metrics.earn(entity_type_id)


def about(settings: Settings) -> dict[str, object]:
    """Tell whose log this is: which portal, which broker, what was set."""
    return {
        "version": __version__,
        "portal": portal_host(settings),
        "broker": brokers(settings.rabbit),
        "settings": changed(settings),
    }
