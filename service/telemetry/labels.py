"""Names every known label value: the sets are closed, so that series stay few."""

from service.domain.codes import ends
from service.domain.outcomes import CallKind, PauseReason
from service.domain.parking import DOUBT, LINK

OTHER = "other"
KNOWN_TYPES = ("1", "2", "3", "4", "7", "31")
MAX_TYPES = 16
"""Entity types with a label value of their own: built in, configured, or imported once."""
LATENCIES = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
AGES = (*LATENCIES, 7200, 21600, 86400, 604800)

OUTCOMES = ("imported", "duplicate", "failed", "malformed")
LINK_RESULTS = ("memory", "in_flight", "looked_up", "timed_out", "impossible")
METHODS = ("import", "list", "fields", "probe")
BUDGETED = ("import", "list")
"""Methods whose execution time the portal counts by itself, and we with it."""
CALL_RESULTS = ("ok", "throttled", "refused", "unavailable", "ambiguous")
TARGETS = ("succeeded", "failed", "dead_letter", "parked")
PUBLISH_RESULTS = ("confirmed", "returned", "nacked", "timeout", "lost", "unwritable")
ALL_LANES = "all"
"""The lane label of a pause that stops the whole intake."""
MAX_LANES = 50
"""So many lanes have a label value of their own."""
LANES = (*KNOWN_TYPES, OTHER)
"""Some values of the lanes' label; every other entity type is its own number."""
WAITS = (*PauseReason, DOUBT, LINK)
"""Why an event waits in an inner queue."""
PHASES = ("receive", "wait_slot", "call", "settle")
PACER_REASONS = ("bucket", "budget", "backoff", "paused")
ENDS = tuple(dict.fromkeys((str(kind), code) for kind, code in ends()))
"""Every failure kind with every code that it may have."""
_RESULTS = {
    CallKind.THROTTLED: "throttled",
    CallKind.OVER_BUDGET: "throttled",
    CallKind.UNAVAILABLE: "unavailable",
    CallKind.AMBIGUOUS: "ambiguous",
}
KNOWN_CODES = frozenset(code for _, code in ENDS)


def call_result(kind: CallKind | None) -> str:
    """Return the label value for how a call ended: refused for whatever reason it has."""
    return "ok" if kind is None else _RESULTS.get(kind, "refused")
