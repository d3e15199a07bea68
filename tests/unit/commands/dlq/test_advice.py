"""Proves that every failure has an advice, and that doubt is told first."""

import pytest

from service.commands.dlq.advice import AMBIGUOUS, AMBIGUOUS_ALONE, CODES, KINDS, advice_on
from service.commands.dlq.doubling import may_double
from service.domain.codes import ends
from service.domain.outcomes import FailureKind
from tests.unit.commands.dlq.samples import body, letter, ours


def test_every_code_that_ends_an_event_has_an_advice() -> None:
    """The one table of codes says which: the portal's, and our own."""
    assert set() == {code.lower() for _, code in ends()} - set(CODES)


def test_every_kind_has_an_advice() -> None:
    """For codes that nobody has seen yet."""
    for kind in FailureKind:
        found = advice_on(
            letter(headers=ours(error_kind=str(kind), error_code="NEVER_SEEN")), may_double=False
        )
        assert found == KINDS.get(kind, AMBIGUOUS)


@pytest.mark.parametrize(
    ("kind", "entity_type", "can_look_up", "expected"),
    [
        ("ambiguous", 2, True, False),
        ("ambiguous", 2, False, True),
        ("ambiguous", 7, True, True),
        ("rejected", 7, True, False),
        (None, 7, True, True),
        (None, 2, True, False),
    ],
)
def test_only_what_nobody_can_look_up_may_double(
    kind: str | None, entity_type: int, *, can_look_up: bool, expected: bool
) -> None:
    """An external id and somebody who asks the portal make a redrive safe."""
    headers = {} if kind is None else ours(error_kind=kind)
    found = letter(body(entity_type), headers)
    assert expected == may_double(found, can_look_up=can_look_up)


def test_a_letter_that_may_double_is_told_so_first() -> None:
    """Whatever its code says."""
    found = letter(body(7), ours(error_kind="ambiguous", error_code="CALL_TIMED_OUT"))
    assert AMBIGUOUS_ALONE == advice_on(found, may_double=True)
    assert AMBIGUOUS == advice_on(found, may_double=False)
