"""Portal: what its answers mean, and that it is asked little."""

from collections.abc import Mapping
from typing import Any

import pytest

from service.bitrix.errors import classify_call, classify_status, classify_transport
from service.bitrix.http import Unanswered
from service.bitrix.inspection import PortalInspection
from service.commands.check.portal import MAX_CALLS, portal_rows
from service.commands.check.rows import Row, RowStatus
from service.domain.network import Cause
from service.domain.outcomes import CallFailed, Fault
from service.settings.tree import Bitrix

TEXT = {"type": "string", "isReadOnly": False, "isMultiple": False}
FIELDS: Mapping[str, Any] = {"originId": TEXT, "originatorId": TEXT, "xmlId": TEXT}
DENIED = classify_call("ACCESS_DENIED", "Access denied.", 400)
LATE = classify_transport(Unanswered(Cause("late", "is it slow?"), left=True, late=True))
NOT_FOUND = classify_call("NOT_FOUND", "Smart process not found", 400)


class Scripted(PortalInspection):
    """An inspection with answers of its own: by type for fields, else by method."""

    def __init__(self, *, admin: bool = True, visible: bool = True, **answers: Any) -> None:
        """Behave well, but for the answers given; a Fault is raised."""
        nobody: Any = None
        super().__init__(nobody)
        self._answers = {
            "profile": {"ADMIN": admin},
            "scope": ["crm", "user_brief"],
            "crm.item.list": {"items": [{"id": 1}] if visible else []},
            **answers,
        }
        self.asked: list[str] = []

    async def _ask(self, method: str, params: Mapping[str, Any]) -> object:
        self.calls += 1
        key = f"fields{params['entityTypeId']}" if method == "crm.item.fields" else method
        self.asked.append(key)
        answer = self._answers.get(key, {"fields": FIELDS})
        if isinstance(answer, Fault):
            raise CallFailed(answer)
        return answer


async def rows(inspection: PortalInspection, **settings: Any) -> dict[str, Row]:
    """Return the rows by subject where they are about a type, else by check."""
    found = await portal_rows(inspection, Bitrix(**settings), "portal.example")
    return {row.subject if row.check == "portal.type" else row.check: row for row in found}


async def test_a_good_portal_is_fit() -> None:
    """Find nothing wrong, and ask about the types that are built in."""
    inspection = Scripted()
    found = await rows(inspection)
    assert {RowStatus.OK} == {row.status for row in found.values()}
    assert [f"fields{number}" for number in (1, 2, 3, 4, 31)] == inspection.asked[2:]


async def test_named_types_come_first_and_once() -> None:
    """Ask about what the settings name."""
    inspection = Scripted()
    await rows(inspection, external_id_fields='{"150": "xmlId", "2": "originId"}')
    assert ["fields2", "fields150", "fields1"] == inspection.asked[2:5]
    assert 1 == inspection.asked.count("fields2")


async def test_a_check_makes_few_calls() -> None:
    """Leave the bucket to the service; what was not asked is unknown."""
    many = "{" + ", ".join(f'"{number}": "xmlId"' for number in range(130, 160)) + "}"
    for admin in (True, False):
        inspection = Scripted(admin=admin)
        found = await rows(inspection, external_id_fields=many)
        assert MAX_CALLS >= len(inspection.asked)
        assert RowStatus.UNKNOWN is found["type 159"].status
        assert RowStatus.OK is found["type 130"].status


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (classify_call("INVALID_CREDENTIALS", "", 401), "give new credentials"),
        (classify_call("ACCESS_DENIED", "", 401), "subscription"),
        (classify_call("OVERLOAD_LIMIT", "", 503), "support"),
        (classify_call("PORTAL_DELETED", "", 403), "exists"),
        (classify_call("CONNECTION_ERROR", "", 401), "wait"),
        (classify_status(503), "gateway"),
        (LATE, "slow"),
    ],
)
async def test_a_portal_that_bars_us_fails_with_a_remedy(fault: Fault, word: str) -> None:
    """Say which of many things to mend, and ask no further."""
    inspection = Scripted(profile=fault)
    found = await rows(inspection)
    assert ["portal.connection"] == list(found)
    row = found["portal.connection"]
    assert "portal portal.example" == row.subject
    assert (RowStatus.FAIL, True) == (row.status, word in row.remedy)
    assert ["profile"] == inspection.asked


