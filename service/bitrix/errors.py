"""Classifies every error of the portal: code first, then status, then transport.

The table of codes is `domain/codes.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import httpx

from service.bitrix import reasons
from service.bitrix.http import Unanswered
from service.domain.codes import CALL_CODES, call_code, item_code
from service.domain.network import Cause
from service.domain.outcomes import (
    MAX_TEXT,
    CallKind,
    Fault,
    PauseReason,
    RefusalKind,
    Refused,
)

_BARRED = CallKind.BARRED

STATUSES: Mapping[int, CallKind] = MappingProxyType(
    {
        407: CallKind.UNAVAILABLE,  # a proxy wants a password, and has asked nobody
        413: CallKind.TOO_LARGE,
        429: CallKind.OVER_BUDGET,
    }
)
"""Statuses that decide when the answer carries no code that we know."""

TOKEN_CODES = frozenset({"expired_token", "invalid_token", "no_auth_found"})
"""Codes that a new access token may cure."""

CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MAX_NUMBER = 10**18
GATEWAY = frozenset({408, 499, 502, 503, 504, *range(520, 600)})
"""Statuses that also servers before the portal give, while it still works on the call."""
_ALWAYS_SENT = "{entityTypeId}"
_BINDER = ("could not find value", "invalid value")
_CANCELLED = "_creation_cancelled", "_creation_canceled"


def classify_call(
    code: object, told: object, http_status: int, *, retry_after: float | None = None
) -> Fault:
    """Return what a whole-call error means; `answered` says that the portal itself spoke."""
    named, message = _code(code, told, http_status)
    lowered = named.lower()
    known, said = call_code(lowered), message or _no_reason(named)
    kind, pause = known or (CallKind.AMBIGUOUS, None)
    if known is None and http_status in STATUSES:
        told_by_status = classify_status(http_status, retry_after=retry_after)
        return replace(told_by_status, code=named, message=said)
    if lowered == "100" and message.strip().lower().startswith(_BINDER):
        kind = CallKind.SUSPECT
    if lowered == "access_denied" and http_status == httpx.codes.BAD_REQUEST:
        pause = PauseReason.SCOPE
    # A gateway may have written an error that we do not know, while the portal still works.
    answered = kind is not CallKind.AMBIGUOUS or http_status not in GATEWAY
    bodiless = lowered == "no_auth_found" or (lowered == "100" and _ALWAYS_SENT in message)
    fault = Fault(kind, named, said, http_status, pause, retry_after, answered=answered)
    return replace(_with(fault, reasons.spoken(named, http_status, pause)), bodiless=bodiless)


def classify_status(
    http_status: int, flaw: str = "", *, retry_after: float | None = None
) -> Fault:
    """Return what an answer without a readable error means; `flaw` is why it cannot be read."""
    kind = STATUSES.get(http_status, CallKind.AMBIGUOUS)
    if 300 <= http_status < 400:  # noqa: PLR2004 - a redirect: answered before execution
        kind = CallKind.UNAVAILABLE
    unreadable = http_status == httpx.codes.OK or (flaw and kind is CallKind.AMBIGUOUS)
    code = "UNREADABLE_ANSWER" if unreadable else _of_status(http_status)
    cause = reasons.status(http_status, flaw)
    pause = PauseReason.OPERATING_LIMIT if kind is CallKind.OVER_BUDGET else None
    return _with(Fault(kind, code, cause.found, http_status, pause, retry_after), cause)


def classify_transport(unanswered: Unanswered) -> Fault:
    """Return what a failed exchange means: what never left was surely not executed."""
    cause = unanswered.cause
    kind = CallKind.AMBIGUOUS if unanswered.left else CallKind.UNAVAILABLE
    late = unanswered.late and unanswered.left
    return _with(Fault(kind, "CALL_TIMED_OUT" if late else "CONNECTION_LOST", cause.found), cause)


def classify_refresh(code: object, told: object, http_status: int) -> Fault:
    """Return what the authorisation server's refusal means: a person's affair, or its trouble."""
    named, message = _code(code, told, http_status)
    kind, pause = CALL_CODES.get(named.lower(), (CallKind.AMBIGUOUS, None))
    if kind in {CallKind.BARRED, CallKind.SUSPECT} and pause is not PauseReason.UNAVAILABLE:
        fault = Fault(CallKind.BARRED, named, message, http_status, pause, answered=True)
        return _with(fault, reasons.refresh_refused(named, http_status, pause))
    cause = reasons.refresh_refused(named, http_status, PauseReason.AUTH_SERVER)
    return auth_server_trouble(cause, http_status, message=message)


def auth_server_trouble(
    cause: Cause, http_status: int | None = None, *, message: str = ""
) -> Fault:
    """Return a call that did not leave, because its token could not be renewed for now.

    `message`: the server's own words, if there are any.
    """
    kind, pause = CALL_CODES["connection_error"]
    fault = Fault(kind, "CONNECTION_ERROR", message or cause.found, http_status, pause)
    return _with(fault, cause)


def token_file_unusable(message: str) -> Fault:
    """Return a call that did not leave, because a person must look at the token file."""
    fault = Fault(_BARRED, "TOKEN_FILE_UNUSABLE", message, pause=PauseReason.CREDENTIALS)
    return _with(fault, Cause(message, "the importer's operator: make the token file usable"))


def redirect_refused(host: str) -> Fault:
    """Return a call that a redirect would have led to a host that is not trusted."""
    found = f"the portal redirects to {host}, which is not trusted with its credentials"
    cause = Cause(found, "if the portal was renamed, put its new address into the settings")
    message = f"{cause.found}: {cause.remedy}"
    return _with(Fault(_BARRED, "REDIRECT_REFUSED", message, pause=PauseReason.UNAVAILABLE), cause)


def redirect_fruitless(fault: Fault, host: str) -> Fault:
    """Return a call that was redirected to a host where the portal did not answer.

    `fault` is of the question asked there first, which changes nothing: the call never left.
    """
    if fault.kind in {_BARRED, CallKind.THROTTLED}:
        return fault
    led = f"the portal redirects to {host}, where it does not answer"
    message, cause = f"{led}: {fault.message}", f"{led}: {fault.cause}"
    return replace(fault, kind=CallKind.UNAVAILABLE, message=message, cause=cause)


def left_alone(seconds: float) -> Fault:
    """Return a call that did not leave, because the portal asked for no calls (`Retry-After`)."""
    message = f"the portal asks for a wait of {seconds:.0f} s more"
    fault = Fault(CallKind.UNAVAILABLE, "RETRY_AFTER", message, retry_after=seconds)
    return _with(fault, Cause("the portal asks for a wait", "nobody: it ends by itself"))


def budget_spent(seconds: float) -> Fault:
    """Return a look-up that did not leave: the portal has no execution time left for it."""
    message = f"the portal has no execution time left for look-ups, for {seconds:.0f} s more"
    reason, code = PauseReason.OPERATING_LIMIT, "OPERATION_TIME_LIMIT"
    fault = Fault(CallKind.OVER_BUDGET, code, message, pause=reason, retry_after=seconds)
    return _with(fault, Cause("the execution time for look-ups is spent", "nobody: it ends"))


def _with(fault: Fault, cause: Cause) -> Fault:
    return replace(fault, cause=cause.found, remedy=cause.remedy)


def _of_status(http_status: int) -> str:
    return f"HTTP_{http_status}"


def _code(code: object, told: object, http_status: int) -> tuple[str, str]:
    """Return an error's code and message, both short; what is no code goes into the message.

    A gateway may write whole pages where a code belongs; codes go into logs and headers.
    """
    message = _text(told)
    usable = code is None or (isinstance(code, str | int) and not isinstance(code, bool))
    text = _text(code).strip() if usable else ""
    named = text or ("0" if code is None or isinstance(code, str) else "")
    if CODE.fullmatch(named):
        return named, message[:MAX_TEXT]
    return _of_status(http_status), f"{text[:MAX_TEXT]} {message[:MAX_TEXT]}".strip()[:MAX_TEXT]


def _no_reason(named: str) -> str:
    return f"the portal gives no reason beside its code {named}"


def _text(value: object) -> str:
    """Return what a member of an answer says, whatever it is."""
    if isinstance(value, list):
        return "; ".join(_text(each) for each in value[:20] if isinstance(each, str))
    if isinstance(value, int) and abs(value) >= MAX_NUMBER:
        return ""
    return "" if value is None or isinstance(value, dict) else str(value)


def classify_item(code: object, told: object) -> Refused:
    """Return what an entry's error says about its item; never raises."""
    named, message = _code(code, told, httpx.codes.OK)
    lowered, said = named.lower(), message or _no_reason(named)
    refusal_kind, pause = item_code(lowered)
    if lowered.endswith(_CANCELLED):
        refusal_kind = RefusalKind.REJECTED
    if pause is None:
        return Refused(refusal_kind, named, said)
    fault = Fault(CallKind.SUSPECT, named, said, httpx.codes.OK, pause, answered=True)
    cause = reasons.spoken(named, httpx.codes.OK, pause)
    return Refused(refusal_kind, named, said, _with(fault, cause))
