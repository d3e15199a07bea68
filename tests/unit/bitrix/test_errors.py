"""Tests what every error of the portal means, code by code."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bitrix.errors import (
    TOKEN_CODES,
    classify_call,
    classify_item,
    classify_refresh,
    classify_status,
    classify_transport,
    redirect_fruitless,
    redirect_refused,
    token_file_unusable,
)
from service.bitrix.http import Unanswered
from service.domain.codes import CALL_CODES, ITEM_CODES, item_code
from service.domain.network import Cause
from service.domain.outcomes import MAX_TEXT, CallKind, Fault, PauseReason, RefusalKind, Refused

WHOLE_CALL = [
    ("QUERY_LIMIT_EXCEEDED", 503, "throttled", None),
    ("OPERATION_TIME_LIMIT", 429, "over_budget", "operating_limit"),
    ("OVERLOAD_LIMIT", 503, "barred", "blocked"),
    ("OVERLOAD_LIMIT", 401, "barred", "blocked"),
    ("expired_token", 401, "barred", "credentials"),
    ("invalid_token", 401, "barred", "credentials"),
    ("NO_AUTH_FOUND", 401, "suspect", "credentials"),
    ("INVALID_CREDENTIALS", 401, "barred", "credentials"),
    ("INVALID_CREDENTIALS", 403, "barred", "credentials"),
    ("insufficient_scope", 403, "barred", "scope"),
    ("insufficient_scope", 401, "barred", "scope"),
    ("invalid_scope", 401, "barred", "scope"),
    ("user_access_error", 403, "barred", "credentials"),
    ("authorization_error", 401, "barred", "credentials"),
    ("APPLICATION_NOT_FOUND", 401, "barred", "credentials"),
    ("ERROR_OAUTH", 401, "barred", "credentials"),
    ("NOT_INSTALLED", 401, "barred", "credentials"),
    ("WRONG_AUTH_TYPE", 403, "barred", "credentials"),
    ("wrong_client", 200, "barred", "credentials"),
    ("invalid_client", 401, "barred", "credentials"),
    ("invalid_grant", 400, "barred", "credentials"),
    ("CONNECTION_ERROR", 401, "unavailable", "auth_server"),
    ("ACCESS_DENIED", 403, "suspect", "plan"),
    ("ACCESS_DENIED", 401, "suspect", "plan"),
    ("ACCESS_DENIED", 400, "suspect", "scope"),
    ("PAYMENT_REQUIRED", 401, "barred", "plan"),
    ("WRONG_LICENSE", 403, "barred", "plan"),
    ("METHOD_CONFIRM_WAITING", 401, "barred", "scope"),
    ("METHOD_CONFIRM_DENIED", 403, "barred", "scope"),
    ("allowed_only_intranet_user", 403, "barred", "credentials"),
    ("allowed_only_intranet_user", 400, "barred", "credentials"),
    ("PORTAL_DELETED", 500, "barred", "portal_deleted"),
    ("PORTAL_DELETED", 403, "barred", "portal_deleted"),
    ("INVALID_REQUEST", 400, "barred", "credentials"),
    ("ERROR_METHOD_NOT_FOUND", 404, "barred", "unavailable"),
    ("NOT_FOUND", 400, "unsupported", None),
    ("ENTITY_TYPE_NOT_SUPPORTED", 400, "unsupported", None),
    ("CREATE_DYNAMIC_ITEM_RESTRICTED", 400, "barred", "plan"),
    ("MAX_IMPORT_BATCH_SIZE_EXCEEDED", 400, "too_large", None),
    ("0", 400, "ambiguous", None),
    ("", 400, "ambiguous", None),
    ("100", 400, "ambiguous", None),
    ("400", 400, "ambiguous", None),
    ("ERROR_CORE", 400, "ambiguous", None),
    ("ERROR_ARGUMENT", 400, "ambiguous", None),
    ("CRM_FIELD_ERROR_VALUE_NOT_VALID", 400, "ambiguous", None),
    ("WRONG_ENCODING", 200, "ambiguous", None),
    ("INTERNAL_SERVER_ERROR", 500, "ambiguous", None),
    ("ERROR_UNEXPECTED_ANSWER", 500, "ambiguous", None),
    ("ERROR_BATCH_LENGTH_EXCEEDED", 400, "barred", "unavailable"),
    ("ERROR_BATCH_METHOD_NOT_ALLOWED", 405, "barred", "unavailable"),
    ("ERROR_MANIFEST_IS_NOT_AVAILABLE", 404, "barred", "unavailable"),
    ("SOMETHING_NEW", 400, "ambiguous", None),
]
WITHOUT_CODE = [
    (302, "unavailable", None),
    (307, "unavailable", None),
    (408, "ambiguous", None),
    (413, "too_large", None),
    (429, "over_budget", "operating_limit"),
    (500, "ambiguous", None),
    (502, "ambiguous", None),
    (503, "ambiguous", None),
    (504, "ambiguous", None),
    (400, "ambiguous", None),
    (404, "ambiguous", None),
    (200, "ambiguous", None),
]
ITEMS: list[tuple[object, str]] = [
    ("CRM_FIELD_ERROR_REQUIRED", "rejected"),
    ("BX_EMPTY_REQUIRED", "rejected"),
    ("CRM_FIELD_ERROR_VALUE_NOT_VALID", "rejected"),
    ("BX_INVALID_VALUE", "rejected"),
    ("BX_ERROR", "rejected"),
    (100, "rejected"),
    ("100", "rejected"),
    ("CRM_FIELD_ERROR_VALUE_NOT_UNIQUE", "rejected"),
    ("CRM_FIELD_ERROR_CATEGORY_NOT_AVAILABLE", "rejected"),
    ("CRM_FIELD_ERROR_PRODUCTS_NOT_FETCHED", "rejected"),
    ("CRM_DEAL_CREATION_CANCELED", "rejected"),
    ("CRM_LEAD_CREATION_CANCELLED", "rejected"),
    ("ACCESS_DENIED", "denied"),
    ("CRM_ITEM_IMPORT_ACCESS_DENIED", "denied"),
    ("CREATE_DYNAMIC_ITEM_RESTRICTED", "barred"),
    (None, "refused_unclear"),
    (0, "refused_unclear"),
    ("0", "refused_unclear"),
    ("", "refused_unclear"),
    ("SOMETHING_NEW", "refused_unclear"),
]
TEXT = st.text(st.characters(max_codepoint=0x2FF), max_size=20)


@pytest.mark.parametrize(("code", "status", "kind", "pause"), WHOLE_CALL)
def test_a_code_decides_whatever_its_case(
    code: str, status: int, kind: str, pause: str | None
) -> None:
    """Code first; the status only tells a lost plan from a missing right."""
    for spelt in (code, code.lower(), code.upper(), f" {code} ".rstrip(" ") if code else code):
        fault = classify_call(spelt, "said so", status, retry_after=3.0)
        assert (kind, pause) == (fault.kind, fault.pause)
        assert (status, 3.0, "said so") == (fault.http_status, fault.retry_after, fault.message)
        assert fault.answered


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Could not find value for parameter {entityTypeId}", CallKind.SUSPECT),
        ("Invalid value {x} to match with parameter {data}", CallKind.SUSPECT),
        ("Expected iterable value", CallKind.AMBIGUOUS),
        ("", CallKind.AMBIGUOUS),
    ],
)
def test_an_argument_error_of_the_binder_came_before_execution(text: str, kind: CallKind) -> None:
    """The same code may come from inside the loop, with another text."""
    assert kind is classify_call("100", text, 400).kind
    assert CallKind.AMBIGUOUS is classify_call("0", text, 400).kind


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("code", ["SOMETHING_NEW", "", "0", "100", "INTERNAL_SERVER_ERROR"])
def test_an_unknown_error_of_a_gateway_is_no_answer_of_the_portal(code: str, status: int) -> None:
    """It may have written JSON of its own while the portal works on."""
    fault = classify_call(code, "said so", status)
    assert (CallKind.AMBIGUOUS, False) == (fault.kind, fault.answered)


def test_a_known_code_is_the_portals_whatever_its_status() -> None:
    """Limits are said with 503; nothing was executed."""
    told = product(CALL_CODES, [502, 503, 504])
    assert [] == [each for each in told if not classify_call(each[0], "said so", each[1]).answered]


@pytest.mark.parametrize("status", [200, 400, 403, 404, 500, 501])
def test_an_unknown_error_with_another_status_is_the_portals_own(status: int) -> None:
    """It works on the call no longer."""
    assert classify_call("SOMETHING_NEW", "said so", status).answered


def test_a_kind_of_item_that_the_plan_has_not_is_no_matter_of_rest() -> None:
    """The portal's owner is told of the kind of item; what the plan bars whole is told as such."""
    kind, whole = (
        classify_call(code, "", 400)
        for code in ("CREATE_DYNAMIC_ITEM_RESTRICTED", "wrong_license")
    )
    assert "items of this kind" in kind.remedy
    assert "include REST" in whole.remedy


