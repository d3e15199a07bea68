"""Lists the metrics of what waits: closed lanes and inner queues."""

from service.domain.outcomes import PauseReason
from service.telemetry.declared import Declared
from service.telemetry.labels import ALL_LANES, LANES, WAITS

WAITING = (
    Declared(
        "lane_closed",
        "1 while the events of an entity type wait in its parked queue, for the reason",
        'see the log line "lane closed": it names the cause, the next try and who must act',
        labels={"entity_type": LANES, "reason": tuple(PauseReason)},
        sets=((),),
    ),
    Declared(
        "parked_messages",
        "events that wait in an inner queue, by entity type (all: doubt, link) and reason",
        "growing: see lane_closed; doubt: somebody must let the portal show its items; link: "
        "the events that are referred to have not come",
        labels={"entity_type": (*LANES, ALL_LANES), "reason": WAITS},
        sets=((),),
    ),
    Declared(
        "oldest_parked_seconds",
        "how long the longest waiting event of a type waits in an inner queue, as far as known",
        "see parked_messages",
        labels={"entity_type": (*LANES, ALL_LANES)},
        sets=((),),
    ),
    Declared(
        "messages_parked_total",
        "messages that went into an inner queue to wait, by entity type and reason",
        "compare with messages_unparked_total",
        labels={"entity_type": LANES, "reason": WAITS},
        sets=((),),
    ),
    Declared(
        "messages_unparked_total",
        "messages that were taken out of an inner queue, by entity type and reason",
        "compare with messages_parked_total; many more than events: they wait again and again",
        labels={"entity_type": LANES, "reason": WAITS},
        sets=((),),
    ),
)
