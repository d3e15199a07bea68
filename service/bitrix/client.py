"""Makes one call to the portal: no retry, no memory; an answer or a `CallFailed`."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import httpx
import msgspec

from service.bitrix.answers import positive_id, read_fields, read_report, read_types
from service.bitrix.errors import classify_status
from service.bitrix.requests import encode_import, encode_list, profile_fields
from service.bitrix.throttle import Throttle
from service.bitrix.transport import Auth, Http, Transport
from service.domain.events import BatchKey, ExternalId, ItemEvent
from service.domain.fields import Field
from service.domain.outcomes import CallFailed, CallKind, Fault, PauseReason, Report
from service.domain.witnessing import Oneself, Seen, profile_of
from service.telemetry.labels import call_result
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import UNTRACED, Tracer

PAGE = 50
MAX_PAGES = 20
QUESTION_PATIENCE = 10.0
"""Longest wait of a check, in seconds, while the portal wants to be left alone."""
MAX_SECONDS = 1e11
"""Larger counters in an answer are ignored: no time and no total is that large."""
METHODS = {
    "crm.item.batchImport": "import",
    "crm.item.list": "list",
    "crm.item.fields": "fields",
    "crm.type.list": "fields",
    "profile": "probe",
}


class Portal:
    """The portal's methods that the importer needs; every one raises CallFailed.

    A context manager: one HTTP client, one pool of connections, for the life of the service.
    """

    def __init__(
        self,
        auth: Auth,
        *,
        http: Http,
        throttle: Throttle,
        metrics: Metrics,
        timeout: float,
    ) -> None:
        """Prepare the exchange; `timeout` bounds a post, in seconds.

        `tracer`, which may be set before use, traces every call.
        """
        self.tracer: Tracer = UNTRACED
        self._throttle = throttle
        self._metrics = metrics
        self._transport = Transport(
            auth,
            http=http,
            timeout=timeout,
            on_response=self._on_response,
            before_repeat=self._before_repeat,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()

    async def import_items(self, key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        """Import up to 20 events of one key; the report has one verdict for each, in order."""
        items, kind = len(events), key.entity_type_id
        cost = self._throttle.expected(kind, items)
        body = encode_import(key, events)
        try:
            answer = await self._call("crm.item.batchImport", body, cost=cost)
        except CallFailed as failed:
            if failed.fault.kind is CallKind.AMBIGUOUS and not failed.fault.answered:
                self._throttle.learn(kind, items, failed.fault.lasted, whole=False)
            raise
        self._throttle.learn(kind, items, _duration(answer), whole=True)
        return read_report(answer, items)

    def pace(self) -> tuple[float, str]:
        """Tell how many seconds an import would wait for the portal's limits, and for which."""
        return self._throttle.pace()

    def overview(self) -> dict[str, object]:
        """Return how far the portal's limits are used, for people."""
        return self._throttle.overview()

    def shut_for(self, reason: PauseReason | None) -> float:
        """Return for how many seconds no call can help, though intake is paused for a reason."""
        return self._throttle.shut_for(budget=reason is PauseReason.OPERATING_LIMIT)

    def most(self, entity_type_id: int, most: int) -> int:
        """Return how many items of a type one call should carry, at most `most`."""
        return self._throttle.most(entity_type_id, most)

    async def find(
        self, entity_type_id: int, wanted: Sequence[ExternalId]
    ) -> dict[ExternalId, list[Seen]]:
        """Return the items that carry the external ids, those with the lowest ids first."""
        found: dict[ExternalId, list[Seen]] = {}
        groups: dict[str, list[ExternalId]] = {}
        for each in wanted:
            groups.setdefault(each.field, []).append(each)
        for field, several in groups.items():
            for row in await self._rows(entity_type_id, field, several):
                owned = several[0].originator is not None
                owner = _shown(row.get("originatorId")) if owned else None
                external = ExternalId(field, _shown(row.get(field)) or "", owner)
                item_id = _item_id(row)
                if external in wanted and item_id:
                    found.setdefault(external, []).append(Seen(item_id, profile_of(row)))
        return found

    async def shown(self, entity_type_id: int, item_ids: Sequence[int]) -> list[Seen]:
        """Return those of at most a page of items that we may read, and what they have today."""
        select = ["id", *profile_fields(entity_type_id)]
        rows = await self._page(entity_type_id, select, {"@id": [*item_ids]})
        return [Seen(_item_id(row), profile_of(row)) for row in rows[:PAGE]]

    async def oneself(self) -> Oneself:
        """Ask who we are; an answer that does not say so is no administrator's."""
        answer = await self._call("profile", b"{}")
        result = answer.get("result")
        told = result if isinstance(result, dict) else {}
        return Oneself(str(positive_id(told.get("ID")) or ""), told.get("ADMIN") is True)

    async def probe(self) -> None:
        """Make the cheapest call there is; any answer that shows the portal at work is good."""
        try:
            await self._call("profile", b"{}")
        except CallFailed as failed:
            fault = failed.fault
            shut = {CallKind.BARRED, CallKind.SUSPECT, CallKind.UNAVAILABLE}
            unknown_here = fault.code.lower() == "error_method_not_found"
            if not fault.answered or (fault.kind in shut and not unknown_here):
                raise

    async def ask(self, method: str, body: bytes) -> dict[str, Any]:
        """Ask once, past the limits: for a check, which makes few calls.

        Only the portal's own word that it wants to be left alone is kept.
        """
        await self._throttle.rest(QUESTION_PATIENCE)
        return await self._transport(method, body)

    async def fields(self, key: BatchKey) -> dict[str, Field]:
        """Return the fields of a type by the names that events of the key use."""
        asked = {
            "entityTypeId": key.entity_type_id,
            "useOriginalUfNames": "Y" if key.original_names else "N",
        }
        told = read_fields(await self._call("crm.item.fields", msgspec.json.encode(asked)))
        if told is None:
            raise CallFailed(classify_status(httpx.codes.OK))
        return told

    async def types(self) -> frozenset[int]:
        """Return the smart processes that the portal lists; only to who may set up the CRM."""
        found: set[int] = set()
        for page in range(MAX_PAGES):
            body = msgspec.json.encode({"start": page * PAGE})
            listed = read_types(await self._call("crm.type.list", body))
            if listed is None:
                raise CallFailed(classify_status(httpx.codes.OK))
            news = {*listed} - {0, *found}
            found |= news
            if len(listed) < PAGE or not news:
                break
        return frozenset(found)

    async def _rows(
        self, entity_type_id: int, field: str, wanted: Sequence[ExternalId]
    ) -> list[dict[str, Any]]:
        """Read every page of the items that may carry one of the external ids."""
        operator = "" if field.startswith("uf") else "@"
        where: dict[str, Any] = {f"{operator}{field}": sorted({each.value for each in wanted})}
        select = ["id", field, *profile_fields(entity_type_id)]
        originators = sorted({each.originator for each in wanted if each.originator is not None})
        if originators:
            one = len(originators) == 1
            where["=originatorId" if one else "@originatorId"] = (
                originators[0] if one else originators
            )
            select.append("originatorId")
        rows: list[dict[str, Any]] = []
        for _ in range(MAX_PAGES):
            after = {">id": _item_id(rows[-1])} if rows else {}
            page = await self._page(entity_type_id, select, where | after)
            rows += page[:PAGE]
            if len(page) < PAGE:
                break
        return rows

    async def _page(
        self, entity_type_id: int, select: list[str], where: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        body = encode_list(entity_type_id, select, where)
        answer = await self._call("crm.item.list", body)
        result = answer.get("result")
        rows = result.get("items") if isinstance(result, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise CallFailed(classify_status(httpx.codes.OK))
        return rows

    async def _call(self, method: str, body: bytes, *, cost: float = 0.0) -> dict[str, Any]:
        """Pass the throttle, post, and return the answer's JSON object."""
        label = METHODS[method]
        async with self._throttle.call(label, cost=cost):
            try:
                with self.tracer.call(method):
                    answer = await self._transport(method, body)
            except CallFailed as failed:
                self._tell_throttle(label, failed.fault)
                raise
            self._note_budget(label, answer)
            return answer

    async def _before_repeat(self) -> None:
        """Pay for a post that goes again: it counts for the portal's bucket, and nothing else."""
        async with self._throttle.call("repeat"):
            return

    def _on_response(self, method: str, fault: Fault | None, seconds: float) -> None:
        if fault is not None and fault.retry_after:
            self._throttle.hold(fault.retry_after)
        label = METHODS.get(method)
        if label is not None:
            self._metrics.requests.labels(label, call_result(fault.kind if fault else None)).inc()
            self._metrics.request_duration.labels(label).observe(seconds)

    def _tell_throttle(self, label: str, fault: Fault) -> None:
        if fault.kind is CallKind.THROTTLED:
            self._throttle.refused()
        elif fault.kind is CallKind.OVER_BUDGET:
            self._throttle.over_budget(label)

    def _note_budget(self, label: str, answer: Mapping[str, Any]) -> None:
        """Hand the counters of a good answer on; self-hosted portals send none."""
        timing = answer.get("time")
        if not isinstance(timing, dict):
            return
        total = _number(timing.get("operating"))
        if total is not None:
            reset_at, now = map(_number, (timing.get("operating_reset_at"), timing.get("finish")))
            self._throttle.answered(label, total, reset_at, portal_now=now)


def _item_id(row: Mapping[str, Any]) -> int:
    value = row.get("id")
    return positive_id(value) or 0


def _shown(value: object) -> str | None:
    """Return a value as it is compared; None where the portal shows none."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _duration(answer: Mapping[str, Any]) -> float:
    """Return how long the portal says that it worked; 0 when it does not say."""
    timing = answer.get("time")
    return (_number(timing.get("duration")) if isinstance(timing, dict) else None) or 0.0


def _number(value: object) -> float | None:
    """Return a counter of an answer; None for anything that cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < MAX_SECONDS else None