def test_a_missing_code_is_called_zero() -> None:
    """A failed event has a code."""
    assert "0" == classify_call("", "", 400).code


@pytest.mark.parametrize(("status", "kind", "pause"), WITHOUT_CODE)
def test_a_status_decides_where_there_is_no_code(
    status: int, kind: str, pause: str | None
) -> None:
    """Only redirects, 413 and 429 were surely answered before execution."""
    fault = classify_status(status, retry_after=3.0)
    assert (kind, pause, status, 3.0) == (
        fault.kind,
        fault.pause,
        fault.http_status,
        fault.retry_after,
    )
    assert not fault.answered


def test_a_status_becomes_a_code_of_ours() -> None:
    """As the contract names them."""
    assert ["HTTP_504", "UNREADABLE_ANSWER"] == [classify_status(each).code for each in (504, 200)]


@pytest.mark.parametrize(
    ("left", "late", "kind", "code"),
    [
        (False, False, CallKind.UNAVAILABLE, "CONNECTION_LOST"),
        (False, True, CallKind.UNAVAILABLE, "CONNECTION_LOST"),
        (True, True, CallKind.AMBIGUOUS, "CALL_TIMED_OUT"),
        (True, False, CallKind.AMBIGUOUS, "CONNECTION_LOST"),
    ],
)
def test_a_broken_exchange_tells_not_sent_from_perhaps_applied(
    kind: CallKind, code: str, *, left: bool, late: bool
) -> None:
    """Only what failed before anything was sent is surely not applied."""
    fault = classify_transport(Unanswered(Cause("found", "remedy"), left=left, late=late))
    assert (kind, code, None, False) == (fault.kind, fault.code, fault.http_status, fault.answered)
    assert ("found", "found", "remedy") == (fault.message, fault.cause, fault.remedy)


