"""Lists every code of a failure, the one table: what it means, and how an event ends with it.

From here come the class of an error (`bitrix/errors.py`), the label of the metrics
(`telemetry/labels.py`), and what must have advice (`commands/dlq/advice.py`).
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from service.domain.outcomes import CallKind, FailureKind, Fault, PauseReason, RefusalKind

_BARRED = CallKind.BARRED

CALL_CODES: Mapping[str, tuple[CallKind, PauseReason | None]] = MappingProxyType(
    {
        "query_limit_exceeded": (CallKind.THROTTLED, None),
        "operation_time_limit": (CallKind.OVER_BUDGET, PauseReason.OPERATING_LIMIT),
        "overload_limit": (_BARRED, PauseReason.BLOCKED),
        "expired_token": (_BARRED, PauseReason.CREDENTIALS),
        "invalid_token": (_BARRED, PauseReason.CREDENTIALS),
        "no_auth_found": (CallKind.SUSPECT, PauseReason.CREDENTIALS),
        "invalid_credentials": (_BARRED, PauseReason.CREDENTIALS),
        "insufficient_scope": (_BARRED, PauseReason.SCOPE),
        "invalid_scope": (_BARRED, PauseReason.SCOPE),
        "user_access_error": (_BARRED, PauseReason.CREDENTIALS),
        "authorization_error": (_BARRED, PauseReason.CREDENTIALS),
        "application_not_found": (_BARRED, PauseReason.CREDENTIALS),
        "error_oauth": (_BARRED, PauseReason.CREDENTIALS),
        "not_installed": (_BARRED, PauseReason.CREDENTIALS),
        "wrong_auth_type": (_BARRED, PauseReason.CREDENTIALS),
        "wrong_client": (_BARRED, PauseReason.CREDENTIALS),
        "invalid_client": (_BARRED, PauseReason.CREDENTIALS),
        "invalid_grant": (_BARRED, PauseReason.CREDENTIALS),
        "connection_error": (CallKind.UNAVAILABLE, PauseReason.AUTH_SERVER),
        "access_denied": (CallKind.SUSPECT, PauseReason.PLAN),
        "payment_required": (_BARRED, PauseReason.PLAN),
        "wrong_license": (_BARRED, PauseReason.PLAN),
        "method_confirm_waiting": (_BARRED, PauseReason.SCOPE),
        "method_confirm_denied": (_BARRED, PauseReason.SCOPE),
        "allowed_only_intranet_user": (_BARRED, PauseReason.CREDENTIALS),
        "portal_deleted": (_BARRED, PauseReason.PORTAL_DELETED),
        "invalid_request": (_BARRED, PauseReason.CREDENTIALS),
        "error_method_not_found": (_BARRED, PauseReason.UNAVAILABLE),
        "not_found": (CallKind.UNSUPPORTED, None),
        "entity_type_not_supported": (CallKind.UNSUPPORTED, None),
        "create_dynamic_item_restricted": (_BARRED, PauseReason.PLAN),
        "max_import_batch_size_exceeded": (CallKind.TOO_LARGE, None),
        "error_batch_length_exceeded": (_BARRED, PauseReason.UNAVAILABLE),
        "error_batch_method_not_allowed": (_BARRED, PauseReason.UNAVAILABLE),
        "error_manifest_is_not_available": (_BARRED, PauseReason.UNAVAILABLE),
    }
)
"""Codes that refuse a whole call, lower case, with the reason of the pause that they cause."""

LANE_CODES = frozenset({"create_dynamic_item_restricted"})
"""Codes of whole calls, lower case, that tell of one entity type only: not of the portal."""

ITEM_CODES: Mapping[str, RefusalKind] = MappingProxyType(
    {
        "crm_field_error_required": RefusalKind.REJECTED,
        "bx_empty_required": RefusalKind.REJECTED,
        "crm_field_error_value_not_valid": RefusalKind.REJECTED,
        "crm_field_error_value_not_unique": RefusalKind.REJECTED,
        "crm_field_error_category_not_available": RefusalKind.REJECTED,
        "crm_field_error_products_not_fetched": RefusalKind.REJECTED,
        "bx_invalid_value": RefusalKind.REJECTED,
        "bx_error": RefusalKind.REJECTED,
        "100": RefusalKind.REJECTED,
        "access_denied": RefusalKind.DENIED,
        "crm_item_import_access_denied": RefusalKind.DENIED,
        "create_dynamic_item_restricted": RefusalKind.BARRED,
    }
)
"""Codes that refuse one item, lower case. After any other code the item may be saved."""

_NO_ITEMS_OWN = frozenset({PauseReason.CREDENTIALS, PauseReason.SCOPE, PauseReason.PLAN})
_PASSING = frozenset({CallKind.THROTTLED, CallKind.OVER_BUDGET})

_REJECTED, _AMBIGUOUS = FailureKind.REJECTED, FailureKind.AMBIGUOUS

OUR_CODES: Mapping[str, tuple[FailureKind, ...]] = MappingProxyType(
    {
        "not_json": (FailureKind.MALFORMED,),
        "wrong_shape": (FailureKind.MALFORMED,),
        "message_too_large": (FailureKind.MALFORMED,),
        "unknown_encoding": (FailureKind.MALFORMED,),
        "validation_failed": (_REJECTED,),
        "link_not_found": (_REJECTED,),
        "link_not_possible": (_REJECTED,),
        "ended_by_operator": (_REJECTED, _AMBIGUOUS),
        "call_timed_out": (_REJECTED, _AMBIGUOUS),
        "connection_lost": (_REJECTED, _AMBIGUOUS),
        "unreadable_answer": (_REJECTED, _AMBIGUOUS),
        "http_413": (_REJECTED,),
    }
)
"""Our own codes, lower case, with the failure kinds that they come with."""

BAD_REQUEST = 400
REFUSED_FOR_GOOD = frozenset({"invalid_arg_value", "error_argument"})
"""Codes that say that a look-up asks for what is not there, such as a field."""

UNCLEAR_CODES = ("0", "internal_server_error", "http_500", "http_502", "http_503", "http_504")
"""Codes of the portal, or of a server before it, that tell nothing about the item."""

_ENDS = {
    CallKind.UNSUPPORTED: FailureKind.UNSUPPORTED,
    CallKind.TOO_LARGE: _REJECTED,
    CallKind.SUSPECT: _REJECTED,
}
"""How an item ends that was alone in a call which failed so."""


def call_code(code: str) -> tuple[CallKind, PauseReason | None] | None:
    """Return what a code of a whole call means, lower case; None for one that nobody knows."""
    if code.startswith("error_batch_"):
        return _BARRED, PauseReason.UNAVAILABLE
    return CALL_CODES.get(code)


def item_code(code: str) -> tuple[RefusalKind, PauseReason | None]:
    """Return what a code of one item means, lower case, and what its lane may close for.

    A code of credentials, scope or plan is never the item's own affair, wherever it stands.
    """
    kind = ITEM_CODES.get(code)
    call_kind, pause = CALL_CODES.get(code, (None, None))
    if kind is RefusalKind.DENIED:
        return kind, PauseReason.SCOPE
    if kind is RefusalKind.BARRED:
        return kind, pause
    if kind is None and pause in _NO_ITEMS_OWN:
        return RefusalKind.BARRED_UNCLEAR, pause
    if kind is None and call_kind in _PASSING:
        return RefusalKind.PASSING, None
    return kind or RefusalKind.REFUSED_UNCLEAR, None


def is_bad_request(fault: Fault) -> bool:
    """Tell whether the portal itself refused a question as it stood."""
    answered = fault.kind is CallKind.AMBIGUOUS and fault.answered
    return answered and fault.http_status == BAD_REQUEST


def is_refused_for_good(fault: Fault) -> bool:
    """Tell whether a look-up was refused that will be refused whenever it is asked again."""
    return is_bad_request(fault) and fault.code.lower() in REFUSED_FOR_GOOD


def ends() -> Iterator[tuple[FailureKind, str]]:
    """Yield every kind and code, as the portal writes it, with which an event may end."""
    for code, kinds in OUR_CODES.items():
        yield from ((kind, code.upper()) for kind in kinds)
    for code, (kind, _) in CALL_CODES.items():
        if kind in _ENDS:
            yield _ENDS[kind], code.upper()
    for code in ITEM_CODES:
        yield _REJECTED, code.upper()
    for code in UNCLEAR_CODES:
        yield from ((kind, code.upper()) for kind in (_REJECTED, _AMBIGUOUS))
