"""Writes item events as messages for the intake."""

from datetime import datetime

from pamqp.commands import Basic

from service.domain.events import ItemEvent
from service.domain.external_id import shorten
from service.rabbit.copies import SHORT_STRING
from service.rabbit.encoding import Outgoing


def intake_message(
    event: ItemEvent, body: bytes, content_type: str, exchange: str, now: datetime
) -> Outgoing:
    """Return the message that carries an item event, body untouched.

    Its message id is the event's, so that a repeat is the same message to whoever counts them.
    """
    unique = event.event_id
    properties = Basic.Properties(
        content_type=content_type,
        delivery_mode=2,
        message_id=unique if len(unique.encode()) <= SHORT_STRING else shorten(unique, 0),
        timestamp=now,
    )
    return Outgoing("intake", exchange, f"item.{event.entity_type_id}", body, properties)