PAGE = "<html><body>502 Bad Gateway: the field VALUE was " + "x" * 2_000_000


@pytest.mark.parametrize(
    "code",
    [PAGE, "two words", "код", "x" * 65, "a\nb", "a;b", {"code": 1}, ["x"], True, 1.5, 10**400],
)
def test_what_is_no_code_is_named_by_the_status_and_told_in_the_message(code: object) -> None:
    """A gateway writes pages where a code belongs: they must not reach logs and headers."""
    for fault in (classify_call(code, "said so", 500), classify_refresh(code, "said so", 500)):
        assert fault.code in {"HTTP_500", "CONNECTION_ERROR"}
        assert len(fault.message) <= MAX_TEXT
        assert "VALUE" not in f"{fault.cause}{fault.remedy}{fault.code}"
    refused = classify_item(code, "said so")
    assert ("HTTP_200", True) == (refused.code, len(refused.message) <= MAX_TEXT)
    assert "said so" in refused.message or len(str(code)) > 900


@pytest.mark.parametrize("code", ["x" * 64, "A.b-C_9", "100", 100, -7])
def test_a_code_is_kept_as_the_portal_writes_it(code: object) -> None:
    """Letters, digits and three signs, at most 64."""
    assert str(code) == classify_call(code, "said so", 400).code
    assert str(code) == classify_item(code, "said so").code


