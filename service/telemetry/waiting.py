"""Lists the metrics of what waits: closed lanes and inner queues."""

from service.domain.outcomes import PauseReason
from service.telemetry.declared import Declared
from service.telemetry.labels import ALL_LANES, LANES, WAITS

WAITING = (
    Declared(
        "lane_closed",
        "1 while the events of an entity type wait in its parked queue, for the reason",
        'the log line "lane closed" names the cause, the next try and who must act',
        labels={"entity_type": LANES, "reason": tuple(PauseReason)},
        sets=((),),
    ),
    Declared(
        "parked_messages",
        "events that wait in an inner queue, by entity type (all: doubt, link) and reason",
        "growing: see lane_closed; doubt: let the importer's user read the items of this "
        "type; link: the linked events are not imported yet",
        labels={"entity_type": (*LANES, ALL_LANES), "reason": WAITS},
        sets=((),),
    ),
    Declared(
        "oldest_parked_seconds",
        "how long the oldest known event of a type has waited in an inner queue",
        "see parked_messages",
        labels={"entity_type": (*LANES, ALL_LANES)},
        sets=((),),
    ),
    Declared(
        "messages_parked_total",
        "messages put into an inner queue, by entity type and reason",
        "compare with messages_unparked_total",
        labels={"entity_type": LANES, "reason": WAITS},
        sets=((),),
    ),
    Declared(
        "messages_unparked_total",
        "messages taken out of an inner queue, by entity type and reason",
        "compare with messages_parked_total; many more than events: the same events are "
        "parked again and again",
        labels={"entity_type": LANES, "reason": WAITS},
        sets=((),),
    ),
)
