"""Enquiry: reads only, and believes no answer more than it says."""

import asyncio
import json
from typing import Any

import pytest

from service.bitrix import inspection
from service.bitrix.inspection import PortalInspection
from service.domain.outcomes import CallFailed

TIME = {"operating": 1.5, "operating_reset_at": 1}


class Answers:
    """Stands in for the portal: one answer to everything, and what was asked."""

    def __init__(self, answer: dict[str, Any]) -> None:
        """Keep the answer."""
        self._answer = answer
        self.asked: list[tuple[str, Any]] = []

    async def ask(self, method: str, body: bytes) -> dict[str, Any]:
        self.asked.append((method, json.loads(body)))
        return self._answer


def asking(result: object, **more: object) -> tuple[PortalInspection, Answers]:
    """Return an inspection that gets one answer to everything."""
    answers = Answers({"result": result, **more})
    portal: Any = answers
    return PortalInspection(portal), answers


async def test_fields_are_asked_for_by_type() -> None:
    """Return them by name."""
    asked, answers = asking({"fields": {"title": {"type": "string"}, "odd": 1}})
    assert {"title": {"type": "string"}, "odd": {}} == await asked.fields(2)
    assert [("crm.item.fields", {"entityTypeId": 2})] == answers.asked


@pytest.mark.parametrize(("items", "sees"), [([], False), ([{"id": 1}], True)])
async def test_one_page_tells_whether_items_are_seen(items: list[Any], *, sees: bool) -> None:
    """Ask for ids alone, uncounted."""
    asked, answers = asking({"items": items})
    assert sees is await asked.sees_any(31)
    ((method, params),) = answers.asked
    assert ("crm.item.list", ["id"], -1) == (method, params["select"], params["start"])


@pytest.mark.parametrize(
    ("result", "admin"), [({"ADMIN": True}, True), ({"ADMIN": "Y"}, False), ([], False)]
)
async def test_only_true_is_an_administrator(result: object, *, admin: bool) -> None:
    """Believe what is said, not what it looks like."""
    asked, _ = asking(result)
    assert admin is await asked.is_admin()


async def test_scopes_must_be_a_list() -> None:
    """Fail rather than find nothing."""
    asked, _ = asking(["crm"])
    assert ["crm"] == await asked.scopes()
    asked, _ = asking({"crm": "yes"})
    with pytest.raises(CallFailed):
        await asked.scopes()


async def test_counters_are_kept_by_method() -> None:
    """Note what the portal tells; nothing where it tells nothing."""
    asked, _ = asking({"ADMIN": True}, time=TIME)
    await asked.is_admin()
    assert ({"profile": 1.5}, 1) == (asked.operating, asked.calls)
    asked, _ = asking({"ADMIN": True}, time={"operating": True})
    await asked.is_admin()
    assert asked.operating is None


async def test_a_slow_portal_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after a while, as a call that timed out."""
    monkeypatch.setattr(inspection, "ANSWER_SECONDS", 0.0)

    class Slow(Answers):
        async def ask(self, method: str, body: bytes) -> dict[str, Any]:
            await asyncio.Event().wait()
            return await super().ask(method, body)

    portal: Any = Slow({})
    with pytest.raises(CallFailed) as caught:
        await PortalInspection(portal).is_admin()
    assert "CALL_TIMED_OUT" == caught.value.fault.code