@pytest.mark.parametrize("told", [["a", "b"], {"a": 1}, None, 7, 10**400, "y" * 5000])
def test_any_description_is_told_as_far_as_it_is_text(told: object) -> None:
    """So much of it that a secret at the end of what is told is whole when it is masked."""
    assert len(classify_call("CODE", told, 400).message) <= MAX_TEXT
    assert classify_item("CODE", ["a", 1, "b"]).message == "a; b"


@pytest.mark.parametrize("code", ["Payload Too Large", "too_large", "", "100"])
def test_too_large_is_so_whatever_a_gateway_writes_beside_it(code: str) -> None:
    """The status was given before anything was executed."""
    assert CallKind.TOO_LARGE is classify_call(code, "said so", 413).kind


@pytest.mark.parametrize("status", [408, 499, 502, 503, 504, 520, 522, 524, 598])
def test_an_error_that_a_gateway_may_have_written_answers_nothing(status: int) -> None:
    """The portal may still work on the call, whatever the body says."""
    assert not classify_call("REQUEST_TIMEOUT", "said so", status).answered
    assert classify_call("QUERY_LIMIT_EXCEEDED", "said so", status).answered


@pytest.mark.parametrize("code", ["INVALID_CREDENTIALS", "PAYMENT_REQUIRED", "ACCESS_DENIED"])
def test_what_may_be_the_trouble_of_a_whole_type_says_who_must_act(code: str) -> None:
    """Its lane closes with it, as with the refusal of a whole call."""
    refused = classify_item(code, "said so")
    kind, pause = item_code(code.lower())
    assert refused.fault is not None
    assert (kind, pause) == (refused.refusal_kind, refused.fault.pause)
    assert code in refused.fault.cause
    assert refused.fault.remedy
    assert classify_item("SOMETHING_NEW", "said so").fault is None


def test_every_error_of_a_batch_call_is_a_mistake_of_ours() -> None:
    """Also one that nobody has heard of: nothing was executed."""
    fault = classify_call("ERROR_BATCH_FOO", "said so", 400)
    assert (CallKind.BARRED, "unavailable") == (fault.kind, fault.pause)


def test_every_error_says_who_must_do_what_without_the_portals_words() -> None:
    """The log, the pause and the check show it; descriptions may hold field values."""
    for code in (*CALL_CODES, "SOMETHING_NEW", "two words"):
        for fault in (classify_call(code, "said so", 403), classify_refresh(code, "said so", 403)):
            assert fault.cause, code
            assert fault.remedy, code
            assert "said so" not in fault.cause + fault.remedy


@pytest.mark.parametrize(
    ("code", "status", "kind", "pause"),
    [
        ("invalid_grant", 400, "barred", "credentials"),
        ("invalid_client", 401, "barred", "credentials"),
        ("wrong_client", 200, "barred", "credentials"),
        ("NOT_INSTALLED", 400, "barred", "credentials"),
        ("invalid_request", 400, "barred", "credentials"),
        ("insufficient_scope", 403, "barred", "scope"),
        ("PAYMENT_REQUIRED", 403, "barred", "plan"),
        ("ACCESS_DENIED", 403, "barred", "plan"),
        ("CONNECTION_ERROR", 401, "unavailable", "auth_server"),
        ("QUERY_LIMIT_EXCEEDED", 503, "unavailable", "auth_server"),
        ("ERROR_METHOD_NOT_FOUND", 404, "unavailable", "auth_server"),
        ("SOMETHING_NEW", 500, "unavailable", "auth_server"),
        ("", 400, "unavailable", "auth_server"),
    ],
)
def test_a_token_that_is_refused_costs_no_item(
    code: str, status: int, kind: str, pause: str
) -> None:
    """The call has not left: a person mends it, or it passes."""
    fault = classify_refresh(code, "said so", status)
    assert (kind, pause, status) == (fault.kind, fault.pause, fault.http_status)


@given(TEXT, TEXT, st.integers(100, 599))
def test_any_refusal_of_a_token_never_ran(code: str, text: str, status: int) -> None:
    """Nothing about it is ambiguous."""
    assert classify_refresh(code, text, status).kind in {CallKind.BARRED, CallKind.UNAVAILABLE}


