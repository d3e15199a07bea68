"""Makes messages as the broker hands them over."""

from typing import Any, cast

from aiormq.abc import DeliveredMessage
from pamqp import header
from pamqp.commands import Basic

from service.rabbit.encoding import Outgoing
from service.rabbit.wire import Received

EVENT = b'{"entityTypeId": 2, "fields": {"title": "x"}}'


def original(body: bytes = EVENT, **properties: Any) -> DeliveredMessage:
    """Return a message of the intake."""
    return DeliveredMessage(
        delivery=Basic.Deliver(
            "c", 1, redelivered=False, exchange="crm.items", routing_key="item.2"
        ),
        header=header.ContentHeader(properties=Basic.Properties(**properties)),
        body=body,
        channel=cast("Any", None),
    )


def arrived(sent: Outgoing) -> DeliveredMessage:
    """Return what the broker hands over, not for the first time, of a message that we sent."""
    received = Received()
    written = sent.properties.marshal()
    received.unmarshal(int.from_bytes(written[:2], "big"), written[2:])
    return DeliveredMessage(
        delivery=Basic.Deliver(
            "c", 2, redelivered=True, exchange=sent.exchange, routing_key=sent.routing_key
        ),
        header=header.ContentHeader(properties=received),
        body=sent.body,
        channel=cast("Any", None),
    )
