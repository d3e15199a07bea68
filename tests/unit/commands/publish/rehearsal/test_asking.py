"""Questions of a rehearsal: repeated while it helps, and given up where it does not."""

from collections.abc import Iterable

import pytest

from service.commands.publish.rehearsal.asking import (
    FIRST_SECONDS,
    LIMIT_SECONDS,
    TROUBLE_SECONDS,
    Asking,
    Gone,
)
from service.domain.events import BatchKey
from service.domain.outcomes import CallFailed, CallKind, Fault
from tests.unit.bitrix.scripted import ScriptedPortal
from tests.unit.domain.samples import fault
from tests.virtual_time import now, run

KEY = BatchKey(2, original_names=False)
DOWN = fault(CallKind.UNAVAILABLE, "CONNECTION_LOST", None, answered=False)
BUSY = fault(CallKind.THROTTLED, "QUERY_LIMIT_EXCEEDED", 503)
SPENT = fault(CallKind.OVER_BUDGET, "OPERATION_TIME_LIMIT", 429)
BARRED = fault(CallKind.BARRED, "INVALID_CREDENTIALS", 401)
DENIED = fault(CallKind.SUSPECT, "ACCESS_DENIED", 400)
NOWHERE = fault(CallKind.UNSUPPORTED, "NOT_FOUND", 400)
ODD = fault(CallKind.AMBIGUOUS, "INVALID_ARG_VALUE", 400)
BROKEN = fault(CallKind.AMBIGUOUS, "INTERNAL_SERVER_ERROR", 500)


def asking(faults: Iterable[Fault | None]) -> tuple[Asking, ScriptedPortal]:
    """Return who asks a portal that answers so, and then as it should."""
    portal = ScriptedPortal()
    portal.field_faults.extend(faults)
    return Asking(portal), portal


async def asked(who: Asking) -> object:
    """Ask for the fields of deals."""
    return await who.ask(lambda: who.portal.fields(KEY))


@pytest.mark.parametrize("passing", [DOWN, BUSY, SPENT, BROKEN])
def test_what_passes_is_waited_for(passing: Fault, capsys: pytest.CaptureFixture[str]) -> None:
    """And told once, however often it comes."""
    who, portal = asking([None, passing, passing, passing])

    async def work() -> None:
        assert portal.known_fields == await asked(who)
        assert portal.known_fields == await asked(who)

    run(work())
    assert 5 == len(portal.described)
    assert 1 == len(capsys.readouterr().err.splitlines())
    assert who.gone is None


@pytest.mark.parametrize("own", [DENIED, NOWHERE, ODD])
def test_a_refusal_of_one_question_is_not_repeated(own: Fault) -> None:
    """It says something of what was asked; others may still be answered."""
    who, portal = asking([own])

    async def work() -> None:
        with pytest.raises(CallFailed):
            await asked(who)
        assert portal.known_fields == await asked(who)

    run(work())
    assert 2 == len(portal.described)


def test_a_refusal_that_is_everybodys_ends_all_questions() -> None:
    """A probe tells it from one of the question."""
    who, portal = asking([DENIED])
    portal.probe_faults.append(BARRED)

    async def work() -> None:
        with pytest.raises(Gone):
            await asked(who)

    run(work())
    assert BARRED == who.gone


def test_credentials_that_are_refused_end_all_questions_at_once() -> None:
    """Waiting would not help."""
    who, portal = asking([BARRED])

    async def work() -> float:
        begun = now()
        for _ in range(2):
            with pytest.raises(Gone):
                await asked(who)
        return now() - begun

    assert 0.0 == run(work())
    assert (BARRED, 1) == (who.gone, len(portal.described))


@pytest.mark.parametrize(
    ("before", "trouble", "patience"),
    [
        ([], DOWN, FIRST_SECONDS),
        ([None], DOWN, TROUBLE_SECONDS),
        ([None], BUSY, LIMIT_SECONDS),
    ],
)
def test_patience_ends(before: list[None], trouble: Fault, patience: float) -> None:
    """Soon where nobody has ever answered, later where a portal has, last for its limits."""
    who, _ = asking([*before, *[trouble] * 2000])

    async def work() -> float:
        for _ in before:
            await asked(who)
        begun = now()
        with pytest.raises(Gone):
            await asked(who)
        return now() - begun

    assert patience <= run(work()) < patience + 20.0
    assert trouble == who.gone


def test_an_error_that_only_one_question_gets_ends_only_that() -> None:
    """The portal is well otherwise, as a probe shows."""
    who, portal = asking([None, *[BROKEN] * 200])

    async def work() -> float:
        await asked(who)
        begun = now()
        with pytest.raises(CallFailed):
            await asked(who)
        return now() - begun

    assert TROUBLE_SECONDS <= run(work()) < TROUBLE_SECONDS + 20.0
    assert (None, 1) == (who.gone, portal.probes)