@pytest.mark.parametrize("code", ["QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT"])
async def test_a_busy_portal_is_unknown_not_unfit(code: str) -> None:
    """The service would wait, too."""
    found = await rows(Scripted(fields2=classify_call(code, "", 503)))
    assert RowStatus.UNKNOWN is found["portal.connection"].status
    assert "type 1, leads" in found


async def test_missing_scope_fails_and_ends_the_questions() -> None:
    """Name what is there instead."""
    inspection = Scripted(scope=["user_brief"])
    row = (await rows(inspection))["portal.scope"]
    assert (RowStatus.FAIL, True) == (row.status, "user_brief" in row.found)
    assert ["profile", "scope"] == inspection.asked


@pytest.mark.parametrize("fault", [NOT_FOUND, DENIED, classify_call("ERROR_CORE", "", 400)])
async def test_only_named_types_can_fail(fault: Fault) -> None:
    """Warn of built-in types: perhaps nobody sends them."""
    found = await rows(
        Scripted(fields150=fault, fields4=fault), external_id_fields='{"150": "xmlId"}'
    )
    assert (RowStatus.FAIL, RowStatus.WARN) == (
        found["type 150"].status,
        found["type 4, companies"].status,
    )
    assert RowStatus.OK is found["type 31, invoices"].status


@pytest.mark.parametrize(
    ("described", "fits"),
    [
        (TEXT, True),
        ({"type": "mixed"}, True),
        ({**TEXT, "type": "integer"}, False),
        ({**TEXT, "isReadOnly": True}, False),
        ({**TEXT, "isMultiple": True}, False),
        (None, False),
    ],
)
async def test_external_id_needs_a_writable_text_field(
    described: Mapping[str, Any] | None, *, fits: bool
) -> None:
    """Refuse fields that cannot carry an id."""
    fields = {} if described is None else {"ufCrm_1": described}
    inspection = Scripted(fields7={"fields": fields})
    row = (await rows(inspection, external_id_fields='{"7": "ufCrm_1"}'))["type 7"]
    assert (RowStatus.OK if fits else RowStatus.FAIL) is row.status
    assert fits or "EXTERNAL_ID_FIELDS" in row.remedy


async def test_originator_is_needed_beside_the_origin() -> None:
    """Look-ups compare both."""
    row = (await rows(Scripted(fields2={"fields": {"originId": TEXT}})))["type 2, deals"]
    assert (RowStatus.WARN, True) == (row.status, "originatorId" in row.found)


async def test_reading_is_proved_by_an_item_or_by_an_administrator() -> None:
    """Without either nothing is known, which is no failure."""
    assert RowStatus.OK is (await rows(Scripted(admin=False)))["type 2, deals"].status
    found = await rows(Scripted(admin=False, visible=False))
    assert RowStatus.UNKNOWN is found["type 2, deals"].status
    assert RowStatus.UNKNOWN is found["portal.import"].status


async def test_budget_is_told_as_far_as_reading_tells() -> None:
    """Show seconds used; without counters the portal has no budget."""
    inspection = Scripted()
    assert "self-hosted" in (await rows(inspection))["portal.budget"].found
    inspection.operating = {"crm.item.fields": 12.34, "scope": 0.0}
    row = (await rows(inspection))["portal.budget"]
    assert "of 420 s per method: crm.item.fields 12.3 used" in row.found
    row = (await rows(inspection, operating_limit_seconds=0))["portal.budget"]
    assert RowStatus.WARN is row.status
