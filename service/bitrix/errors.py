"""Classifies every error of the portal: code first, then status, then transport.

The one table of `bitrix24.md` §8; printed in the runbook.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import httpx

from service.domain.outcomes import CallKind, Fault, PauseReason, Refused, Standing

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
"""Codes of a whole-call error, lower case; the reason is what a pause would be called."""

STATUSES: Mapping[int, CallKind] = MappingProxyType(
    {413: CallKind.TOO_LARGE, 429: CallKind.OVER_BUDGET}
)
"""Statuses that speak for themselves when the answer carries no code."""

ITEM_CODES: Mapping[str, Standing] = MappingProxyType(
    {
        "crm_field_error_required": Standing.REJECTED,
        "bx_empty_required": Standing.REJECTED,
        "crm_field_error_value_not_valid": Standing.REJECTED,
        "crm_field_error_value_not_unique": Standing.REJECTED,
        "crm_field_error_category_not_available": Standing.REJECTED,
        "crm_field_error_products_not_fetched": Standing.REJECTED,
        "bx_invalid_value": Standing.REJECTED,
        "bx_error": Standing.REJECTED,
        "100": Standing.REJECTED,
        "access_denied": Standing.DENIED,
        "crm_item_import_access_denied": Standing.DENIED,
        "create_dynamic_item_restricted": Standing.PLAN,
    }
)
"""Codes of a per-item error, lower case; any other may hide a saved item."""

TOKEN_CODES = frozenset({"expired_token", "invalid_token", "no_auth_found"})
"""Codes that another access token may mend."""

GATEWAY = frozenset({502, 503, 504})
_BINDER = ("could not find value", "invalid value")
_CANCELLED = "_creation_cancelled", "_creation_canceled"


def classify_call(
    code: str, message: str, http_status: int, *, retry_after: float | None = None
) -> Fault:
    """Return what a whole-call error means; `answered` says that the portal itself spoke."""
    lowered = code.strip().lower()
    kind, pause = CALL_CODES.get(lowered, (CallKind.AMBIGUOUS, None))
    if lowered == "100" and message.strip().lower().startswith(_BINDER):
        kind = CallKind.SUSPECT
    if lowered == "access_denied" and http_status == httpx.codes.BAD_REQUEST:
        pause = PauseReason.SCOPE
    # A gateway may have written an error that we do not know, while the portal still works.
    answered = kind is not CallKind.AMBIGUOUS or http_status not in GATEWAY
    return Fault(
        kind, code.strip() or "0", message, http_status, pause, retry_after, answered=answered
    )


def classify_status(http_status: int, *, retry_after: float | None = None) -> Fault:
    """Return what an answer without a readable error means."""
    kind = STATUSES.get(http_status, CallKind.AMBIGUOUS)
    if 300 <= http_status < 400:  # noqa: PLR2004 - a redirect: answered before execution
        kind = CallKind.UNAVAILABLE
    code = f"HTTP_{http_status}"
    if http_status == httpx.codes.OK:
        code = "UNREADABLE_ANSWER"
    message = f"the portal answered HTTP {http_status} without a readable result"
    pause = PauseReason.OPERATING_LIMIT if kind is CallKind.OVER_BUDGET else None
    return Fault(kind, code, message, http_status, pause, retry_after)


NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.InvalidURL,
    httpx.UnsupportedProtocol,
)
"""What the client raises before a byte of the call is sent."""


def classify_transport(error: Exception) -> Fault:
    """Return what a failed exchange means; the error's own text is not used (it has the URL)."""
    if isinstance(error, NEVER_LEFT):
        return Fault(CallKind.UNAVAILABLE, "CONNECTION_LOST", "the portal could not be reached")
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return Fault(CallKind.AMBIGUOUS, "CALL_TIMED_OUT", "the portal did not answer in time")
    return Fault(
        CallKind.AMBIGUOUS, "CONNECTION_LOST", "the connection was cut before the answer was whole"
    )


def classify_refresh(code: str, message: str, http_status: int) -> Fault:
    """Return what the authorisation server's refusal means: a person's affair, or its trouble."""
    kind, pause = CALL_CODES.get(code.strip().lower(), (CallKind.AMBIGUOUS, None))
    if kind in {CallKind.BARRED, CallKind.SUSPECT} and pause is not PauseReason.UNAVAILABLE:
        return Fault(CallKind.BARRED, code.strip(), message, http_status, pause, answered=True)
    return auth_server_trouble(message, http_status)


def auth_server_trouble(message: str, http_status: int | None = None) -> Fault:
    """Return a call that did not leave, because its token could not be renewed for now."""
    kind, pause = CALL_CODES["connection_error"]
    return Fault(kind, "CONNECTION_ERROR", message, http_status, pause)


def token_file_unusable(message: str) -> Fault:
    """Return a call that did not leave, because a person must look at the token file."""
    return Fault(_BARRED, "TOKEN_FILE_UNUSABLE", message, pause=PauseReason.CREDENTIALS)


def redirect_refused(host: str) -> Fault:
    """Return a call that a redirect would have led to a host that is not trusted."""
    message = (
        f"the portal redirects to {host}, which is not trusted with its credentials: "
        "if the portal was renamed, give its new address"
    )
    return Fault(_BARRED, "REDIRECT_REFUSED", message, pause=PauseReason.UNAVAILABLE)


def redirect_fruitless(fault: Fault, host: str) -> Fault:
    """Return a call that was redirected to a host where the portal did not answer.

    `fault` is of the question asked there first, which changes nothing: the call never left.
    """
    if fault.kind in {_BARRED, CallKind.THROTTLED}:
        return fault
    message = f"the portal redirects to {host}, where it does not answer: {fault.message}"
    return replace(fault, kind=CallKind.UNAVAILABLE, message=message)


def left_alone(seconds: float) -> Fault:
    """Return a call that did not leave, because the portal asked for no calls (`Retry-After`)."""
    message = f"the portal asks to be left alone for {seconds:.0f} s more"
    return Fault(CallKind.UNAVAILABLE, "RETRY_AFTER", message, retry_after=seconds)


def classify_item(code: object, message: str) -> Refused:
    """Return what an entry's error says about its item; never raises."""
    text = "0" if code is None else str(code).strip()
    lowered = text.lower()
    standing = ITEM_CODES.get(lowered, Standing.REFUSED_UNCLEAR)
    if lowered.endswith(_CANCELLED):
        standing = Standing.REJECTED
    return Refused(standing, text or "0", message)
