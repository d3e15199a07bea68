"""Asks the portal what it knows about us and its entity types; reads only, and little."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from service.bitrix.client import Portal
from service.bitrix.errors import classify_status, classify_transport
from service.bitrix.http import Unanswered
from service.domain.network import Cause
from service.domain.outcomes import CallFailed

ANSWER_SECONDS = 15.0
_SLOW = "check whether the portal is slow; check the network on the way: gateway, firewall, proxy"
_OK = 200


@dataclass(slots=True)
class PortalInspection:
    """Questions of a check; every one raises CallFailed.

    They bypass the throttle, which belongs to the service that may be running: hence few. `calls`
    counts them; `operating` keeps the execution seconds that the portal told, by method.
    """

    portal: Portal
    calls: int = 0
    operating: dict[str, float] | None = None

    async def is_admin(self) -> bool:
        """Tell whether the credentials are an administrator's."""
        profile = await self._ask("profile", {})
        return _mapping(profile).get("ADMIN") is True

    async def scopes(self) -> list[str]:
        """Return what the credentials are good for."""
        names = await self._ask("scope", {})
        if not isinstance(names, list):
            raise CallFailed(classify_status(_OK))
        return [str(name) for name in names]

    async def fields(self, entity_type_id: int) -> dict[str, Mapping[str, Any]]:
        """Return the description of every field of a type, by its camelCase name."""
        told = await self._ask("crm.item.fields", {"entityTypeId": entity_type_id})
        fields = _mapping(_mapping(told).get("fields"))
        return {name: _mapping(described) for name, described in fields.items()}

    async def sees_any(self, entity_type_id: int) -> bool:
        """Tell whether an item of a type is visible to us."""
        told = await self._ask(
            "crm.item.list",
            {
                "entityTypeId": entity_type_id,
                "select": ["id"],
                "order": {"id": "ASC"},
                "start": -1,
            },
        )
        return bool(_mapping(told).get("items"))

    async def _ask(self, method: str, params: Mapping[str, Any]) -> object:
        self.calls += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self.portal.ask(method, msgspec.json.encode(params))
        except TimeoutError:
            cause = Cause(f"the portal did not answer within {ANSWER_SECONDS:g} s", _SLOW)
            late = Unanswered(cause, left=True, late=True)
            raise CallFailed(classify_transport(late)) from None
        told = _mapping(answer.get("time")).get("operating")
        if isinstance(told, int | float) and not isinstance(told, bool):
            self.operating = {**(self.operating or {}), method: float(told)}
        return answer["result"]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