def test_what_keeps_a_call_from_leaving_waits_for_a_person() -> None:
    """With a reason that says where to look."""
    assert (CallKind.BARRED, "credentials", "x") == (
        (fault := token_file_unusable("x")).kind,
        fault.pause,
        fault.message,
    )
    fault = redirect_refused("stranger.example")
    assert (CallKind.BARRED, "unavailable") == (fault.kind, fault.pause)
    assert "stranger.example" in fault.message


def test_a_code_that_a_new_token_may_mend_pauses_if_it_does_not() -> None:
    """Each of them is in the table, too."""
    assert {PauseReason.CREDENTIALS} == {CALL_CODES[code][1] for code in TOKEN_CODES}


@pytest.mark.parametrize(("code", "refusal_kind"), ITEMS)
def test_an_items_code_decides_its_refusal_kind(code: object, refusal_kind: str) -> None:
    """As number or text, in any case; an unknown one may hide a saved item."""
    text = "0" if code is None else str(code) or "0"
    expected = Refused(RefusalKind(refusal_kind), text, "said so")
    assert expected == classify_item(code, "said so")
    assert refusal_kind == classify_item(str(code).lower(), "said so").refusal_kind


def test_the_tables_hold_lower_case_codes_only() -> None:
    """Codes are compared in lower case."""
    for code in (*CALL_CODES, *ITEM_CODES):
        assert code == code.strip().lower()


def test_no_row_of_the_tables_is_untested() -> None:
    """A new row needs its line here, written out from the facts."""
    assert set(CALL_CODES) <= {code.lower() for code, *_ in WHOLE_CALL}
    assert set(ITEM_CODES) <= {str(code).lower() for code, _ in ITEMS}


@given(TEXT, TEXT, st.integers(100, 599), st.none() | st.floats(0, 1e6))
def test_any_whole_call_error_has_a_meaning(
    code: str, text: str, status: int, retry_after: float | None
) -> None:
    """Unknown means perhaps executed."""
    fault = classify_call(code, text, status, retry_after=retry_after)
    assert isinstance(fault, Fault)
    own = code.strip().lower() in CALL_CODES or code.strip() == "100"
    if not own and status not in {407, 413, 429}:
        assert (CallKind.AMBIGUOUS, None) == (fault.kind, fault.pause)


@given(st.integers(100, 599))
def test_any_status_has_a_meaning(status: int) -> None:
    """Unknown means perhaps executed."""
    known = status in {407, 413, 429} or 300 <= status < 400
    assert known == (classify_status(status).kind is not CallKind.AMBIGUOUS)


@given(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats()
    | TEXT
    | st.lists(st.integers(), max_size=3)
    | st.dictionaries(TEXT, TEXT, max_size=3),
    TEXT,
)
def test_any_items_error_has_a_refusal_kind(code: object, text: str) -> None:
    """Unknown means: may have been saved, else the refusal stands."""
    refused = classify_item(code, text)
    assert refused.code
    known = {*ITEM_CODES}
    if str(code).strip().lower() not in known and "creation_cancel" not in str(code).lower():
        assert RefusalKind.REFUSED_UNCLEAR is refused.refusal_kind


def test_every_pause_reason_of_a_code_is_one_of_the_contract() -> None:
    """The label of `importer_paused` is bounded."""
    reasons = {pause for _, pause in CALL_CODES.values() if pause is not None}
    assert reasons <= set(PauseReason) - {PauseReason.FAILURE_SHARE}


@pytest.mark.parametrize("kind", list(CallKind))
def test_a_fruitless_redirect_was_surely_not_executed(kind: CallKind) -> None:
    """A refusal that needs a person, and too many requests, are what they are anywhere."""
    fault = Fault(kind, "CODE", "text", 418)
    same = {CallKind.BARRED, CallKind.THROTTLED}
    found = redirect_fruitless(fault, "new.example")
    assert (kind if kind in same else CallKind.UNAVAILABLE) is found.kind
    assert ("CODE", 418, kind in same) == (found.code, found.http_status, found == fault)
    assert kind in same or "new.example" in found.message
