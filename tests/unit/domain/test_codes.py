"""Tests what codes of the portal say, and with which an event may end."""

import pytest

from service.domain.codes import ends, is_bad_request, is_refused_for_good
from service.domain.outcomes import CallKind, FailureKind
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


def test_every_end_is_in_capitals_and_an_unclear_code_ends_either_way() -> None:
    """As the portal writes its codes."""
    found = list(ends())
    assert all(code == code.upper() for _, code in found)
    assert {FailureKind.REJECTED, FailureKind.AMBIGUOUS} <= {
        kind for kind, code in found if code == "HTTP_500"
    }
