"""Answers the portal's methods other than the import."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.sandbox.binding import known_type, original_names
from tests.sandbox.call import Call, Work
from tests.sandbox.catalogue import SMART_PROCESS, Catalogue, upper_name
from tests.sandbox.clock import Clock
from tests.sandbox.importing import Importer
from tests.sandbox.ledger import Ledger
from tests.sandbox.listing import PAGE, Query, listed
from tests.sandbox.reply import refusal
from tests.sandbox.settings import Settings


class Methods:
    """Knows the portal's methods by their lower-case name."""

    def __init__(
        self, *, settings: Settings, catalogue: Catalogue, clock: Clock, ledger: Ledger
    ) -> None:
        """Work on the given ledger under the given settings."""
        self._settings = settings
        self._catalogue = catalogue
        self._clock = clock
        self._ledger = ledger
        importer = Importer(settings=settings, catalogue=catalogue, clock=clock, ledger=ledger)
        self.by_name: Mapping[str, Work] = {
            "crm.item.batchimport": importer.batch_import,
            "crm.item.list": self.list_items,
            "crm.item.fields": self.fields,
            "crm.type.list": self.types,
            "profile": self.profile,
            "scope": self.scope,
            "server.time": self.server_time,
        }

    async def list_items(self, call: Call) -> dict[str, Any]:
        """Find items by the values of their fields."""
        entity_type = known_type(call.params, self._catalogue)
        original = original_names(call.params)
        await call.spend_overhead(self._settings, self._clock)
        query = Query.bind(call.params, entity_type, self._catalogue, original=original)
        readable = entity_type not in self._settings.read_denied
        before = self._clock.now() - self._settings.list_lag_seconds
        return listed(
            query, self._ledger, self._settings, visible_before=before if readable else None
        )

    async def fields(self, call: Call) -> dict[str, Any]:
        """Describe the fields of a type."""
        entity_type = known_type(call.params, self._catalogue)
        original = original_names(call.params)
        settings = self._settings
        if settings.fields_need_read and entity_type in settings.read_denied:
            raise refusal(400, "ACCESS_DENIED", "Access denied.")
        described: dict[str, object] = {}
        for name, found in self._catalogue.fields(entity_type).items():
            if found.type == "crm_multifield":
                # One field stands for PHONE, EMAIL, WEB and IM, which only imports know.
                described["fm"] = found.described("fm")
                continue
            custom = name.startswith("ufCrm")
            described[upper_name(name) if original and custom else name] = found.described(name)
        return {"result": {"fields": described}}

    async def types(self, call: Call) -> dict[str, Any]:
        """List the smart processes, 50 at a time; only to who may set up the CRM."""
        if not self._settings.admin:
            raise refusal(400, "ACCESS_DENIED", "Access denied.")
        numbers = [number for number in self._settings.types if number >= SMART_PROCESS]
        types = [
            {"id": place, "entityTypeId": number, "title": f"Process {number}"}
            for place, number in enumerate(numbers, start=1)
        ]
        start = int(str(call.params.get("start") or 0))
        more = {"next": start + PAGE} if start + PAGE < len(types) else {}
        return {"result": {"types": types[start : start + PAGE]}, "total": len(types)} | more

    async def profile(self, _call: Call) -> dict[str, Any]:
        """Tell who calls."""
        person = {"ID": self._settings.user, "ADMIN": self._settings.admin, "NAME": "Vadim"}
        rest = {"LAST_NAME": "Valeev", "PERSONAL_GENDER": "", "TIME_ZONE": ""}
        return {"result": person | rest}

    async def scope(self, _call: Call) -> dict[str, Any]:
        """List the scopes that the credentials have."""
        missing = "crm" if self._settings.state == "scope" else None
        return {"result": [name for name in self._settings.scopes if name != missing]}

    async def server_time(self, _call: Call) -> dict[str, Any]:
        """Tell the portal's time."""
        return {"result": datetime.now(UTC).isoformat(timespec="seconds")}
