"""Tests that no outcome is half-known."""

from hypothesis import given
from hypothesis import strategies as st

from service.domain.outcomes import (
    MISSING,
    Accepted,
    CallFailed,
    CallKind,
    Failed,
    FailureKind,
    RefusalKind,
    Refused,
    Report,
    Verdict,
)
from tests.unit.domain.samples import fault

VERDICTS = st.builds(Accepted, st.integers(1)) | st.builds(
    Refused, st.sampled_from(RefusalKind), st.sampled_from(["", "0", "X"]), st.just("said so")
)


@given(st.integers(0, 20), st.dictionaries(st.integers(-3, 25), VERDICTS))
def test_a_report_has_exactly_one_verdict_for_each_event(
    size: int, said: dict[int, Verdict]
) -> None:
    """What the answer left out is missing, what it said of others is ignored."""
    report = Report(size, said)
    assert size == len(report)
    assert [said.get(position, MISSING) for position in range(size)] == list(report)


def test_what_the_answer_leaves_out_may_exist() -> None:
    """Silence is no refusal."""
    assert RefusalKind.UNCLEAR is MISSING.refusal_kind
    report = Report(2, {1: Accepted(7)})
    assert (2, [MISSING, Accepted(7)]) == (len(report), list(report))


def test_a_fault_passes_its_code_and_status_on() -> None:
    """The failed event says what the portal said."""
    expected = Failed(FailureKind.UNSUPPORTED, "NOT_FOUND", "said so", 400)
    assert expected == fault(CallKind.UNSUPPORTED, "NOT_FOUND").failed(FailureKind.UNSUPPORTED)


def test_a_failed_call_names_its_kind_and_code_only() -> None:
    """The portal's own words may hold personal values."""
    assert "ambiguous: 400" == str(CallFailed(fault(CallKind.AMBIGUOUS)))
