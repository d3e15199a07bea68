"""Imports entries: one after another, without a transaction around them."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tests.sandbox.binding import integer, known_type, mismatch, missing, original_names
from tests.sandbox.call import Call
from tests.sandbox.catalogue import Catalogue, title
from tests.sandbox.clock import Clock
from tests.sandbox.entries import Clerk, Draft, EntryRefused, moment
from tests.sandbox.ledger import ItemRecord, Ledger
from tests.sandbox.reply import Refusal, html_reply, refusal
from tests.sandbox.settings import Settings

MAX_ENTRIES = 20
WHO_MAY_SEE = ("assignedById", "categoryId", "opened")
"""What rights to read depend on; a light ledger keeps it too."""


@dataclass(frozen=True, slots=True)
class Order:
    """Holds the checked parameters of one import."""

    entity_type: int
    entries: list[tuple[str, object]]
    keys: list[str]
    mirrored: bool
    original: bool


class Importer:
    """Answers `crm.item.batchImport`."""

    def __init__(
        self, *, settings: Settings, catalogue: Catalogue, clock: Clock, ledger: Ledger
    ) -> None:
        """Create items in the given ledger."""
        self._settings = settings
        self._catalogue = catalogue
        self._clock = clock
        self._ledger = ledger
        self._clerk = Clerk(settings, catalogue)
        self._background: set[asyncio.Task[None]] = set()

    async def batch_import(self, call: Call) -> dict[str, Any]:
        """Import up to 20 entries and mirror their keys."""
        order = self._order(call)
        answers: dict[str, object] = {}
        await self._within_cut(call, order, answers)
        return {"result": {"items": answers if order.mirrored else list(answers.values())}}

    def _order(self, call: Call) -> Order:
        """Bind the parameters of an import; nothing has been created when this refuses."""
        original = original_names(call.params)
        integer(call.params, "entityTypeId")
        if "data" not in call.params:
            raise missing("data")
        data = call.params["data"]
        if not isinstance(data, dict | list):
            raise mismatch("data", data, "array")
        entity_type = known_type(call.params, self._catalogue)
        if entity_type in self._settings.closed_types:
            raise refusal(400, "ENTITY_TYPE_NOT_SUPPORTED", "Entity type is not supported")
        entries = list(data.items()) if isinstance(data, dict) else _numbered(data)
        if len(entries) > MAX_ENTRIES:
            text = f"You cannot import more than {MAX_ENTRIES} items"
            raise refusal(400, "MAX_IMPORT_BATCH_SIZE_EXCEEDED", text)
        keys = [key for key, _ in entries]
        mirrored = keys != [str(number) for number in range(len(keys))]
        return Order(entity_type, entries, keys, mirrored, original)

    async def _within_cut(self, call: Call, order: Order, answers: dict[str, object]) -> None:
        """Import, but let the gateway give up first when the work takes too long."""
        settings = self._settings
        work = self._import(call, order, answers)
        if settings.cut_seconds is None:
            await work
            return
        task = asyncio.create_task(work, name=f"import {call.record.number}")
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        done, _ = await asyncio.wait({task}, timeout=settings.cut_seconds / settings.speed)
        if not done:
            if not settings.cut_continues:
                task.cancel()
            raise Refusal(html_reply(504))
        task.result()

    async def _import(self, call: Call, order: Order, answers: dict[str, object]) -> None:
        each = self._settings.seconds_per_item(order.entity_type)
        await call.spend_overhead(self._settings, self._clock)
        start = self._clock.now()
        spent = 0.0
        for position, (key, entry) in enumerate(order.entries[: call.script.stop]):
            if each:
                spent += each
                await self._clock.sleep_until(start + spent)
            answers[key] = self._answer(call, order, position, entry)
        call.seconds += spent

    def _answer(self, call: Call, order: Order, position: int, entry: object) -> object:
        """Import one entry and return its part of the answer."""
        scripted = call.script.entry_errors.get(position)
        if scripted is not None and not scripted.saved:
            return scripted.answer()
        try:
            newest = partial(self._newest, order.entity_type)
            draft = self._clerk.draft(
                order.entity_type,
                entry,
                original=order.original,
                newest=newest,
                exists=self._exists,
            )
        except EntryRefused as refused:
            return refused.answer()
        number = self._save(call, order, position, draft)
        if scripted is not None:
            return scripted.answer()
        if draft.complaint is not None:
            return draft.complaint.answer()
        return {"item": {"id": number}}

    def _save(self, call: Call, order: Order, position: int, draft: Draft) -> int:
        """Store an item for good."""
        ledger, fields = self._ledger, draft.fields
        number = ledger.next_id()
        if not fields.get("title"):
            fields["title"] = title(order.entity_type, number)
        name = self._catalogue.external_field(order.entity_type)
        external = None
        if name is not None and fields.get(name) not in (None, ""):
            originator = fields.get("originatorId") if name == "originId" else None
            external = (order.entity_type, str(originator or ""), str(fields[name]))
        if ledger.light:
            fields = _only(fields, (name, "originatorId", *WHO_MAY_SEE))
        record = call.record
        ledger.add(
            ItemRecord(
                id=number,
                entity_type=order.entity_type,
                call=record.number,
                position=position,
                key=order.keys[position],
                at=self._clock.now(),
                wall=time.time(),
                external=external,
                fields=fields,
            )
        )
        record.created.append(number)
        return number

    def _exists(self, entity_type: int, number: int) -> bool:
        readable = entity_type not in self._settings.read_denied
        return readable and number in self._ledger.of_type(entity_type)

    def _newest(self, entity_type: int) -> datetime | None:
        """Return the creation time of the type's item with the highest id."""
        items = self._ledger.of_type(entity_type)
        if not items:
            return None
        newest = items[next(reversed(items))]
        if "createdTime" in newest.fields:
            return moment(newest.fields["createdTime"])
        return datetime.fromtimestamp(newest.wall, UTC)


def _only(fields: Mapping[str, Any], names: Iterable[str | None]) -> dict[str, Any]:
    return {name: fields[name] for name in names if name is not None and name in fields}


def _numbered(data: list[object]) -> list[tuple[str, object]]:
    return [(str(number), entry) for number, entry in enumerate(data)]
