"""Tests what codes of the portal say, and with which an event may end."""

import pytest

from service.domain.codes import call_code, ends, is_bad_request, is_refused_for_good, item_code
from service.domain.outcomes import CallKind, FailureKind, PauseReason, RefusalKind
from tests.unit.domain.samples import fault


@pytest.mark.parametrize(
    ("kind", "code", "status", "bad", "for_good"),
    [
        (CallKind.AMBIGUOUS, "x", 400, True, False),
        (CallKind.AMBIGUOUS, "ERROR_ARGUMENT", 400, True, True),
        (CallKind.AMBIGUOUS, "ERROR_ARGUMENT", 500, False, False),
        (CallKind.BARRED, "ERROR_ARGUMENT", 400, False, False),
    ],
)
def test_only_the_portals_own_refusal_of_a_question_is_for_good(
    kind: CallKind, code: str, status: int, *, bad: bool, for_good: bool
) -> None:
    """Another may pass by itself."""
    failed = fault(kind, code, status)
    assert (bad, for_good) == (is_bad_request(failed), is_refused_for_good(failed))


@pytest.mark.parametrize(
    ("code", "kind", "pause"),
    [
        ("access_denied", RefusalKind.DENIED, PauseReason.SCOPE),
        ("create_dynamic_item_restricted", RefusalKind.BARRED, PauseReason.PLAN),
        ("invalid_credentials", RefusalKind.BARRED_UNCLEAR, PauseReason.CREDENTIALS),
        ("insufficient_scope", RefusalKind.BARRED_UNCLEAR, PauseReason.SCOPE),
        ("payment_required", RefusalKind.BARRED_UNCLEAR, PauseReason.PLAN),
        ("query_limit_exceeded", RefusalKind.PASSING, None),
        ("operation_time_limit", RefusalKind.PASSING, None),
        ("100", RefusalKind.REJECTED, None),
        ("portal_deleted", RefusalKind.REFUSED_UNCLEAR, None),
        ("something_new", RefusalKind.REFUSED_UNCLEAR, None),
    ],
)
def test_a_code_of_credentials_scope_plan_or_rate_is_no_items_own(
    code: str, kind: RefusalKind, pause: PauseReason | None
) -> None:
    """Inside the answer of a call, too; but there the item may have been saved before."""
    assert (kind, pause) == item_code(code)


def test_every_code_of_a_call_of_calls_is_known() -> None:
    """Also one that nobody has heard of: nothing was executed."""
    assert (CallKind.BARRED, PauseReason.UNAVAILABLE) == call_code("error_batch_foo")
    assert (CallKind.THROTTLED, None) == call_code("query_limit_exceeded")
    assert call_code("something_new") is None


def test_every_end_is_in_capitals_and_an_unclear_code_ends_either_way() -> None:
    """As the portal writes its codes."""
    found = list(ends())
    assert all(code == code.upper() for _, code in found)
    assert {FailureKind.REJECTED, FailureKind.AMBIGUOUS} <= {
        kind for kind, code in found if code == "HTTP_500"
    }
